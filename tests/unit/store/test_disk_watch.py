"""The disk of the embedded PostgreSQL: when the history is shortened, and when nothing new is taken."""

from __future__ import annotations

from pathlib import Path

from libs.store.health.disk_watch import REMEMBER_MS, DiskWatch
from tests.simulation.manual_clock import ManualClock


class Disk:
    """A disk of a thousand bytes."""

    free = 500

    def measure(self, _: Path) -> tuple[int, int, int]:
        return 1_000, 1_000 - self.free, self.free


def watched(min_free: float = 0.1) -> tuple[Disk, DiskWatch, ManualClock]:
    disk, clock = Disk(), ManualClock()
    return disk, DiskWatch(Path(), min_free, clock, measure=disk.measure), clock


def test_the_history_is_shortened_while_the_free_space_falls() -> None:
    """If it stays, deleted rows make room for new ones: then it is short enough."""
    disk, watch, _ = watched()
    found = []
    for free in (500, 100, 99, 98, 98, 98, 97, 300, 99):
        disk.free = free
        found.append(watch.is_short())

    assert found == [False, False, True, True, False, False, True, False, True]


def test_new_work_is_refused_last() -> None:
    """Below three parts in a hundred, within a second; with room again it is taken."""
    disk, watch, clock = watched()
    found = []
    for free in (99, 30, 29, 500):
        disk.free = free
        clock.set(clock.now() + REMEMBER_MS)
        found.append(watch.is_full())
    disk.free = 1

    assert found == [False, False, True, False]
    assert not watch.is_full(), "it is looked at once in a second"


def test_a_watch_that_is_off_sees_nothing() -> None:
    """FLIQ_DISK_MIN_FREE is 0."""
    disk, watch, _ = watched(0.0)
    disk.free = 0

    assert not watch.is_short()
    assert not watch.is_full()


def test_a_folder_that_is_not_there_is_not_full() -> None:
    """Before the first start."""
    watch = DiskWatch(Path("/nowhere/at/all"), 0.1, ManualClock())

    assert not watch.is_short()
    assert not watch.is_full()
