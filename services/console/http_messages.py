"""
HTTP messages: a request of a browser and the answer to it, apart from how they travel. Pure.

`fliq all` answers them at the API's port, `fliq console` at a port of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Final, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlencode

FIELDS_MAX: Final = 400  # of a form: a page of jobs that are all selected has a hundred
HTML: Final = "text/html; charset=utf-8"

# Nothing comes from another host, nothing inline runs, and no page of another site may show one of ours in a frame.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


# The API's reference has pictures inside its style.
REFERENCE_POLICY: Final = CONTENT_SECURITY_POLICY.replace("img-src 'self'", "img-src 'self' data:")


class Request(NamedTuple):
    """
    A request of a browser.

    Args:
        path: behind the console's path; begins with `/`, or is empty.
        query, form: names and values in their order; empty values are kept.
        headers: by name in lower case.
        document: the body, if it is JSON; such a body is no form.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    form: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    document: bytes = b""

    def asked(self, name: str) -> str:
        """Return the first value of *name* in the query without blanks around it; empty if it is not there."""
        return _first(self.query, name)

    def given(self, name: str) -> str:
        """Return the first value of *name* in the form without blanks around it; empty if it is not there."""
        return _first(self.form, name)

    def all_given(self, name: str) -> list[str]:
        """Return each value of *name* in the form, once, in their order."""
        return list(dict.fromkeys(value for each, value in self.form if each == name and value))

    def cookie(self, name: str) -> str:
        """Return the cookie *name*; empty if there is none."""
        try:
            found = SimpleCookie(self.headers.get("cookie", "")).get(name)
        except CookieError:
            return ""
        return found.value if found is not None else ""


class Stream(Protocol):
    """A body that comes in pieces."""

    def pieces(self) -> AsyncIterator[bytes]:
        """Return the pieces as they come; raises nothing if the stream breaks, but ends."""

    def close(self) -> None:
        """End it: nobody reads it any more. May be called twice."""


class Answer(NamedTuple):
    """What is answered; *headers* besides Content-Type and Content-Length. With a *stream* that is the body."""

    status: int
    body: bytes = b""
    content_type: str = HTML
    headers: Mapping[str, str] = {}
    stream: Stream | None = None


def fields_of(text: str) -> list[tuple[str, str]]:
    """
    Return the names and values of a query or a form.

    Raises:
        ValueError: there are too many.
    """
    return parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="replace")


def query_of(**values: object) -> str:
    """Return `?name=value&...` of the *values* that are not empty; empty if none is left."""
    kept = {name: str(value) for name, value in values.items() if value not in (None, "")}
    return f"?{urlencode(kept)}" if kept else ""


def see_other(place: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return the answer that sends a browser to *place* with a GET."""
    return Answer(303, headers={"Location": place, **(headers or {})})


def _first(fields: Sequence[tuple[str, str]], name: str) -> str:
    return next((value.strip() for each, value in fields if each == name), "")
