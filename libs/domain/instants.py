"""Instants: milliseconds since 1970-01-01 UTC, as people and other programs read them."""

from datetime import UTC, datetime
from functools import lru_cache


def rfc3339(at: int) -> str:
    """Return *at* as RFC 3339 in UTC with `Z`; the milliseconds are shown only where they are not zero."""
    seconds, ms = divmod(at, 1000)
    return f"{_second(seconds)}.{ms:03d}Z" if ms else f"{_second(seconds)}Z"


@lru_cache(1024)  # many calls of one moment share their second
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
