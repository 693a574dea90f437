"""The pauses between the tries of one thing: each twice as long as the one before it, up to a bound."""

from collections.abc import Iterator
from typing import Final

FIRST_S: Final = 0.02
LAST_S: Final = 0.5


def growing_pauses(first_s: float = FIRST_S, last_s: float = LAST_S) -> Iterator[float]:
    """Yield the pauses, in seconds, for ever."""
    while True:
        yield first_s
        first_s = min(first_s * 2, last_s)
