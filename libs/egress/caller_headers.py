"""
Callers: what a caller's own headers may say on a call of ours, where a call goes, and how its failure is worded. Pure.

`X-Fliq-*`, `webhook-*` and the headers that frame a message are Fliq's alone. The API refuses them; they are left out again here,
because a stored spec may be older than today's rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from libs.egress.request import FRAMING_HEADERS

ERROR_LENGTH_MAX: Final = 200
INTERNAL_ERROR: Final = "internal_error"  # a defect of ours; its traceback is in our log, never in the API

_RESERVED: Final = ""


def own_headers(headers: Mapping[str, str] | None) -> tuple[list[tuple[str, str]], set[str]]:
    """Return the caller's headers as they are sent, and their names in lower case."""
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
    """Return scheme, host and port of a normalised URL: what a per-host limit counts by."""
    slash = url.find("/", url.find("://") + 3)
    return url if slash < 0 else url[:slash]


def clean_error(text: str | None) -> str:
    """Return *text* as it may stand in log and tables: one line without control characters, bounded in length."""
    if not text:
        return INTERNAL_ERROR
    if not (text.isascii() and text.isprintable()):
        text = "".join([letter if letter.isprintable() else " " for letter in text])
    return text[:ERROR_LENGTH_MAX]


@lru_cache(4096)  # names repeat from call to call
def _lowered(name: str) -> str:
    lowered = name.lower()
    meant = lowered.replace("_", "-")  # what a receiver behind CGI or WSGI reads (RFC 3875 §4.1.18)
    return _RESERVED if meant in FRAMING_HEADERS or meant.startswith(("x-fliq-", "webhook-")) else lowered
