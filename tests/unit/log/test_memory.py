"""The memory log's own promises: its faults, and that it is deterministic. What every log promises is in tests/conformance."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.events import Envelope
from libs.log.memory import LATE, LOST, REPLY_LOST, Fate, Faults, MemoryLog
from libs.log.port import AppendFailed, LogUnavailable
from tests.simulation.manual_clock import ManualClock


def envelope(text: str) -> Envelope:
    return Envelope("job.scheduled", 1, True, None, "job_x", text.encode())


async def values(log: MemoryLog, partition: int = 0) -> list[str]:
    return [record.envelope.value.decode() for record in await log.read(partition, 0)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def log(clock: ManualClock) -> AsyncIterator[MemoryLog]:
    log = MemoryLog(partitions=2, clock=clock, faults=Faults())
    await log.start()
    yield log
    await log.stop()


async def test_reply_lost_is_written(log: MemoryLog) -> None:
    """G6: an append whose reply is lost fails, and its records stand in the log."""
    log.faults.plan(REPLY_LOST)
    with pytest.raises(AppendFailed):
        await log.append(0, [envelope("a")])
    assert await values(log) == ["a"]


async def test_lost_is_not_written(log: MemoryLog) -> None:
    """G6: a lost append fails, leaves no record and no gap."""
    log.faults.plan(LOST)
    with pytest.raises(AppendFailed):
        await log.append(0, [envelope("a")])
    assert await log.append(0, [envelope("b")]) == 0
    assert await values(log) == ["b"]


async def test_late_lands_behind_later_appends(log: MemoryLog) -> None:
    """G6: a late append lands behind as many later appends of its partition as its fate says, and wholly."""
    log.faults.plan(Fate(end="late", late_after=2))
    with pytest.raises(AppendFailed):
        await log.append(0, [envelope("x"), envelope("y")])
    await log.append(1, [envelope("elsewhere")])
    await log.append(0, [envelope("a")])
    assert await values(log) == ["a"]
    await log.append(0, [envelope("b")])
    assert await values(log) == ["a", "b", "x", "y"]


async def test_land_late_at_will(log: MemoryLog) -> None:
    """A test may land what is late when it likes; it lands once."""
    log.faults.plan(LATE)
    with pytest.raises(AppendFailed):
        await log.append(0, [envelope("x")])
    assert (log.land_late(), log.land_late()) == (1, 0)
    assert await values(log) == ["x"]


async def test_fates_can_be_meant_for_one_partition(log: MemoryLog) -> None:
    """A fate planned for a partition waits for an append to that partition."""
    log.faults.plan(LOST, partition=1)
    assert await log.append(0, [envelope("a")]) == 0
    with pytest.raises(AppendFailed):
        await log.append(1, [envelope("b")])


async def test_delay_holds_up_those_behind(log: MemoryLog, clock: ManualClock) -> None:
    """G2: appends behind a delayed one are written behind it, in their order."""
    log.faults.plan(Fate(delay_ms=50))
    appends = [asyncio.create_task(log.append(0, [envelope(text)])) for text in "abc"]
    await clock.advance(49)
    assert await values(log) == []
    await clock.advance(1)
    assert await asyncio.gather(*appends) == [0, 1, 2]
    assert await values(log) == ["a", "b", "c"]


async def test_delay_beyond_timeout_is_unknown_and_lands(log: MemoryLog, clock: ManualClock) -> None:
    """G6: an append that is given up on may still land."""
    log.faults.plan(Fate(delay_ms=100))
    append = asyncio.create_task(log.append(0, [envelope("a")], timeout_s=0.05))
    await clock.advance(50)
    with pytest.raises(AppendFailed):
        await append
    await clock.advance(50)
    assert await values(log) == ["a"]


async def test_stop_ends_delayed_appends(log: MemoryLog, clock: ManualClock) -> None:
    """G7: an append under way ends as failed when the log is stopped; nothing hangs."""
    log.faults.plan(Fate(delay_ms=1_000_000))
    append = asyncio.create_task(log.append(0, [envelope("a")], timeout_s=1e6))
    await clock.advance(1)
    await log.stop()
    with pytest.raises(AppendFailed):
        await append


async def test_switches(log: MemoryLog) -> None:
    """Reads and appends can be made unavailable, each on its own, and healed."""
    log.faults.reads_unavailable = True
    await log.append(0, [envelope("a")])
    for call in (log.read(0, 0), log.end(0), log.begin(0)):
        with pytest.raises(LogUnavailable):
            await call
    log.faults.heal()
    log.faults.appends_unavailable = True
    with pytest.raises(LogUnavailable):
        await log.append(0, [envelope("b")])
    log.faults.heal()
    assert await values(log) == ["a"]


async def test_draw_decides_the_rest() -> None:
    """A generator decides the fate of every append without a planned one: the same draws, the same log."""

    async def run() -> list[str]:
        fates = iter([LOST, Fate(), LATE, Fate(), REPLY_LOST])
        log = MemoryLog(partitions=1, faults=Faults(draw=lambda partition, envelopes: next(fates)))
        await log.start()
        for text in "abcde":
            try:
                await log.append(0, [envelope(text)])
            except AppendFailed:
                continue
        return await values(log)

    assert await run() == await run() == ["b", "d", "c", "e"]
