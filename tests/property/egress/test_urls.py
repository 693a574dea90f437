"""Laws of the URL check that hold for any text."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.egress.url_rules import URL_LIMIT, EgressPolicy, UrlRefused

POLICY = EgressPolicy()
PIECES = ["http://", "https://", "HTTP:", "//", "/", "\\", "@", ":", "[", "]", "%", "%2e", ".", "?", "#", "127.0.0.1"]
PIECES += ["::1", "::ffff:", "0x7f", "①", "。", "localhost", "h.example", "80", "6379", " ", "\r\n", "é", "\u202e", "a"]

any_url = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: "http://" + "".join(pieces)),
    st.text(max_size=40).map(lambda text: "https://h.example/" + text),
)


@given(any_url)
@settings(max_examples=800, deadline=None)
def test_refused_or_stable(url: str) -> None:
    """Any text is either refused or turned into a clean URL that is its own normal form."""
    try:
        stored = POLICY.check_url(url)
    except UrlRefused:
        return

    assert POLICY.check_url(stored) == stored
    assert POLICY.target(url) == POLICY.target(stored)
    assert len(stored) <= URL_LIMIT
    assert stored.isascii()
    assert stored.isprintable()
    assert not set(" \\#@") & set(stored.split("/")[2])
    assert stored.startswith(POLICY.target(url).authority.prefix)
    assert POLICY.target(url).path.startswith("/")


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{n}", "0x{n:x}", "0{n:o}", "{a}.{rest}", "{a}.{b}.{low}"]))
@settings(max_examples=300, deadline=None)
def test_other_spellings_of_ipv4(number: int, spelling: str) -> None:
    """No address passes in decimal, hexadecimal, octal or a short form, not even a public one."""
    host = spelling.format(n=number, a=number >> 24, rest=number & 0xFFFFFF, b=number >> 16 & 0xFF, low=number & 0xFFFF)
    with pytest.raises(UrlRefused) as refusal:
        POLICY.check_url(f"http://{host}/")

    assert refusal.value.code == "url_not_allowed"


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_literal_is_judged_as_its_address(number: int) -> None:
    """A literal passes at create time exactly when its address passes at fire time."""
    ip = str(IPv4Address(number))
    try:
        POLICY.check_url(f"http://{ip}:8080/")
        is_accepted = True
    except UrlRefused:
        is_accepted = False

    assert is_accepted is POLICY.address_allowed(ip, 8080)
