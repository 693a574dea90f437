"""Table U of the attack cases: which URLs a job may name. Each row carries its name."""

from __future__ import annotations

import pytest

from libs.egress.url_rules import EgressPolicy, UrlRefused

NOT_ALLOWED = "url_not_allowed"
INVALID = "invalid_url"

TABLE_U = [
    ("U1 loopback", "http://127.0.0.1/", NOT_ALLOWED),
    ("U2 private", "http://10.0.0.1/", NOT_ALLOWED),
    ("U3 metadata", "http://169.254.169.254/latest/meta-data/", NOT_ALLOWED),
    ("U4 unspecified", "http://0.0.0.0/", NOT_ALLOWED),
    ("U5 decimal", "http://2130706433/", NOT_ALLOWED),
    ("U6 hexadecimal", "http://0x7f000001/", NOT_ALLOWED),
    ("U7 octal", "http://0177.0.0.1/", NOT_ALLOWED),
    ("U8 short", "http://127.1/", NOT_ALLOWED),
    ("U9 circled digits", "http://①②⑦.0.0.1/", INVALID),
    ("U10 ideographic full stops", "http://127。0。0。1/", INVALID),
    ("U11 circled letters", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", INVALID),
    ("U12 IPv6 loopback", "http://[::1]/", NOT_ALLOWED),
    ("U13 IPv4-mapped", "http://[::ffff:127.0.0.1]/", NOT_ALLOWED),
    ("U14 NAT64 of metadata", "http://[64:ff9b::a9fe:a9fe]/", NOT_ALLOWED),
    ("U15 6to4 of metadata", "http://[2002:a9fe:a9fe::1]/", NOT_ALLOWED),
    ("U16 unique local", "http://[fd00:ec2::254]/", NOT_ALLOWED),
    ("U17 zoned", "http://[fe80::1%25eth0]/", INVALID),
    ("U18 IPv4-compatible", "http://[::169.254.169.254]/", NOT_ALLOWED),
    ("U19 multicast", "http://[ff02::1]/", NOT_ALLOWED),
    ("U20 a cloud's host agent", "http://168.63.129.16/", NOT_ALLOWED),
    ("U21 a cloud's metadata", "http://192.0.0.192/", NOT_ALLOWED),
    ("U22 a cloud's metadata", "http://100.100.100.200/", NOT_ALLOWED),
    ("U23 localhost", "http://localhost/", NOT_ALLOWED),
    ("U24 localhost with a dot", "http://localhost./", NOT_ALLOWED),
    ("U25 single label", "http://kafka/", NOT_ALLOWED),
    ("U26 cluster name", "http://x.svc.cluster.local/", NOT_ALLOWED),
    ("U27 file", "file:///etc/passwd", INVALID),
    ("U28 gopher", "gopher://h:6379/_x", INVALID),
    ("U29 javascript", "javascript:alert(1)", INVALID),
    ("U30 no scheme", "//h.example/", INVALID),
    ("U31 user and password", "http://u:p@h.example/", INVALID),
    ("U32 two at-signs", "http://a@b@169.254.169.254/", INVALID),
    ("U33 backslash", "http://good\\@169.254.169.254/", INVALID),
    ("U34 encoded slash", "http://169.254.169.254%2f@good/", INVALID),
    ("U35 port 0", "http://h.example:0/", INVALID),
    ("U35 port 99999", "http://h.example:99999/", INVALID),
    ("U35 port -1", "http://h.example:-1/", INVALID),
    ("U36 port 6379", "http://h.example:6379/", NOT_ALLOWED),
    ("U36 port 25", "http://h.example:25/", NOT_ALLOWED),
    ("U36 port 22", "http://h.example:22/", NOT_ALLOWED),
    ("U37 empty host", "http:///x", INVALID),
    ("U38 no slashes", "http:h.example", INVALID),
    ("U39 CR LF in the host", "http://h.exam\r\nple/", INVALID),
    ("U40 space in the host", "http://exa mple.example/", INVALID),
    ("U41 percent in the host", "http://h%2eexample/", INVALID),
    ("U42 direction override", "http://\u202eh.example/", INVALID),
    ("U43 3 kB", "http://h.example/" + "a" * 3000, INVALID),
    ("U44 label of 64", f"http://{'a' * 64}.example/", INVALID),
    ("U44 name of 254", "http://" + ".".join(["a" * 49] * 5) + ".abcd/", INVALID),
]

MORE_REFUSED = [
    ("empty", "", INVALID),
    ("empty port", "http://h.example:/", INVALID),
    ("port with a zero in front", "http://h.example:080/", INVALID),
    ("port in other digits", "http://h.example:٨٠/", INVALID),
    ("two ports", "http://h.example:80:80/", INVALID),
    ("fragment", "http://h.example/#x", INVALID),
    ("fragment at once", "http://h.example#@169.254.169.254/", INVALID),
    ("tab", "http://h.example/\ta", INVALID),
    ("leading space", " http://h.example/", INVALID),
    ("trailing line end", "http://h.example/\n", INVALID),
    ("NUL", "http://h.example/\x00", INVALID),
    ("DEL", "http://h.example/\x7f", INVALID),
    ("backslash in the path", "http://h.example\\x/", INVALID),
    ("two final dots", "http://h.example../", INVALID),
    ("double dot", "http://h..example/", INVALID),
    ("leading dot", "http://.h.example/", INVALID),
    ("only a dot", "http://./", INVALID),
    ("hyphen at a label's start", "http://-h.example/", INVALID),
    ("hyphen at a label's end", "http://h-.example/", INVALID),
    ("Tor", "http://h.onion/", NOT_ALLOWED),
    ("inside, final dot", "http://web.default.svc.cluster.local./", NOT_ALLOWED),
    ("address with a dot behind", "http://127.0.0.1./", NOT_ALLOWED),
    ("public address with a dot behind", "http://8.8.8.8./", NOT_ALLOWED),
    ("public address in hexadecimal", "http://0x08080808/", NOT_ALLOWED),
    ("last label hexadecimal", "http://8.8.8.0x8/", NOT_ALLOWED),
    ("bare 0x", "http://8.8.8.0x/", NOT_ALLOWED),
    ("zero in front", "http://08.8.8.8/", NOT_ALLOWED),
    ("five parts", "http://8.8.8.8.8/", NOT_ALLOWED),
    ("part above 255", "http://8.8.8.256/", NOT_ALLOWED),
    ("public, mapped", "http://[::ffff:8.8.8.8]/", NOT_ALLOWED),
    ("brackets around IPv4", "http://[127.0.0.1]/", INVALID),
    ("brackets around a name", "http://[h.example]/", INVALID),
    ("open bracket", "http://[2606:4700::1111/", INVALID),
    ("text behind the bracket", "http://[2606:4700::1111]x/", INVALID),
    ("future address", "http://[v1.a]/", INVALID),
    ("zone without encoding", "http://[fe80::1%eth0]/", INVALID),
    ("full-width letters", "http://ｈ.example/", INVALID),
    ("Kelvin sign", "http://\u212aafka.example/", INVALID),
    ("long s", "http://ho\u017ft.example/", INVALID),
    ("soft hyphen", "http://local\u00adhost.example/", INVALID),
    ("zero-width space", "http://h\u200b.example/", INVALID),
    ("lone surrogate in the path", "http://h.example/\ud800", INVALID),
    ("lone surrogate in the host", "http://h\ud800.example/", INVALID),
    ("subdomain of localhost", "http://a.localhost/", NOT_ALLOWED),
    ("local", "http://printer.local/", NOT_ALLOWED),
    ("internal", "http://metadata.google.internal/", NOT_ALLOWED),
    ("home.arpa", "http://x.home.arpa/", NOT_ALLOWED),
    ("svc", "http://x.ns.svc/", NOT_ALLOWED),
    ("upper case does not help", "HTTP://LOCALHOST/", NOT_ALLOWED),
    ("public address, denied port", "http://8.8.8.8:6379/", NOT_ALLOWED),
    ("too long after encoding", "http://h.example/" + "é" * 400, INVALID),
    ("ftp", "ftp://h.example/", INVALID),
    ("scheme only", "http://", INVALID),
    ("websocket", "ws://h.example/", INVALID),
]

ACCEPTED = [
    ("U45 encoded CR LF in the path", "http://h.example/a%0d%0aX:%20y", None),
    ("plain", "https://yourapp.com/api/charge", None),
    ("no path", "https://yourapp.com", None),
    ("port", "https://yourapp.com:8443/x", None),
    ("query", "https://h.example/?a[]=1&b=%20c", None),
    ("query without a path", "https://h.example?a=1", "https://h.example/?a=1"),
    ("upper case", "HTTPS://YourApp.COM/Api", "https://yourapp.com/Api"),
    ("default port", "https://h.example:443/x", "https://h.example/x"),
    ("other scheme's port", "https://h.example:80/x", None),
    ("public address", "http://8.8.8.8/", None),
    ("public IPv6", "http://[2606:4700:0:0::1111]:8080/", "http://[2606:4700::1111]:8080/"),
    ("IDNA", "http://bücher.example/", "http://xn--bcher-kva.example/"),
    ("IDNA in upper case", "http://BÜCHER.example/", "http://xn--bcher-kva.example/"),
    ("A-label", "http://xn--bcher-kva.example/", None),
    ("non-ASCII path", "http://h.example/é", "http://h.example/%C3%A9"),
    ("unsafe characters", 'http://h.example/"<>^`{|}', "http://h.example/%22%3C%3E%5E%60%7B%7C%7D"),
    ("bare percent", "http://h.example/100%", "http://h.example/100%25"),
    ("percent and one digit", "http://h.example/%4", "http://h.example/%254"),
    ("at-sign in the path", "http://h.example/@b", None),
    ("dots stay", "http://h.example/a/../b", None),
    ("number in the middle of a name", "http://1.2.3.4.example/", None),
    ("exactly 2,048", "http://h.example/" + "a" * (2048 - 17), None),
    ("case 2: underscores", "http://my_service.example:8000/", None),
    ("case 2: underscores at the ends", "http://_a_._b.example/", None),
    ("case 3: absolute name", "http://h.example.:8080/", None),
    ("label of 63", f"http://{'a' * 63}.example/", None),
]


@pytest.mark.parametrize(("url", "code"), [pytest.param(u, c, id=n) for n, u, c in TABLE_U + MORE_REFUSED])
def test_refused(url: str, code: str) -> None:
    """The URL is refused with its code and a one-line message that does not repeat it."""
    with pytest.raises(UrlRefused) as refusal:
        EgressPolicy().check_url(url)

    assert refusal.value.code == code
    assert "\n" not in refusal.value.message
    assert len(refusal.value.message) < 250


@pytest.mark.parametrize(("url", "stored"), [pytest.param(u, s or u, id=n) for n, u, s in ACCEPTED])
def test_accepted(url: str, stored: str) -> None:
    """The URL is accepted in its stored form, which is accepted again unchanged."""
    policy = EgressPolicy()

    assert policy.check_url(url) == stored
    assert policy.check_url(stored) == stored
    assert policy.target(url).url == stored


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://10.0.0.1/", "10.0.0.1 is not a public address"),
        ("http://[fd00::1]/", "fd00::1 is not a public address"),
        ("http://169.254.169.254/", "169.254.169.254 is a link-local or metadata address"),
        ("http://8.8.8.8:6379/", "port 6379 is a port of another protocol than HTTP"),
        ("http://h.example:6379/", "port 6379 is a port of another protocol than HTTP"),
        ("http://web:8000/", "web is a name of an inside network"),
        ("http://web.default.svc.cluster.local/", "web.default.svc.cluster.local is a name of an inside network"),
        ("http://localhost:8000/", "127.0.0.1 is not a public address"),
    ],
)
def test_case_1_a_refusal_names_cause_and_setting(url: str, cause: str) -> None:
    """The message says which address, name or port is refused, why, and which setting opens it."""
    with pytest.raises(UrlRefused) as refusal:
        EgressPolicy().check_url(url)

    assert refusal.value.message.startswith("url must point to a public host and port: ")
    assert cause in refusal.value.message
    assert "FLIQ_EGRESS_ALLOW" in refusal.value.message


def test_parts_of_a_target() -> None:
    """A target has what the request line, the Host header and the connection need."""
    target = EgressPolicy().target("HTTPS://[2606:4700::1111]:8443?q=1")

    assert target.path == "/?q=1"
    assert target.authority.host == "2606:4700::1111"
    assert target.authority.host_header == "[2606:4700::1111]:8443"
    assert target.authority.port == 8443
    assert target.authority.is_tls
    assert target.authority.addresses == ("2606:4700::1111",)


def test_empty_path_is_sent_as_a_slash() -> None:
    """A URL without a path is stored as given; on the wire its target is `/`."""
    target = EgressPolicy().target("https://h.example")

    assert (target.url, target.path) == ("https://h.example", "/")
