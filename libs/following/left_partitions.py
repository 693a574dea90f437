"""Left partitions: those that a reader left to a newer build, because their next record must be understood and is not."""

from collections.abc import Container
from typing import Final

from libs.runtime.clock import Clock

LEAVE_S: Final = 30.0  # before the same process looks at such a partition again: nobody may have taken it
_SHOWN_MS: Final = 35_000  # a little longer: left again and again it must not look healthy in between


class LeftPartitions:
    """What was left lately, for those who ask how this process is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: dict[int, tuple[str, int]] = {}

    def note(self, partition: int, reason: str) -> None:
        """Remember that *partition* was left just now, and why."""
        self._left[partition] = reason, self._clock.steady() + _SHOWN_MS

    def reason(self, healthy: Container[int]) -> str | None:
        """Return why the first of those left that are not *healthy* again was, or None."""
        now = self._clock.steady()
        self._left = {part: (why, until) for part, (why, until) in self._left.items() if until > now}
        return next((f"partition {part}: {why}" for part, (why, _) in self._left.items() if part not in healthy), None)

    def count(self, healthy: Container[int]) -> int:
        """Return how many were left and are not *healthy* again."""
        now = self._clock.steady()
        return sum(until > now and part not in healthy for part, (_, until) in self._left.items())
