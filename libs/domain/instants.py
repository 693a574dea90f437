"""Instants: milliseconds since 1970-01-01 UTC, as people and other programs read them."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTES = [f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(24 * 60)]


def day_of(at: int) -> int:
    """Return the UTC day of *at*, counted from 1970-01-01."""
    return at // DAY_MS


def next_midnight(at: int) -> int:
    """Return the UTC midnight after *at*."""
    return (at // DAY_MS + 1) * DAY_MS


def rfc3339(at: int) -> str:
    """
    Return *at* as RFC 3339 in UTC with `Z`; the milliseconds are shown only where they are not zero.

    Raises:
        OverflowError: *at* lies outside the years 1 to 9999.
    """
    seconds, ms = divmod(at, 1000)
    return f"{_second(seconds)}.{ms:03d}Z" if ms else f"{_second(seconds)}Z"


@lru_cache(4096)  # many jobs and calls share their second; about 100 bytes each
def _second(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    day, minute = divmod(minutes, 24 * 60)
    return f"{_date(day)}{_MINUTES[minute]}{second:02d}"


@lru_cache(4096)  # the jobs of a batch, spread over a day, each have another second, but share the day
def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()[:10]
