"""The looks of the creation limits at log and tables, when they fail."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from libs.log.memory import MemoryLog
from services.api.contract.api_error import ApiError
from services.api.state import creation_limits
from services.api.state.creation_limits import CreationLimits


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

    def __init__(self) -> None:
        self.at = 0
        self.used = 0

    def known(self, partition: int) -> int:
        return 1_000_000

    def now(self) -> int:
        return self.at

    async def usage(self, account: str, day: date) -> int:
        return self.used


async def test_what_was_used_is_looked_up_again_after_the_clock_was_put_back() -> None:
    """A number from what was called "later today" is not a second old for hours."""
    around = Surroundings()
    log = MemoryLog(partitions=1)
    limits = CreationLimits(
        log=log, progress=around, queries=around, clock=around, daily_limit=lambda _: 2_000, partition_count=1
    )  # type: ignore[arg-type]
    around.at = 3_600_000
    await limits.check_daily("a")
    around.at, around.used = 0, 2_000
    with pytest.raises(ApiError, match="used up"):
        await limits.check_daily("a")


async def test_a_defect_does_not_end_the_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """They go on, so that the replica does not stay unready for good."""
    monkeypatch.setattr(creation_limits, "LOOK_S", 0.001)
    log, around = BrokenLog(), Surroundings()
    await log.start()
    limits = CreationLimits(
        log=log, progress=around, queries=around, clock=around, daily_limit=lambda _: 0, partition_count=1
    )  # type: ignore[arg-type]
    looking = asyncio.create_task(limits.look_forever())
    async with asyncio.timeout(5):
        await log.answered.wait()
    assert not looking.done()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await log.stop()
    assert not limits.is_overloaded


async def test_nobody_looks_for_those_who_do_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """While no new work comes, the log is not asked for a while; with the first request it is asked at once."""
    monkeypatch.setattr(creation_limits, "LOOK_S", 0.001)
    monkeypatch.setattr(creation_limits, "QUIET_LOOK_S", 60.0)
    around, log = Surroundings(), BrokenLog()
    log.asked = 3  # no more defects
    limits = CreationLimits(
        log=log, progress=around, queries=around, clock=around, daily_limit=lambda _: 0, partition_count=1
    )  # type: ignore[arg-type]
    looking = asyncio.create_task(limits.look_forever())
    async with asyncio.timeout(5):
        for looks in (1, 2, 3):
            await log.answered.wait()
            log.answered.clear()
            assert log.asked == 3 + looks
            limits.check_load()
        await log.answered.wait()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await log.stop()
