"""Spans: how far a clock is moved, read from the text of a request. Pure."""

from __future__ import annotations

import re
from typing import Final

_ISO: Final = re.compile(
    r"P(?:([0-9]{1,6})W)?(?:([0-9]{1,6})D)?(?:T(?:([0-9]{1,7})H)?(?:([0-9]{1,8})M)?(?:([0-9]{1,9}(?:\.[0-9]{1,3})?)S)?)?"
)
_UNITS_S: Final = (604_800, 86_400, 3_600, 60, 1)
SPAN_MAX_MS: Final = 20 * 366 * 86_400_000


def span_ms(given: object) -> int:
    """
    Return a span in milliseconds: a number of seconds, or an ISO 8601 duration of weeks, days and a time (`P30D`, `PT90M`).

    Raises:
        ValueError: it is neither, negative, or longer than 20 years; the message says what to write.
    """
    seconds = -1.0
    if isinstance(given, int | float) and not isinstance(given, bool):
        seconds = float(given)
    elif isinstance(given, str) and (found := _ISO.fullmatch(given)) is not None and any(found.groups()):
        seconds = sum(float(part) * unit for part, unit in zip(found.groups("0"), _UNITS_S, strict=True))
    if not 0 <= seconds * 1_000 <= SPAN_MAX_MS:
        raise ValueError("by is a number of seconds, or a duration such as P30D or PT90M, of at most 20 years")
    return round(seconds * 1_000)
