"""What every log promises when something goes wrong: G6, G7, and that nobody waits for ever."""

import asyncio

import pytest

from libs.log.port import AppendFailed, Log, LogError, LogUnavailable
from tests.conformance.harness import Callers, Harness, envelope, values


async def test_g6_unknown_outcomes_leave_no_gap_and_nothing_twice(harness: Harness) -> None:
    """
    G6: connections are cut again and again in the middle of appends. Each append either returned, and is there where it
    said, or failed, and is there once or not at all; nothing lies between; each caller's records keep their order.
    """
    harness.needs("cuts")
    log = await harness.open()
    callers = Callers(log, 8)
    for _ in range(6):
        await callers.more(30)
        await harness.cut()
    found = await callers.stop()
    for name in range(8):
        turns = [int(text.split(".")[1]) for text in found if text.split(".")[0] == str(name)]
        assert turns == sorted(turns)


async def test_g6_an_append_without_answer_fails_in_time(harness: Harness) -> None:
    """G6: an append that gets no answer ends with AppendFailed when its time is over, and the log goes on behind it."""
    harness.needs("stalls")
    log = await harness.open()
    await log.append(0, [envelope("before")])
    async with harness.stalled():
        first = asyncio.ensure_future(log.append(0, [envelope("first")], timeout_s=0.1))
        with pytest.raises(AppendFailed):
            await asyncio.wait_for(first, 5)
    await log.append(0, [envelope("after")])
    found = await values(log)
    assert found in (["before", "after"], ["before", "first", "after"])


async def test_g6_a_cancelled_append_is_wholly_there_or_not(harness: Harness) -> None:
    """G6: the records of an append whose caller was cancelled are all there or none, and the log goes on."""
    harness.needs("stalls")
    log = await harness.open()
    async with harness.stalled():
        appends = [asyncio.ensure_future(log.append(0, [envelope(t + "1"), envelope(t + "2")])) for t in "abc"]
        await asyncio.sleep(0)
        for append in appends:
            append.cancel()
        await asyncio.wait(appends)
    await log.append(0, [envelope("after")])
    found = await values(log)
    assert found[-1] == "after"
    for text in "abc":
        assert (text + "1" in found) == (text + "2" in found)


async def test_connections_are_made_again(harness: Harness) -> None:
    """After its connections were cut, the log reads, waits and appends again by itself, within the time of one call."""
    harness.needs("cuts")
    log = await harness.open()
    await log.append(0, [envelope("a")])
    waiting = asyncio.create_task(log.read(0, 1, wait_s=60))
    await asyncio.sleep(0)
    await harness.cut()
    assert await log.end(0) == 1
    await harness.cut()
    written = False
    while not written:
        try:
            await log.append(0, [envelope("b")])
            written = True
        except AppendFailed:
            written = "b" in await values(log)
    assert [record.envelope.value for record in await asyncio.wait_for(waiting, 10)] == [b"b"]
    assert await values(log) == ["a", "b"]


async def test_g7_stop_without_start_and_twice(harness: Harness) -> None:
    """G7: stop may come before start, and again."""
    log = harness.make(2)
    await log.stop()
    await log.start()
    await log.append(0, [envelope("a")])
    await log.stop()
    await log.stop()
    for call in (log.append(0, [envelope("b")]), log.read(0, 0), log.end(0), log.begin(0), log.trim(0, 0)):
        with pytest.raises(LogUnavailable):
            await call


async def test_g7_concurrent_stops(log: Log) -> None:
    """G7: several stops at once all return."""
    await log.append(0, [envelope("a")])
    await asyncio.gather(*(log.stop() for _ in range(5)))


async def test_g7_a_stopped_log_can_be_started_again(harness: Harness) -> None:
    """A log that was stopped can be started again, and starting twice is starting once."""
    log = await harness.open()
    await log.append(0, [envelope("a")])
    await log.stop()
    await log.start()
    await log.start()
    assert await log.append(0, [envelope("b")]) == 1
    assert await values(log) == ["a", "b"]


async def test_g7_stop_flushes_what_was_taken(harness: Harness) -> None:
    """G7: appends under way when the log is stopped end as durable or as LogError; the durable ones are there, where they said."""
    log = await harness.open()
    appends = [asyncio.ensure_future(log.append(0, [envelope(str(number))])) for number in range(100)]
    await asyncio.sleep(0)
    await log.stop()
    outcomes = await asyncio.wait_for(asyncio.gather(*appends, return_exceptions=True), 10)
    assert all(isinstance(outcome, int | LogError) for outcome in outcomes)
    await log.start()
    found = await values(log)
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, int):
            assert found[outcome] == str(number)
        elif isinstance(outcome, LogUnavailable):
            assert str(number) not in found


async def test_g7_stop_ends_those_who_wait(log: Log) -> None:
    """G7: a reader that waits ends with LogUnavailable when the log is stopped."""
    reads = [asyncio.create_task(log.read(partition, 0, wait_s=60)) for partition in (0, 1, 1)]
    await asyncio.sleep(0)
    await log.stop()
    for read in reads:
        with pytest.raises(LogUnavailable):
            await asyncio.wait_for(read, 10)


async def test_partitions_can_be_added_but_not_taken_away(harness: Harness) -> None:
    """Opened with more partitions, a log gets more and keeps what it has; opened with fewer, it refuses in one line."""
    harness.needs("grows")
    log = await harness.open(partitions=2)
    await log.append(1, [envelope("a")])
    await log.stop()
    more = await harness.open(partitions=5)
    assert await more.partitions() == 5
    assert await more.append(4, [envelope("z")]) == 0
    assert await values(more, 1) == ["a"]
    with pytest.raises(LogError, match=r"\Athe log has 5 partitions, more than the 2 asked for.*\Z"):
        await harness.open(partitions=2)
