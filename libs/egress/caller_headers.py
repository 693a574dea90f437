"""
Caller headers: which of a job's own headers are sent with its call, which host a URL names, and how an error text is cleaned. Pure.

Only Fliq may set `X-Fliq-*`, `webhook-*` and the headers that frame a message. The API refuses them in a job. They are left out
here once more, because a stored job may be older than today's rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from libs.egress.request import FRAMING_HEADERS

ERROR_LENGTH_MAX: Final = 200
INTERNAL_ERROR: Final = (
    "internal_error"  # a defect of Fliq; its traceback is in the log of the process, never in the API
)

_RESERVED: Final = ""


def own_headers(headers: Mapping[str, str] | None) -> tuple[list[tuple[str, str]], set[str]]:
    """Return the headers to send, and their names in lower case."""
    sent: list[tuple[str, str]] = []
    names: set[str] = set()
    if headers:
        for name, value in headers.items():
            lowered = _lowered(name)
            if lowered != _RESERVED:
                sent.append((name, value))
                names.add(lowered)
    return sent, names


def host_of(url: str) -> str:
    """Return scheme, host and port of a normalised URL: the key of the limit per host."""
    slash = url.find("/", url.find("://") + 3)
    return url if slash < 0 else url[:slash]


def endpoint_of(url: str) -> str:
    """Return origin and path of a normalised URL, without its query: what one receiver is."""
    return sent_url(url.partition("?")[0])


def sent_url(url: str) -> str:
    """Return a normalised URL as it is sent, and therefore signed: a URL without a path is called at `/`."""
    return f"{url}/" if host_of(url) == url else url


def clean_error(text: str | None) -> str:
    """Return *text* as log and tables may hold it: one line without control characters, at most `ERROR_LENGTH_MAX` long."""
    if not text:
        return INTERNAL_ERROR
    if not (text.isascii() and text.isprintable()):
        text = "".join([letter if letter.isprintable() else " " for letter in text])
    return text[:ERROR_LENGTH_MAX]


@lru_cache(4096)  # the same names come with every call
def _lowered(name: str) -> str:
    lowered = name.lower()
    meant = lowered.replace("_", "-")  # how a receiver behind CGI or WSGI reads it (RFC 3875 §4.1.18)
    return _RESERVED if meant in FRAMING_HEADERS or meant.startswith(("x-fliq-", "webhook-")) else lowered
