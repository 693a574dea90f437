"""Who is logged in, and which writes are taken."""

from __future__ import annotations

import os
from http.cookies import SimpleCookie

import pytest

from services.console.http_messages import Request
from services.console.sealing import Seal
from services.console.session import COOKIE, LASTS_S, Sessions, comes_from_us, is_own_form

NOW = 1_800_000_000_000


def request(cookie: str = "", *, form: tuple[tuple[str, str], ...] = (), **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/", (), form, {"cookie": cookie, **named})


def sessions(now: int = NOW) -> Sessions:
    return Sessions(Seal(b"key", os.urandom), path="/console", now=lambda: now)


def begun(**headers: str) -> str:
    made = sessions().begin("fliq_sk_x", "default", frozenset({"read", "write:jobs"}), "s3cret", request(**headers))
    return made["Set-Cookie"]


def pair(cookie: str) -> str:
    return cookie.partition(";")[0]


def test_the_cookie_is_the_session() -> None:
    """It says who is logged in, on every process with the key."""
    session = sessions().of(request(pair(begun())))

    assert session is not None
    assert (session.token, session.account, session.secret) == ("fliq_sk_x", "default", "s3cret")
    assert session.may("write:jobs")
    assert not session.may("write:tokens")


def test_the_cookie_is_for_us_alone() -> None:
    """No script reads it, no other site uses it, no other path gets it, and over HTTPS it never travels without."""
    found = SimpleCookie(begun(x_forwarded_proto="https"))[COOKIE]

    assert (found["httponly"], found["samesite"], found["path"], found["secure"]) == (True, "Strict", "/console", True)
    assert found["max-age"] == str(LASTS_S)
    assert "fliq_sk_x" not in found.value


def test_a_session_ends() -> None:
    """After twelve hours its cookie says nothing, whatever the browser does."""
    cookie = pair(begun())

    assert sessions(NOW + LASTS_S * 1000 - 1).of(request(cookie)) is not None
    assert sessions(NOW + LASTS_S * 1000).of(request(cookie)) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://fliq", "host": "fliq"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "http://fliq:8080", "host": "fliq:8080"}, True),
        ({"origin": "http://evil", "host": "fliq"}, False),
        ({"origin": "null", "host": "fliq"}, False),
        ({"host": "fliq"}, False),
        ({}, False),
    ],
)
def test_a_write_comes_from_a_page_of_ours(headers: dict[str, str], expected: bool) -> None:
    """The browser says where it comes from."""
    assert comes_from_us(headers) is expected


def test_a_form_carries_the_secret_of_its_session() -> None:
    """A form without it, or with another one, is not taken."""
    session = sessions().of(request(pair(begun())))
    assert session is not None

    assert is_own_form(session, request(form=(("secret", "s3cret"),)))
    assert not is_own_form(session, request(form=(("secret", "other"),)))
    assert not is_own_form(session, request(form=(("secret", "Zoë"),)))
    assert not is_own_form(session, request())
