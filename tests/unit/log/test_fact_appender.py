"""Facts on their way into the log."""

import asyncio

import pytest

from libs.events import Envelope, JobCancelRequested, encode
from libs.events.ids import new_job_id
from libs.log.fact_appender import FactAppender
from libs.log.memory import LATE, LOST, REPLY_LOST, Fate, MemoryLog
from libs.log.port import MAX_VALUE_BYTES
from libs.runtime.pace import Pace
from tests.simulation.manual_clock import ManualClock


def fact(number: int) -> Envelope:
    return encode(JobCancelRequested(job_id=new_job_id(number, 0, b"12345678"), at=number))


async def setup() -> tuple[MemoryLog, ManualClock, FactAppender]:
    clock = ManualClock()
    log = MemoryLog(partitions=1, clock=clock)
    await log.start()
    return log, clock, FactAppender(log, 0, clock=clock)


async def test_each_fact_learns_its_position() -> None:
    """In the order in which they were put."""
    log, _, appender = await setup()
    positions: list[int] = []
    for number in range(5):
        appender.put(fact(number), positions.append)
    await appender.wait_idle()

    assert positions == [0, 1, 2, 3, 4]
    assert [record.envelope for record in await log.read(0, 0)] == [fact(number) for number in range(5)]
    assert appender.pending_count == 0


async def test_a_fact_whose_owner_fails_to_hear_of_it_stops_no_other() -> None:
    """The facts behind it are written, and told, all the same."""
    log, _, appender = await setup()
    positions: list[int] = []

    def deaf(_: int) -> None:
        raise RuntimeError("planted")

    appender.put(fact(0), deaf)
    appender.put(fact(1), positions.append)
    await appender.wait_idle()
    appender.put(fact(2), positions.append)
    await appender.wait_idle()

    assert positions == [1, 2]
    assert await log.end(0) == 3


async def test_what_comes_while_an_append_is_under_way_goes_together() -> None:
    """One append at a time: the first alone, the others in one."""
    log, clock, appender = await setup()
    sizes: list[int] = []
    log.faults.draw = lambda _, envelopes: (sizes.append(len(envelopes)), Fate(delay_ms=10))[1]
    for number in range(9):
        appender.put(fact(number), lambda _: None)
        await clock.settle(2)
    await clock.advance(20)

    assert sizes == [1, 8]
    assert appender.pending_count == 0


async def test_appenders_of_one_pace_append_in_the_same_round() -> None:
    """The first fact leaves at once; those of all partitions that come within the pace leave together, and so those after them."""
    clock = ManualClock()
    log = MemoryLog(partitions=3, clock=clock)
    await log.start()
    pace, began_at = Pace(clock, 16), clock.now()
    appenders = [FactAppender(log, partition, clock=clock, pace=pace) for partition in range(3)]
    appends: list[tuple[int, int, int]] = []
    log.faults.draw = lambda partition, envelopes: (
        appends.append((clock.now() - began_at, partition, len(envelopes))),
        Fate(),
    )[1]
    for number in range(40):  # one each millisecond, in turns
        appenders[number % 3].put(fact(number), lambda _: None)
        await clock.advance(1)
    await clock.advance(16)

    assert [append[0] for append in appends] == [0, *[16] * 3, *[32] * 3, *[48] * 3]
    assert sum(append[2] for append in appends) == 40


@pytest.mark.parametrize("fate", [LOST, REPLY_LOST, LATE])
async def test_a_failed_append_is_made_again(fate: Fate) -> None:
    """The fact is in the log at least once, and reports once."""
    log, clock, appender = await setup()
    log.faults.plan(fate)
    positions: list[int] = []
    appender.put(fact(1), positions.append)
    await clock.settle()
    assert appender.failing
    await clock.advance(100)

    assert len(positions) == 1
    assert not appender.failing
    assert fact(1) in [record.envelope for record in await log.read(0, 0)]


async def test_the_tries_become_rarer_and_never_end() -> None:
    """An hour without a log costs some two thousand tries, and nothing is lost."""
    log, clock, appender = await setup()
    log.faults.appends_unavailable = True
    positions: list[int] = []
    appender.put(fact(1), positions.append)
    await clock.advance(60_000)
    assert positions == []
    log.faults.heal()
    await clock.advance(2_000)

    assert positions == [0]


async def test_stopping_gives_up_what_is_pending() -> None:
    """Who waits for it to be idle is let go; stopping twice is fine; it can be used again."""
    log, clock, appender = await setup()
    await appender.stop()
    log.faults.appends_unavailable = True
    appender.put(fact(1), lambda _: None)
    waiting = asyncio.create_task(appender.wait_idle())
    await clock.settle()
    await appender.stop()
    await appender.stop()
    await waiting
    log.faults.heal()
    appender.put(fact(2), lambda _: None)
    await appender.wait_idle()

    assert [record.envelope for record in await log.read(0, 0)] == [fact(2)]


async def test_what_fits_into_no_log_is_refused_at_once() -> None:
    """Rather than tried for ever."""
    _, _, appender = await setup()
    with pytest.raises(ValueError, match="fits into no log"):
        appender.put(Envelope("job.scheduled", 1, True, None, "job", b"x" * (MAX_VALUE_BYTES + 1)), lambda _: None)
