"""The address rule against an oracle that knows only integers: every edge of IPv4, every IANA row, and random literals."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.egress.url_rules import EgressPolicy

POLICY = EgressPolicy()

# (first, prefix length): written again by hand from the registries, so that a slip in the product's table shows.
DENIED_V4 = [
    ("0.0.0.0", 8),
    ("10.0.0.0", 8),
    ("100.64.0.0", 10),
    ("127.0.0.0", 8),
    ("168.63.129.16", 32),
    ("169.254.0.0", 16),
    ("172.16.0.0", 12),
    ("192.0.0.0", 24),
    ("192.0.2.0", 24),
    ("192.88.99.0", 24),
    ("192.168.0.0", 16),
    ("198.18.0.0", 15),
    ("198.51.100.0", 24),
    ("203.0.113.0", 24),
    ("224.0.0.0", 4),
    ("240.0.0.0", 4),
]
DENIED_V6 = [("2001::", 23), ("2001:db8::", 32), ("2002::", 16), ("3fff::", 20)]
OUTSIDE_V6 = ["::", "::1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "100:0:0:1::1"]
OUTSIDE_V6 += ["1fff:ffff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1"]
PUBLIC = ["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "168.63.129.15"]
PUBLIC += ["168.63.129.17", "172.15.255.255", "172.32.0.0", "192.0.1.0", "198.17.255.255", "198.20.0.0"]
PUBLIC += ["223.255.255.255", "2606:4700::1111", "2a00:1450:4001::200e", "2001:200::1", "2003::1", "3fff:1000::1"]


PREFIXES_V4 = [(int(IPv4Address(first)) >> (32 - bits), 32 - bits) for first, bits in DENIED_V4]


def v4_denied(number: int) -> bool:
    """The oracle for IPv4."""
    return any(number >> rest == prefix for prefix, rest in PREFIXES_V4)


def v6_denied(number: int) -> bool:
    """The oracle for IPv6."""
    return number >> 125 != 0b001 or any(
        number >> (128 - bits) == int(IPv6Address(first)) >> (128 - bits) for first, bits in DENIED_V6
    )


def test_every_first_octet() -> None:
    """The first, second, middle and last address of every /8 are judged as the registry says."""
    for octet in range(256):
        for rest in (0, 1, 0x7FFFFF, 0x800000, 0xFFFFFE, 0xFFFFFF):
            number = octet << 24 | rest
            assert POLICY.address_allowed(str(IPv4Address(number)), 443) is not v4_denied(number), IPv4Address(number)


@pytest.mark.parametrize(("first", "bits"), DENIED_V4)
def test_edges_of_ipv4_rows(first: str, bits: int) -> None:
    """Both ends of a row are denied, and its neighbours are what their own row says."""
    start = int(IPv4Address(first))
    end = start + (1 << (32 - bits)) - 1

    assert not POLICY.address_allowed(str(IPv4Address(start)), 443)
    assert not POLICY.address_allowed(str(IPv4Address(end)), 443)
    for number in (start - 1, end + 1):
        if 0 <= number < 1 << 32:
            assert POLICY.address_allowed(str(IPv4Address(number)), 443) is not v4_denied(number)


@pytest.mark.parametrize(("first", "bits"), [*DENIED_V6, ("2000::", 3)])
def test_edges_of_ipv6_rows(first: str, bits: int) -> None:
    """Both ends of a row, and its neighbours, are judged as the registry says."""
    start = int(IPv6Address(first))
    end = start + (1 << (128 - bits)) - 1
    for number in (start - 1, start, end, end + 1):
        assert POLICY.address_allowed(str(IPv6Address(number)), 443) is not v6_denied(number)


@pytest.mark.parametrize("ip", OUTSIDE_V6)
def test_outside_global_unicast(ip: str) -> None:
    """What lies outside 2000::/3 is denied."""
    assert not POLICY.address_allowed(ip, 443)


@pytest.mark.parametrize("ip", PUBLIC)
def test_public(ip: str) -> None:
    """Addresses that anybody may call are allowed, right up to the edges of the denied rows."""
    assert POLICY.address_allowed(ip, 443)


@given(st.integers(0, 2**32 - 1), st.sampled_from([80, 443, 8080, 65535]))
@settings(max_examples=500, deadline=None)
def test_random_ipv4(number: int, port: int) -> None:
    """A random address is judged as the oracle judges it, and as a URL the same."""
    assert POLICY.address_allowed(str(IPv4Address(number)), port) is not v4_denied(number)


@given(
    st.one_of(
        st.integers(0, 2**128 - 1),
        st.integers(0, 2**125 - 1).map(lambda n: n | 1 << 125),
        st.tuples(st.sampled_from(DENIED_V6), st.integers(0, 2**104 - 1)).map(
            lambda pair: int(IPv6Address(pair[0][0])) | pair[1]
        ),
    )
)
@settings(max_examples=500, deadline=None)
def test_random_ipv6(number: int) -> None:
    """The same for IPv6, in its short and its long spelling."""
    address = IPv6Address(number)

    assert POLICY.address_allowed(str(address), 443) is not v6_denied(number)
    assert POLICY.address_allowed(address.exploded, 443) is not v6_denied(number)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_disguises_of_ipv4(number: int) -> None:
    """No IPv6 disguise of an IPv4 address (mapped, compatible, NAT64, 6to4) is ever allowed."""
    high, low = number >> 16, number & 0xFFFF
    for ip in (
        f"::ffff:{IPv4Address(number)}",
        f"::{IPv4Address(number)}",
        f"64:ff9b::{high:x}:{low:x}",
        f"2002:{high:x}:{low:x}::1",
    ):
        assert not POLICY.address_allowed(ip, 443)


@pytest.mark.nightly
def test_a_million_random_addresses() -> None:
    """0 of 10⁶ pseudo-random IPv4 addresses are judged otherwise than the oracle judges them."""
    number = 1
    for _ in range(1_000_000):
        number = (number * 1_664_525 + 1_013_904_223) % 2**32  # Numerical Recipes' generator: full period
        assert POLICY.address_allowed(str(IPv4Address(number)), 443) is not v4_denied(number)
