"""
Header rules: which headers a caller may have sent along with a job or a webhook. Pure.

Names are tokens, values are printable ASCII. A caller writes a value in another alphabet as RFC 8187 says.

Two groups of names are reserved and refused: what Fliq signs or numbers with (`X-Fliq-*`, `webhook-*`), and what belongs to
the connection rather than to the message, because two opinions on framing let requests be smuggled.
"""

import re
from functools import lru_cache
from typing import Any, Final

from libs.egress.request import FRAMING_HEADERS
from services.api.contract.api_error import refuse
from services.api.contract.field import Field, Rules
from services.api.contract.json_body import Duplicated

HEADERS_MAX: Final = 50
NAME_MAX: Final = 128  # bytes
VALUE_MAX: Final = 4096  # bytes
TOTAL_MAX: Final = 16_384  # bytes, names and values together
_JUDGED_MAX: Final = 2048  # names remembered: callers send the same few with every job
_NAMES_MAX: Final = 256  # the same of all names of one job, which take at most 15 kB

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
RESERVED_PREFIXES: Final = ("proxy-", "webhook-", "x-fliq-")
RESERVED: Final = frozenset(name for name in FRAMING_HEADERS if not name.startswith(RESERVED_PREFIXES))


def field(name: str, *, rule: str) -> Field:
    """Return the field *name* (`headers` or `webhook_headers`) of a request."""

    def read(value: Any, _found: dict[str, Any], _rules: Rules) -> dict[str, str] | None:
        return check_headers(name, value)

    return Field(
        name=name,
        read=read,
        schema={
            "type": "object",
            "maxProperties": HEADERS_MAX,
            "propertyNames": {"pattern": f"^{_NAME.pattern}$", "maxLength": NAME_MAX},
            "additionalProperties": {"type": "string", "pattern": f"^{_VALUE.pattern}$", "maxLength": VALUE_MAX},
            "examples": [{"Content-Type": "application/json"}],
        },
        rule=rule,
        code="invalid_headers",
        means="headers or webhook_headers are not a map of sendable HTTP headers.",
        default=None,
        takes_null=True,
    )


def check_headers(name: str, value: Any) -> dict[str, str] | None:
    """
    Return the headers given as the field *name*, None if there are none.

    Raises:
        ApiError: 400 `invalid_headers`, `reserved_header` or `duplicate_field`.
    """
    if type(value) is not dict:
        if type(value) is Duplicated:
            refuse("duplicate_field", f"{name}: the name {value.name[:40]!r} stands there twice")
        refuse("invalid_headers", f"{name} must be an object whose values are strings")
    if len(value) > HEADERS_MAX:
        refuse("invalid_headers", f"{name} may hold at most {HEADERS_MAX} headers")
    if _are_short(value):
        return value or None
    total = 0
    seen = set()
    for header, text in value.items():
        lower, is_reserved = _judge(header) if len(header) <= NAME_MAX else ("", False)
        if not lower:
            refuse("invalid_headers", f"{name}: {header[:40]!r} is not a header name of at most {NAME_MAX} characters")
        # Nearly every value passes the test without the pattern, which costs half; the pattern also knows the tab.
        is_text = type(text) is str and len(text) <= VALUE_MAX
        if not is_text or not ((text.isascii() and text.isprintable()) or _VALUE.fullmatch(text)):
            refuse(
                "invalid_headers",
                f"{name}: the value of {header!r} must be a string of at most {VALUE_MAX} printable ASCII characters",
            )
        if is_reserved:
            refuse("reserved_header", f"{name}: {header!r} cannot be set by the caller")
        seen.add(lower)
        total += len(header) + len(text)
    if len(seen) != len(value):
        refuse("invalid_headers", f"{name}: a name stands there twice, in different letter case")
    if total > TOTAL_MAX:
        refuse("invalid_headers", f"{name} may be at most {TOTAL_MAX} bytes in all")
    return value or None


def _are_short(value: dict[str, Any]) -> bool:
    """Whether *value* keeps all rules because all its values together are no longer than one may be: nearly all headers are so."""
    try:
        text = "".join(value.values())
    except TypeError:
        return False  # a value is no string
    names = "".join(value)
    is_short = len(text) <= VALUE_MAX and len(names) <= TOTAL_MAX - VALUE_MAX  # names are remembered: no long ones
    return is_short and text.isascii() and names.isascii() and text.isprintable() and _are_names(tuple(value))


@lru_cache(_NAMES_MAX)
def _are_names(names: tuple[str, ...]) -> bool:
    """Whether a caller may set these headers together."""
    judged = [_judge(name) for name in names if len(name) <= NAME_MAX]
    lower = {each for each, is_reserved in judged if each and not is_reserved}
    return len(lower) == len(names)


@lru_cache(_JUDGED_MAX)
def _judge(name: str) -> tuple[str, bool]:
    """Return *name* in lower case, empty when it is no header name, and whether it is reserved."""
    if _NAME.fullmatch(name) is None:
        return "", False
    lower = name.lower()
    # Receivers behind CGI or WSGI see one name for `-` and `_` (RFC 3875 §4.1.18), so both spellings are reserved.
    meant = lower.replace("_", "-")
    return lower, meant in RESERVED or meant.startswith(RESERVED_PREFIXES)
