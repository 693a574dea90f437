"""One partition whose rows the tables refuse, among others in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from libs.runtime.telemetry.metrics import Metrics
from libs.store.errors import StoreUnavailable
from libs.store.projection.changes import Flush, PartitionChanges
from services.scheduler.flusher import Flusher
from services.scheduler.metrics import SchedulerMetrics
from tests.simulation.manual_clock import ManualClock


class Saver:
    """An owner as far as the flusher sees it: something to save, over and over."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.position = 10
        self.saved = -1
        self.is_broken = False

    def take_flush(self) -> Flush | None:
        if self.is_broken:
            raise RuntimeError("planted")
        if self.saved == self.position:
            return None
        return Flush(self.partition, "nonce", self.saved, self.position, None, PartitionChanges(self.partition))

    def flushed(self) -> None:
        self.saved = self.position

    def fence_lost(self) -> None:
        raise AssertionError("nobody refuses here")


class Tables:
    """Refuses the rows of some partitions, as a server does with a value that it cannot keep."""

    def __init__(self) -> None:
        self.refused: set[int] = set()
        self.is_away = False
        self.groups: list[list[int]] = []

    async def flush(self, flushes: Sequence[Flush]) -> set[int]:
        self.groups.append([flush.partition for flush in flushes])
        if self.is_away:
            raise StoreUnavailable("away")
        if any(flush.partition in self.refused for flush in flushes):
            raise ValueError("a value that the tables cannot keep")
        return set()


async def test_a_partition_that_cannot_be_saved_holds_up_no_other() -> None:
    """The others are saved, readiness still says that something is wrong, and afterwards all are saved together again."""
    clock, tables = ManualClock(), Tables()
    owners = {partition: Saver(partition) for partition in range(4)}
    flusher = Flusher(tables, owners, clock, SchedulerMetrics(Metrics(version="test")))  # type: ignore[arg-type]
    running = asyncio.create_task(flusher.run())
    tables.refused, owners[3].is_broken = {1}, True
    flusher.wake()
    await clock.advance(1_000)
    assert [owner.saved for owner in owners.values()] == [10, -1, 10, -1]
    assert flusher.failing_since is not None

    tables.is_away = True
    owners[0].position = 11
    await clock.advance(1_000)
    tables.is_away = False
    await clock.advance(1_000)
    assert owners[0].saved == 11

    tables.refused, owners[3].is_broken = set(), False
    await clock.advance(1_000)
    assert [owner.saved for owner in owners.values()] == [11, 10, 10, 10]
    assert flusher.failing_since is None
    for owner in owners.values():
        owner.position = 12
    flusher.wake()
    await clock.advance(100)
    assert tables.groups[-1] == [0, 1, 2, 3]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
