"""Reading a job's records back: which reads of the log that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from libs.events import Envelope
from libs.log.memory import MemoryLog
from libs.log.port import Record
from services.api.handlers.jobs.timeline import SPAN, records_at

END = 400


class CountedLog(MemoryLog):
    """A log that gives at most *at_once* records, and notes what is read and how many read at the same time."""

    def __init__(self, *, at_once: int = 10_000) -> None:
        super().__init__(partitions=1)
        self.reads: list[tuple[int, int]] = []
        self.reading = self.reading_most = 0
        self._at_once = at_once

    async def read(self, partition: int, position: int, *, max_records: int = 500, wait_s: float = 0.0) -> list[Record]:
        self.reads.append((position, max_records))
        self.reading += 1
        self.reading_most = max(self.reading_most, self.reading)
        await asyncio.sleep(0)
        self.reading -= 1
        return await super().read(partition, position, max_records=min(max_records, self._at_once), wait_s=wait_s)


async def read_back(log: CountedLog, positions: Sequence[int]) -> list[int]:
    """Return the positions that were found in a log of `END` records."""
    await log.start()
    try:
        await log.append(0, [Envelope("job.scheduled", 1, True, None, "job_x", b"{}") for _ in range(END)])
        return [record.position for record in await records_at(log, 0, positions)]
    finally:
        await log.stop()


async def test_a_long_life_takes_a_read_for_each_attempt() -> None:
    """Twenty-one attempts far apart, with three events each: as many reads as attempts, one after the other."""
    positions = [start + step for start in range(0, 399, 19 + SPAN) for step in (0, 7, 11)]
    log = CountedLog()

    assert await read_back(log, positions) == positions
    assert len(log.reads) == len(positions) // 3
    assert max(count for _, count in log.reads) == 12
    assert log.reading_most == 1


@given(st.lists(st.integers(0, END - 1), max_size=64), st.sampled_from([1, 2, 7, 10_000]))
def test_every_record_comes_once_in_order(positions: list[int], at_once: int) -> None:
    """However the positions lie, and however few records a read gives."""
    assert asyncio.run(read_back(CountedLog(at_once=at_once), positions)) == sorted(set(positions))


async def test_what_is_not_there_is_left_out() -> None:
    """A position at the end of the log, where nothing is written yet, ends nothing."""
    assert await read_back(CountedLog(), [3, END]) == [3]
