"""The gate's looks at log and tables, when they fail."""

from __future__ import annotations

import asyncio

import pytest

from libs.log.memory import MemoryLog
from services.api import gate as gates
from services.api.gate import Gate


class BrokenLog(MemoryLog):
    """Fails three times as no log should, when it is asked where it ends."""

    def __init__(self) -> None:
        super().__init__(partitions=1)
        self.asked = 0
        self.answered = asyncio.Event()

    async def end(self, partition: int) -> int:
        self.asked += 1
        if self.asked <= 3:
            raise AssertionError("a driver's defect")
        self.answered.set()
        return await super().end(partition)


class Surroundings:
    """Tables that hold everything, and a clock."""

    def known(self, partition: int) -> int:
        return 1_000_000

    def now(self) -> int:
        return 0


async def test_a_defect_does_not_end_the_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """They go on, so that the replica does not stay unready for good."""
    monkeypatch.setattr(gates, "LOOK_S", 0.001)
    log, around = BrokenLog(), Surroundings()
    await log.start()
    gate = Gate(log=log, progress=around, queries=around, clock=around, daily_limit=0, partition_count=1)  # type: ignore[arg-type]
    looking = asyncio.create_task(gate.look_forever())
    async with asyncio.timeout(5):
        await log.answered.wait()
    assert not looking.done()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await log.stop()
    assert not gate.is_overloaded
