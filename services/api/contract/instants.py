"""
Instants: RFC 3339 text to milliseconds since 1970 (`libs.domain.instants.rfc3339` is the way back). Pure.

Taken are a full date, `T`, a full time, up to nine decimals, and `Z` or an offset. ISO 8601 knows more (weeks, the basic
format, times without a zone, 24:00, a comma), which is refused because readers differ about what it means. A leap second is
refused because the log's numbering has no place for it. Decimals beyond milliseconds are cut off.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def parse_instant(text: str) -> int | None:
    """Return the milliseconds since 1970 that *text* names, maybe negative; None when it names no instant."""
    if _RFC3339.fullmatch(text) is None:
        return None
    try:
        return (datetime.fromisoformat(text.upper()) - _EPOCH) // _MILLISECOND
    except ValueError:
        return None  # a day that the calendar does not have


def ten_years_after(now: int) -> int:
    """Return the same date and time ten years after *now* (29 February counts as the 28th)."""
    at = _EPOCH + timedelta(milliseconds=now)
    try:
        return now + (at.replace(year=at.year + 10) - at) // timedelta(milliseconds=1)
    except ValueError:
        return now + (at.replace(year=at.year + 10, day=28) - at) // timedelta(milliseconds=1)


def next_midnight(now: int) -> int:
    """Return the UTC midnight after *now*."""
    return (now // 86_400_000 + 1) * 86_400_000


def utc_day(now: int) -> date:
    """Return the UTC day of *now*."""
    return (_EPOCH + timedelta(milliseconds=now)).date()
