"""`fliq doctor --url`: whether a URL could be called, and why not."""

from __future__ import annotations

import pytest

from libs.egress.resolver import ResolveError
from libs.egress.url_rules import EgressPolicy
from services.commands.url_check import check_url

ADDRESSES = {"web": ["10.0.1.5"], "h.example.": ["93.184.216.34"], "mixed.example.": ["93.184.216.34", "10.0.0.1"]}


def look_up(name: str) -> list[str]:
    """Know three names."""
    if name not in ADDRESSES:
        raise ResolveError("nobody knows it")
    return ADDRESSES[name]


@pytest.mark.parametrize(
    ("allow", "url", "states", "says"),
    [
        ("", "https://h.example/x", ["ok"], "h.example is 93.184.216.34, port 443: it could be called"),
        ("", "http://web:8000/", ["wrong"], "web is a name of an inside network"),
        ("web", "http://web:8000/", ["ok"], "web is 10.0.1.5, port 8000: it could be called"),
        ("10.0.0.0/8", "http://web:8000/", ["ok"], "it could be called"),
        ("192.168.0.0/16", "http://web:8000/", ["wrong"], "the address is not a public address"),
        ("", "http://mixed.example/", ["ok", "wrong"], "10.0.0.1, port 80: the address is not a public address"),
        ("", "http://gone.example/", ["wrong"], "gone.example has no address: nobody knows it"),
        ("", "http://127.0.0.1/", ["wrong"], "127.0.0.1 is not a public address"),
        ("127.0.0.0/8", "http://localhost:9/", ["ok"], "could be called at 127.0.0.1, port 9"),
        ("", "ftp://h.example/", ["wrong"], "must be absolute and start with http"),
    ],
)
async def test_a_url_is_looked_up_and_judged(allow: str, url: str, states: list[str], says: str) -> None:
    """Each address of its name is a line; what is refused has its reason and an advice."""
    found = await check_url(EgressPolicy.parse(allow), url, look_up)

    assert [each.state for each in found] == states
    assert says in "\n".join(each.text for each in found)
    assert all(each.advice for each in found if each.state == "wrong")
