"""Left partitions: this process left them to a newer build, because it must understand their next record and does not."""

from collections.abc import Container
from typing import Final

from libs.runtime.clock import Clock

LEAVE_S: Final = 30.0  # before the same process tries such a partition again: perhaps no other process has taken it
_REMEMBERED_MS: Final = (
    35_000  # a little longer than that, so that a partition left again and again never looks healthy
)


class LeftPartitions:
    """The partitions that were left in the last 35 s, and why."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: dict[int, tuple[str, int]] = {}

    def note(self, partition: int, reason: str) -> None:
        """Remember that *partition* was left just now, and why."""
        self._left[partition] = reason, self._clock.steady() + _REMEMBERED_MS

    def reason(self, healthy: Container[int]) -> str | None:
        """Return why the first left partition that is not *healthy* again was left, or None."""
        now = self._clock.steady()
        self._left = {part: (why, until) for part, (why, until) in self._left.items() if until > now}
        return next((f"partition {part}: {why}" for part, (why, _) in self._left.items() if part not in healthy), None)

    def count(self, healthy: Container[int]) -> int:
        """Return how many were left and are not *healthy* again."""
        now = self._clock.steady()
        return sum(until > now and part not in healthy for part, (_, until) in self._left.items())
