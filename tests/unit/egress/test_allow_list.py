"""FLIQ_EGRESS_ALLOW and FLIQ_EGRESS_DENY: what they open, what they close, and how a wrong item is named."""

from __future__ import annotations

import pytest

from libs.egress.url_rules import EgressPolicy, UrlRefused


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
    assert policy.target("http://a.localhost:9000/").authority.addresses == ("127.0.0.1",)
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


def test_denied_port_of_a_name() -> None:
    """A name is taken at a denied port that is open for some address, and refused at all others."""
    policy = EgressPolicy.parse("10.0.0.0/8:6379")

    assert is_accepted(policy, "http://10.1.2.3:6379/")
    assert is_accepted(policy, "http://redis.example:6379/")
    assert not policy.address_allowed("8.8.8.8", 6379)
    assert not is_accepted(policy, "http://redis.example:6380/")


def test_mapped_addresses_cannot_be_opened() -> None:
    """An IPv4-mapped IPv6 address is denied under every list."""
    policy = EgressPolicy.parse("::/0, 0.0.0.0/0")

    assert policy.address_allowed("127.0.0.1", 80)
    assert not policy.address_allowed("fe80::1", 80)  # link-local: only an entry within it opens it
    assert EgressPolicy.parse("fe80::/64").address_allowed("fe80::1", 80)
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
        "loop back",
        "web:http",
        ".",
        "*.example",
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


EVERYTHING = "0.0.0.0/0,::/0"
INSIDE = [
    "http://web:8000/x",
    "http://my_service:8000/",
    "http://web.default.svc/",
    "http://web.default.svc.cluster.local:8080/",
    "http://web.default.svc.cluster.local.:8080/",
    "http://host.docker.internal/",
    "http://printer.local/",
    "http://nas.lan/",
    "http://x.home.arpa/",
    "http://a.localhost/",
]


@pytest.mark.parametrize("url", INSIDE)
def test_case_1_inside_names_are_names_like_others(url: str) -> None:
    """They are taken as soon as some setting may open their addresses, and come back as they were written."""
    assert EgressPolicy.parse(EVERYTHING).check_url(url) == url
    assert not is_accepted(EgressPolicy(), url)


@pytest.mark.parametrize(
    ("entry", "url", "is_taken"),
    [
        ("web", "http://web/", True),
        ("web", "http://WEB:8000/", True),
        ("web", "http://web./", True),
        ("web", "http://web2/", False),
        ("web", "http://a.web.local/", False),
        ("web:8000", "http://web:8000/", True),
        ("web:8000", "http://web:8001/", False),
        ("my_service", "http://my_service/", True),
        (".svc.cluster.local", "http://web.default.svc.cluster.local/", True),
        (".svc.cluster.local", "http://web.default.svc.cluster.local./", True),
        (".svc.cluster.local", "http://svc.cluster.local/", False),
        (".svc.cluster.local", "http://evilsvc.cluster.local/", False),
        (".svc.cluster.local:80", "http://web.default.svc.cluster.local:81/", False),
        ("db.example:5432", "http://db.example:5432/", True),
        ("localhost", "http://localhost:9000/", True),
        ("10.0.0.0/8", "http://web/", True),
        ("10.0.0.0/8:8000", "http://web:8000/", True),
        ("10.0.0.0/8:8000", "http://web:8001/", False),
    ],
)
def test_case_1_names_and_endings(entry: str, url: str, is_taken: bool) -> None:
    """A name means itself, an ending what stands before it, each with its port or with every port."""
    assert is_accepted(EgressPolicy.parse(entry), url) is is_taken


def test_case_1_a_listed_name_opens_its_addresses() -> None:
    """But not link-local ones, not a metadata service, not a second spelling, and not our own ports on this machine."""
    policy = EgressPolicy.parse("web", own_ports=frozenset({8080, 9090}))
    is_named = policy.target("http://web/").authority.is_named

    assert is_named
    for ip in ("10.1.2.3", "127.0.0.1", "192.168.1.1", "fd00::1", "8.8.8.8"):
        assert policy.address_allowed(ip, 8000, is_named=True)
    for ip in ("169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "::ffff:10.1.2.3"):
        assert not policy.address_allowed(ip, 8000, is_named=True)
    for ip in ("127.0.0.1", "127.9.9.9", "::1", "0.0.0.0"):
        assert not policy.address_allowed(ip, 9090, is_named=True)
    assert policy.address_allowed("10.1.2.3", 9090, is_named=True)
    assert not policy.address_allowed("10.1.2.3", 9090, is_named=True, is_here=True)


@pytest.mark.parametrize(
    ("ip", "exactly"),
    [
        ("169.254.169.254", "169.254.169.254/32"),
        ("169.254.10.1", "169.254.0.0/16"),
        ("100.100.100.200", "100.100.100.200/32"),
        ("192.0.0.192", "192.0.0.192"),
        ("fd00:ec2::254", "fd00:ec2::254"),
        ("fe80::1", "fe80::/10"),
    ],
)
def test_metadata_is_open_only_to_an_entry_that_means_it(ip: str, exactly: str) -> None:
    """An entry for everything does not open it."""
    assert not EgressPolicy.parse(f"{EVERYTHING},100.64.0.0/10,fd00::/8,192.0.0.0/24").address_allowed(ip, 80)
    assert EgressPolicy.parse(exactly).address_allowed(ip, 80)


def test_our_own_ports_are_open_only_to_an_entry_that_means_this_machine() -> None:
    """`make run` opens loopback, and with it the health check that the README calls; an entry for everything does not."""
    own = frozenset({9090})

    assert not EgressPolicy.parse(EVERYTHING, own_ports=own).address_allowed("127.0.0.1", 9090)
    assert EgressPolicy.parse(EVERYTHING, own_ports=own).address_allowed("127.0.0.1", 9091)
    assert EgressPolicy.parse("127.0.0.0/8", own_ports=own).address_allowed("127.0.0.1", 9090)
    assert EgressPolicy.parse("::1", own_ports=own).address_allowed("::1", 9090)
    assert not EgressPolicy.parse("10.0.0.0/8", own_ports=own).address_allowed("10.1.2.3", 9090, is_here=True)
    assert EgressPolicy.parse("10.1.2.3", own_ports=own).address_allowed("10.1.2.3", 9090, is_here=True)


def test_case_1_how_a_name_is_looked_up() -> None:
    """Inside names and listed ones as written, so that the machine's search list applies; all others as absolute names."""
    policy = EgressPolicy.parse(f"{EVERYTHING},web.default")

    for host in ("web", "web.default.svc", "web.default.svc.cluster.local", "web.default"):
        assert policy.target(f"http://{host}/").authority.is_as_written
    for host in ("h.example", "web.", "web.default.svc.cluster.local.", "web.other"):
        assert not policy.target(f"http://{host}/").authority.is_as_written


def test_case_3_an_absolute_name_keeps_its_dot_in_host() -> None:
    """`Host` says it as written; the look-up and the certificate's name go without it."""
    authority = EgressPolicy().target("https://h.example.:8443/").authority

    assert (authority.host_header, authority.host) == ("h.example.:8443", "h.example")


def test_what_may_be_called_only_because_it_is_listed() -> None:
    """Of such addresses no answer is kept: private and guarded ones, this machine, odd ports; of public ones it is."""
    policy = EgressPolicy.parse("10.0.0.0/8,127.0.0.0/8:9000,8.8.8.8:6379")

    listed = [("10.1.2.3", 80), ("127.0.0.1", 9000), ("8.8.8.8", 6379), ("169.254.169.254", 80), ("nonsense", 80)]
    assert [place for place in listed if not policy.needs_list(*place)] == []
    assert policy.needs_list("8.8.8.8", 443, is_here=True)
    assert not policy.needs_list("8.8.8.8", 443)
    assert not policy.needs_list("2001:4860:4860::8888", 80)
