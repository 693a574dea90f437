"""This machine's own addresses: how they are read, and that they are refused like private ones."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest

from libs.egress.own_addresses import addresses_in, read_own_addresses
from libs.egress.url_rules import EgressPolicy, UrlRefused
from tests.property.egress.test_address_rules import POLICY as ANYBODY

OWN = frozenset({ip_address("52.94.76.5"), ip_address("2600:1f18::5")})


def policy(allow: str | None = None, own_ports: frozenset[int] = frozenset()) -> EgressPolicy:
    """A policy of a machine that has the addresses `OWN`."""
    made = EgressPolicy.parse(allow, own_ports=own_ports)
    made.note_own_addresses(OWN)
    return made


def message(kind: int, body: bytes) -> bytes:
    """A netlink message."""
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def new_address(*attributes: tuple[int, bytes]) -> bytes:
    """A message that names an address."""
    body = struct.pack("=BBBBi", socket.AF_INET, 24, 0, 0, 1)
    for kind, value in attributes:
        body += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return message(20, body)


@pytest.mark.parametrize("ip", ["52.94.76.5", "2600:1f18::5"])
def test_an_own_public_address_is_refused_like_a_private_one(ip: str) -> None:
    """At create by its literal, at the call by what a name resolves to; the address beside it is open."""
    host = f"[{ip}]" if ":" in ip else ip

    with pytest.raises(UrlRefused) as refusal:
        policy().check_url(f"https://{host}/")
    assert f"{ip} is an address of this machine; an operator allows it with FLIQ_EGRESS_ALLOW" in refusal.value.message
    assert not policy().address_allowed(ip, 443)
    assert policy().address_allowed(str(ip_address(ip) + 1), 443)
    assert ANYBODY.address_allowed(ip, 443)


@pytest.mark.parametrize("spelling", ["::ffff:52.94.76.5", "64:ff9b::345e:4c05", "2002:345e:4c05::1"])
def test_other_forms_of_an_own_address(spelling: str) -> None:
    """Mapped, behind NAT64, 6to4: refused, NAT64 also where its prefix is allowed."""
    assert not policy().address_allowed(spelling, 443)
    assert not policy("64:ff9b::/96").address_allowed(spelling, 443)
    assert policy("64:ff9b::/96").address_allowed("64:ff9b::808:808", 443)


def test_the_allow_list_opens_an_own_address() -> None:
    """A network or a name opens it; our own ports on it only an entry for exactly that address."""
    ports = frozenset({8080})

    assert policy("52.94.76.0/24").address_allowed("52.94.76.5", 443)
    assert policy("h.example").address_allowed("52.94.76.5", 443, is_named=True)
    assert not policy("52.94.76.0/24", ports).address_allowed("52.94.76.5", 8080)
    assert policy("52.94.76.5", ports).address_allowed("52.94.76.5", 8080)


def test_what_was_judged_before_is_judged_again() -> None:
    """An address that comes is refused from then on, one that goes is open again, whatever was cached."""
    changing = EgressPolicy()
    url = "https://52.94.76.5/"

    assert changing.check_url(url) == url
    assert changing.address_allowed("52.94.76.5", 443)
    changing.note_own_addresses(OWN)
    assert not changing.address_allowed("52.94.76.5", 443)
    with pytest.raises(UrlRefused):
        changing.check_url(url)
    changing.note_own_addresses(frozenset())
    assert changing.check_url(url) == url


def test_the_peer_of_a_connection_to_oneself_is_refused() -> None:
    """The socket says it, also before the address was read."""
    assert not EgressPolicy().address_allowed("52.94.76.5", 443, is_here=True)
    assert EgressPolicy.parse("52.94.76.5").address_allowed("52.94.76.5", 443, is_here=True)


def test_the_answer_of_the_kernel() -> None:
    """The local address counts, not the other end of a point-to-point link; the list ends with a message of its own."""
    local, other, newer = (ip_address(text) for text in ("10.0.0.1", "10.0.0.2", "2600::5"))
    first = new_address((1, other.packed), (2, local.packed), (3, b"eth0\0"))
    second = new_address((1, newer.packed))

    assert addresses_in(first + second) == ({local, newer}, False)
    assert addresses_in(first + message(3, bytes(4)) + second) == ({local}, True)


@pytest.mark.parametrize("answer", [message(2, struct.pack("=i", -1)), message(20, bytes(40))[:-8]])
def test_an_answer_that_is_none(answer: bytes) -> None:
    """A refusal, or a message that is cut off, is an error, not an empty list."""
    with pytest.raises(ValueError, match="kernel"):
        addresses_in(answer)


@pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="rtnetlink is Linux'")
def test_this_machine_has_loopback() -> None:
    """The kernel lists it."""
    found = read_own_addresses()

    assert found is not None
    assert ip_address("127.0.0.1") in found
