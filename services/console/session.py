"""
Session: who is logged in, as the cookie says it. Pure.

The cookie holds the token, sealed (sealing.py), so no process remembers sessions and any replica answers. Scripts cannot read it
(HttpOnly), other sites cannot use it (SameSite=Strict), and it ends after 12 h. A write needs two proofs more: the browser says
that the request comes from a page of ours, and the form carries the session's own secret.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from services.console.http_messages import Request
from services.console.sealing import SEALED_MAX, Seal

COOKIE: Final = "fliq_console"
SAID_COOKIE: Final = "fliq_console_said"
LASTS_S: Final = 12 * 3600
SAID_S: Final = 60


class Session(NamedTuple):
    """
    A person who is logged in.

    Args:
        token: the API token.
        secret: what forms of this session carry.
        account: the account of the token.
        scopes: what the token may do, each scope spelled out.
        ends_at: ms since 1970.
    """

    token: str
    secret: str
    account: str
    scopes: frozenset[str]
    ends_at: int

    def may(self, scope: str) -> bool:
        """Return whether the token has *scope*."""
        return scope in self.scopes


class Sessions:
    """Opens and makes the cookies of sessions, for the pages below *path*."""

    def __init__(self, seal: Seal, *, path: str, now: Callable[[], int]) -> None:
        self._seal = seal
        self._path = path
        self._now = now

    def of(self, request: Request) -> Session | None:
        """Return the session of *request*; None if there is none, or it has ended."""
        held = self._seal.open("session", request.cookie(COOKIE))
        if held is None:
            return None
        session = Session(**{**held, "scopes": frozenset(held["scopes"])})
        return session if session.ends_at > self._now() else None

    def begin(self, token: str, account: str, scopes: frozenset[str], secret: str, request: Request) -> dict[str, str]:
        """Return the headers that log a browser in."""
        session = Session(token, secret, account, scopes, self._now() + LASTS_S * 1000)
        held = {**session._asdict(), "scopes": sorted(scopes)}
        return {"Set-Cookie": self._cookie(COOKIE, self._seal.seal("session", held), LASTS_S, request)}

    def end(self, request: Request) -> dict[str, str]:
        """Return the headers that log a browser out."""
        return {"Set-Cookie": self._cookie(COOKIE, "", 0, request)}

    def said(self, request: Request) -> Any | None:
        """Return what the action before this page has to say; None if nothing."""
        return self._seal.open("said", request.cookie(SAID_COOKIE))

    def say(self, value: Any, request: Request) -> dict[str, str]:
        """Return the headers with which the next page shows *value*; it is left out if it is too long for a cookie."""
        sealed = self._seal.seal("said", value)
        if len(sealed) > SEALED_MAX - len(SAID_COOKIE) - 100:
            return {}
        return {"Set-Cookie": self._cookie(SAID_COOKIE, sealed, SAID_S, request)}

    def forget_said(self, request: Request) -> dict[str, str]:
        """Return the headers after which nothing is left to say."""
        return {"Set-Cookie": self._cookie(SAID_COOKIE, "", 0, request)}

    def _cookie(self, name: str, value: str, lasts_s: int, request: Request) -> str:
        secure = "; Secure" if request.headers.get("x-forwarded-proto", "").lower() == "https" else ""
        return f"{name}={value}; Path={self._path}; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}"


def comes_from_us(headers: Mapping[str, str]) -> bool:
    """
    Return whether a browser says that a page of ours made the request.

    `Sec-Fetch-Site` is sent by every browser of today over HTTPS and to loopback. Over plain HTTP `Origin` says the same.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin, host = headers.get("origin", ""), headers.get("host", "")
    return bool(host) and origin.partition("://")[2] == host


def is_own_form(session: Session, request: Request) -> bool:
    """Return whether the form carries the secret of *session*."""
    return hmac.compare_digest(request.given("secret").encode(), session.secret.encode())
