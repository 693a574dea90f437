"""
Instants: RFC 3339 text to milliseconds since 1970 (`libs.domain.instants.rfc3339` is the way back). Pure.

Taken are a full date, `T`, a full time, any number of decimals, and `Z` or an offset. ISO 8601 knows more (weeks, the basic
format, times without a zone, 24:00, a comma), which is refused because readers differ about what it means. A leap second is
refused because the log's numbering has no place for it. An instant between two milliseconds is rounded
up, so that no call leaves before the instant that was asked for.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_LEAP_SECOND: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:60(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
LATEST: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def parse_instant(text: str) -> int | None:
    """Return the milliseconds since 1970 that *text* names, maybe negative; None when it names no instant."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    decimals = found[2] or ""
    if len(decimals) > 7:  # a dot and microseconds: Python reads no more
        text = found[1] + decimals[:7] + found[3]
    try:
        at = (datetime.fromisoformat(text.upper()) - _EPOCH) // _MILLISECOND
    except ValueError:
        return None  # a day that the calendar does not have
    return at + 1 if decimals[4:].strip("0") else at


def why_no_instant(text: object) -> str:
    """Return what is wrong with something of which `parse_instant` makes no instant, as the end of a sentence."""
    if isinstance(text, str) and _RFC3339.fullmatch(text) is not None:
        return f"names a day that the calendar does not have: {text[:10]}"
    if isinstance(text, str) and _LEAP_SECOND.fullmatch(text) is not None:
        return "names a leap second, which Fliq's clock does not have: take the second before or after it"
    return "must be RFC 3339 with Z or an offset, such as 2026-04-01T09:00:00Z"


def ten_years_after(now: int) -> int:
    """Return the same date and time ten years after *now* (29 February counts as the 28th)."""
    at = _EPOCH + timedelta(milliseconds=now)
    try:
        return now + (at.replace(year=at.year + 10) - at) // timedelta(milliseconds=1)
    except ValueError:
        return now + (at.replace(year=at.year + 10, day=28) - at) // timedelta(milliseconds=1)


def utc_day(now: int) -> date:
    """Return the UTC day of *now*."""
    return (_EPOCH + timedelta(milliseconds=now)).date()
