"""The ends of many partitions, asked together."""

from __future__ import annotations

import asyncio

import pytest

from libs.events.envelope import Envelope
from libs.log.ends import all_ends, ends_of
from libs.log.memory import MemoryLog
from libs.log.port import LogDamaged


class PartlyAway(MemoryLog):
    """Partition 1 never answers, partition 2 is damaged."""

    async def end(self, partition: int) -> int:
        if partition == 1:
            await asyncio.Event().wait()
        if partition == 2:
            raise LogDamaged("the test damaged it")
        return await super().end(partition)


async def test_all_ends_by_partition() -> None:
    """Without partitions all are asked; with some only those."""
    log = MemoryLog(partitions=3)
    await log.start()
    await log.append(1, [Envelope("t", 1, True, None, "k", b"")])

    assert await all_ends(log) == {0: 0, 1: 1, 2: 0}
    assert await all_ends(log, [1]) == {1: 1}
    await log.stop()


async def test_a_partition_that_does_not_answer_leaves_the_others_their_ends() -> None:
    """The reason is said once: no answer in time comes before the log's own error."""
    log = PartlyAway(partitions=3)
    await log.start()

    ends, reason = await ends_of(log, range(3), 0.05)
    assert ends == {0: 0}
    assert isinstance(reason, TimeoutError)

    ends, reason = await ends_of(log, [0, 2], 5.0)
    assert ends == {0: 0}
    assert isinstance(reason, LogDamaged)

    with pytest.raises(LogDamaged):
        await all_ends(log, [0, 2])
    await log.stop()
