"""
Header rules: which headers a caller may have sent along with a job or a webhook. Pure.

Names are tokens, values printable ASCII (a value in another alphabet is written as RFC 8187 says, by the caller).
Refused as reserved: everything Fliq signs or numbers with (`X-Fliq-*`, `webhook-*`) and everything that belongs to the
connection rather than to the message, since a second opinion on framing is how requests are smuggled.
"""

import re
from functools import lru_cache
from typing import Any, Final

from services.api.contract.errors import refuse

HEADERS_MAX: Final = 50
NAME_MAX: Final = 128  # bytes
VALUE_MAX: Final = 4096  # bytes
TOTAL_MAX: Final = 16_384  # bytes, names and values together
_JUDGED_MAX: Final = 2048  # names remembered: callers use few, in every job

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e]{0,4096}")
RESERVED: Final = frozenset(
    {
        *("connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "te", "trailer"),
        *("transfer-encoding", "upgrade"),
    }
)
RESERVED_PREFIXES: Final = ("proxy-", "webhook-", "x-fliq-")


def check_headers(field: str, value: Any) -> dict[str, str] | None:
    """
    Return the headers given as *field* (`headers` or `webhook_headers`), None when there are none.

    Raises:
        ApiError: 400 `invalid_headers` or `reserved_header`.
    """
    if value is None:
        return None
    if type(value) is not dict:
        refuse("invalid_headers", f"{field} must be an object whose values are strings")
    if len(value) > HEADERS_MAX:
        refuse("invalid_headers", f"{field} may hold at most {HEADERS_MAX} headers")
    total = 0
    seen = set()
    for name, text in value.items():
        lower, is_reserved = _judge(name) if len(name) <= NAME_MAX else ("", False)
        if not lower:
            refuse("invalid_headers", f"{field}: {name[:40]!r} is not a header name of at most {NAME_MAX} characters")
        if type(text) is not str or _VALUE.fullmatch(text) is None:
            refuse(
                "invalid_headers",
                f"{field}: the value of {name!r} must be a string of at most {VALUE_MAX} printable ASCII characters",
            )
        if is_reserved:
            refuse("reserved_header", f"{field}: {name!r} cannot be set by the caller")
        seen.add(lower)
        total += len(name) + len(text)
    if len(seen) != len(value):
        refuse("invalid_headers", f"{field}: a name stands there twice, in different letter case")
    if total > TOTAL_MAX:
        refuse("invalid_headers", f"{field} may be at most {TOTAL_MAX} bytes in all")
    return value or None


@lru_cache(_JUDGED_MAX)
def _judge(name: str) -> tuple[str, bool]:
    """Return *name* in lower case, empty when it is no header name, and whether it is reserved."""
    if _NAME.fullmatch(name) is None:
        return "", False
    lower = name.lower()
    # Receivers behind CGI or WSGI see one name for `-` and `_` (RFC 3875 §4.1.18), so both spellings are reserved.
    meant = lower.replace("_", "-")
    return lower, meant in RESERVED or meant.startswith(RESERVED_PREFIXES)
