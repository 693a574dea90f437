"""
Disk watch: whether the disk of the embedded PostgreSQL is running full, so that Fliq gives way before PostgreSQL stops.

    short    less than FLIQ_DISK_MIN_FREE is free, and less than at the look before: the history is shortened a little. Deleted
             rows leave room that PostgreSQL uses again, but the files do not shrink. So if the free space stays as it is, that is
             enough.
    full     less than `FULL` is free: new jobs and schedules are refused. What was accepted goes on.

With a database of the operator's own, nobody here knows its disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from libs.runtime.clock import Clock

FULL: Final = 0.03  # share of the file system
REMEMBER_MS: Final = 1_000

Measure = Callable[[Path], tuple[int, int, int]]  # total, used and free bytes


class DiskWatch:
    """Looks when it is asked."""

    def __init__(self, directory: Path, min_free: float, clock: Clock, *, measure: Measure = shutil.disk_usage) -> None:
        """Watch the file system of *directory*; *min_free* is a share of it, 0 to watch nothing."""
        self._directory = directory
        self._min_free = min_free
        self._clock = clock
        self._measure = measure
        self._free_before: int | None = None
        self._looked_at = -REMEMBER_MS
        self._is_full = False

    def is_short(self) -> bool:
        """Say whether the history is to be shortened; asked once for each look of the history."""
        total, free = self._look()
        if free >= total * self._min_free:
            self._free_before = None
            return False
        is_falling = self._free_before is None or free < self._free_before
        self._free_before = free
        return is_falling

    def is_full(self) -> bool:
        """Say whether nothing new is taken; at most a second old."""
        now = self._clock.steady()
        if now >= self._looked_at + REMEMBER_MS:
            total, free = self._look()
            self._looked_at, self._is_full = now, free < total * min(FULL, self._min_free)
        return self._is_full

    def _look(self) -> tuple[int, int]:
        try:
            total, _, free = self._measure(self._directory)
        except OSError:
            return 0, 0  # no local state yet: nothing to run out of
        return total, free
