"""FLIQ_EGRESS_ALLOW and FLIQ_EGRESS_DENY: what they open, what they close, and how a wrong item is named."""

from __future__ import annotations

import pytest

from libs.egress.policy import EgressPolicy, UrlRefused


def is_accepted(policy: EgressPolicy, url: str) -> bool:
    """Whether *policy* takes *url*."""
    try:
        policy.check_url(url)
    except UrlRefused:
        return False
    return True


def test_loopback_network() -> None:
    """With 127.0.0.0/8 on the list loopback literals and localhost pass, at any port, and nothing else private does."""
    policy = EgressPolicy.parse("127.0.0.0/8")

    assert policy.check_url("http://127.0.0.1:9000/x") == "http://127.0.0.1:9000/x"
    assert policy.check_url("http://localhost:9000/") == "http://localhost:9000/"
    assert is_accepted(policy, "http://127.9.9.9:6379/")
    assert not is_accepted(policy, "http://10.0.0.1/")
    assert not is_accepted(policy, "http://[::1]:9000/")
    assert not is_accepted(policy, "http://a.localhost:9000/")
    assert policy.target("http://localhost:9000/").authority.addresses == ("127.0.0.1",)


def test_port_is_respected() -> None:
    """An entry with a port opens that port alone, for literals, for localhost and for resolved addresses."""
    policy = EgressPolicy.parse("127.0.0.1/32:9000, [::1/128]:9001")

    assert is_accepted(policy, "http://127.0.0.1:9000/")
    assert is_accepted(policy, "http://localhost:9000/")
    assert is_accepted(policy, "http://[::1]:9001/")
    assert policy.target("http://localhost:9001/").authority.addresses == ("::1",)
    assert not is_accepted(policy, "http://127.0.0.1:9001/")
    assert not is_accepted(policy, "http://127.0.0.2:9000/")
    assert not is_accepted(policy, "http://localhost:9002/")
    assert policy.address_allowed("127.0.0.1", 9000)
    assert not policy.address_allowed("127.0.0.1", 9001)


def test_denied_port_of_a_name_stays_denied() -> None:
    """A name at a denied port is refused although some address is allowed at it; the literal is accepted."""
    policy = EgressPolicy.parse("10.0.0.0/8:6379")

    assert is_accepted(policy, "http://10.1.2.3:6379/")
    assert not is_accepted(policy, "http://redis.example:6379/")


def test_mapped_addresses_cannot_be_opened() -> None:
    """An IPv4-mapped IPv6 address is denied under every list."""
    policy = EgressPolicy.parse("::/0, 0.0.0.0/0")

    assert policy.address_allowed("127.0.0.1", 80)
    assert policy.address_allowed("fe80::1", 80)
    assert not policy.address_allowed("::ffff:127.0.0.1", 80)
    assert not policy.address_allowed("::ffff:8.8.8.8", 80)
    assert not policy.address_allowed("fe80::1%eth0", 80)


def test_nat64_judges_the_address_inside() -> None:
    """With the NAT64 prefix on the list its addresses are as allowed as the IPv4 addresses they carry."""
    policy = EgressPolicy.parse("64:ff9b::/96")

    assert policy.address_allowed("64:ff9b::808:808", 443)
    assert not policy.address_allowed("64:ff9b::a9fe:a9fe", 443)
    assert not policy.address_allowed("64:ff9b::808:808", 6379)
    assert not EgressPolicy().address_allowed("64:ff9b::808:808", 443)


def test_extra_deny() -> None:
    """FLIQ_EGRESS_DENY closes public-looking networks; the allow-list still wins, being the more deliberate word."""
    policy = EgressPolicy.parse("8.8.4.4/32", deny="8.8.0.0/16, 2606:4700::/32")

    assert not policy.address_allowed("8.8.8.8", 443)
    assert not policy.address_allowed("2606:4700::1111", 443)
    assert policy.address_allowed("8.8.4.4", 443)
    assert policy.address_allowed("1.1.1.1", 443)


@pytest.mark.parametrize("text", [None, "", "  ", ",", " , "])
def test_nothing_listed(text: str | None) -> None:
    """An unset or blank list opens nothing."""
    assert not EgressPolicy.parse(text).address_allowed("127.0.0.1", 80)


@pytest.mark.parametrize(
    "item",
    [
        "loopback",
        "127.0.0.1/33",
        "127.0.0.1/8",
        "127.0.0.0/8:0",
        "127.0.0.0/8:65536",
        "127.0.0.0/8:http",
        "127.0.0.0/8:",
        "127.0.0.0/8:٨٠",
        "[::1",
        "[::1]8080",
        "[::1]:",
        "::1:8080:99999",
        "fe80::1%eth0",
    ],
)
def test_wrong_item_is_named(item: str) -> None:
    """A wrong item raises ValueError: one line that shows the item."""
    with pytest.raises(ValueError) as error:
        EgressPolicy.parse(f"10.0.0.0/8, {item}")

    assert repr(item) in str(error.value)
    assert "\n" not in str(error.value)


def test_text_that_is_no_address() -> None:
    """What does not spell an address, or is no port, is not allowed."""
    policy = EgressPolicy.parse("0.0.0.0/0")

    for ip in ("", "localhost", "127.1", "0x7f.0.0.1", "127.0.0.01", "[::1]", "1.1.1.1 "):
        assert not policy.address_allowed(ip, 80)
    assert not policy.address_allowed("1.1.1.1", 0)
    assert not policy.address_allowed("1.1.1.1", 65536)
