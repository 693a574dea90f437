"""
Instants: RFC 3339 text to milliseconds since 1970 and back. Pure.

In: a full date, `T`, a full time, up to nine decimals, and `Z` or an offset. Nothing else that ISO 8601 knows (weeks,
basic format, naive times, 24:00, a comma) is taken: it would mean different things to different readers. A leap second
is refused: the instant does not exist in the log's numbering. Decimals beyond milliseconds are cut off.

Out: UTC with `Z`; milliseconds only where they are not zero.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL: Final = _EPOCH.toordinal()
_RENDERED_MAX: Final = 4096  # distinct seconds remembered as text, about 100 bytes each


def parse_instant(text: str) -> int | None:
    """Return the milliseconds since 1970 that *text* names, maybe negative; None when it names no instant."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, decimals, sign, offset_hour, offset_minute = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        return None
    seconds = days * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign is not None:
        offset = int(offset_hour) * 3600 + int(offset_minute) * 60
        seconds -= offset if sign == "+" else -offset
    return seconds * 1000 + (int(decimals[:3].ljust(3, "0")) if decimals is not None else 0)


def render_instant(at: int) -> str:
    """Return *at*, milliseconds since 1970, as RFC 3339 in UTC."""
    second, ms = divmod(at, 1000)
    return f"{_render_second(second)}.{ms:03d}Z" if ms else _render_second(second) + "Z"


@lru_cache(_RENDERED_MAX)
def _render_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat()[:19]


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
