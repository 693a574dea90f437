"""What every log promises to those who read: G3, waiting, and the edges of a partition."""

import asyncio

import pytest

from libs.log.port import Log, LogError, LogUnavailable
from tests.conformance.harness import Harness, envelope, everything, values

APPENDS = 150


async def follow(log: Log, count: int, *, wait_s: float = 5.0) -> list[str]:
    """Tail partition 0 from its begin until *count* records were read; every position must be the next one."""
    found: list[str] = []
    while len(found) < count:
        records = await log.read(0, len(found), max_records=7, wait_s=wait_s)
        assert records, f"nothing came behind {len(found)}"
        assert [record.position for record in records] == list(range(len(found), len(found) + len(records)))
        found += [record.envelope.value.decode() for record in records]
    return found


async def write(log: Log, name: str) -> None:
    for turn in range(APPENDS):
        await log.append(0, [envelope(f"{name}.{turn}")])


async def test_g3_nothing_appears_behind_a_reader(log: Log) -> None:
    """
    G3: readers that tail while appends run read every record once, and all the same.

    The hazard: positions drawn before the commit become visible out of order, and a reader that has gone past the
    late one never sees it.
    """
    readers = [asyncio.create_task(follow(log, 4 * APPENDS)) for _ in range(3)]
    await asyncio.gather(*(write(log, str(caller)) for caller in range(4)))
    first, *others = [await reader for reader in readers]
    assert all(other == first for other in others)
    assert first == await values(log)


async def test_g3_nothing_appears_behind_a_reader_of_other_processes(harness: Harness) -> None:
    """G3: the same hazard, with two processes that write and readers in each of them and in a third."""
    harness.needs("several_processes")
    one, other, third = [await harness.open() for _ in range(3)]
    readers = [asyncio.create_task(follow(log, 4 * APPENDS)) for log in (one, other, third)]
    await asyncio.gather(write(one, "a"), write(one, "b"), write(other, "c"), write(other, "d"))
    first, *others = [await reader for reader in readers]
    assert all(found == first for found in others)
    for name in "abcd":
        assert [text for text in first if text[0] == name] == [f"{name}.{turn}" for turn in range(APPENDS)]


async def test_g3_everything_before_an_end_is_final(log: Log) -> None:
    """G3: when `end` has answered e, all positions before e can be read."""
    writing = asyncio.gather(*(write(log, str(caller)) for caller in range(4)))
    while not writing.done():
        end = await log.end(0)
        if end:
            assert [record.position for record in await log.read(0, end - 1, max_records=1)] == [end - 1]
    await writing


async def test_end_is_as_new_as_every_append_that_returned(harness: Harness) -> None:
    """`end` counts every append that returned before it was called, in this process and in others, and for all who ask at once."""
    log = await harness.open()
    reader = await harness.open() if harness.features.several_processes else log
    for count in range(1, 20):
        asked_before = asyncio.ensure_future(reader.end(0))
        await log.append(0, [envelope("a")])
        ends = await asyncio.gather(*(reader.end(0) for _ in range(5)))
        assert ends == [count] * 5
        assert await asked_before in (count - 1, count)


async def test_read_at_the_end_returns_nothing(log: Log) -> None:
    """At the end, a read that does not wait returns nothing, at once; so does one whose wait is over."""
    assert await log.read(0, 0) == []
    assert await log.read(0, 0, wait_s=0.02) == []
    await log.append(0, [envelope("a")])
    assert await log.read(0, 1) == []
    assert await log.read(0, 1, wait_s=0.02) == []


async def test_a_waiting_read_is_woken(log: Log) -> None:
    """A read that waits returns when a record comes, not when its wait is over; every reader of the partition does."""
    reads = [asyncio.create_task(log.read(0, 0, wait_s=60)) for _ in range(3)]
    elsewhere = asyncio.create_task(log.read(1, 0, wait_s=60))
    await asyncio.sleep(0)
    await log.append(0, [envelope("a")])
    for read in reads:
        assert [record.envelope.value for record in await asyncio.wait_for(read, 10)] == [b"a"]
    assert not elsewhere.done()
    elsewhere.cancel()


async def test_a_waiting_read_is_woken_by_another_process(harness: Harness) -> None:
    """A read that waits notices what other processes append."""
    harness.needs("several_processes")
    reader, writer = await harness.open(), await harness.open()
    for position in range(3):
        read = asyncio.create_task(reader.read(0, position, wait_s=60))
        await asyncio.sleep(0)
        await writer.append(0, [envelope("a")])
        assert [record.position for record in await asyncio.wait_for(read, 10)] == [position]


async def test_a_cancelled_read_leaves_nothing_behind(log: Log) -> None:
    """Cancelling a read that waits does no harm to the others."""
    cancelled, other = [asyncio.create_task(log.read(0, 0, wait_s=60)) for _ in range(2)]
    await asyncio.sleep(0)
    cancelled.cancel()
    await log.append(0, [envelope("a")])
    assert len(await asyncio.wait_for(other, 10)) == 1
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_max_records_bounds_a_read(log: Log) -> None:
    """A read returns at most max_records, from the position asked for; less than one is refused."""
    await log.append(0, [envelope(str(number)) for number in range(10)])
    assert [record.position for record in await log.read(0, 3, max_records=4)] == [3, 4, 5, 6]
    assert [record.position for record in await log.read(0, 8, max_records=4)] == [8, 9]
    with pytest.raises(ValueError, match="max_records"):
        await log.read(0, 0, max_records=0)


async def test_large_records_are_read_in_bounded_pieces(harness: Harness) -> None:
    """A reader gets through records of the largest size, by another process too, however many it asks for."""
    log = await harness.open()
    for number in range(12):
        await log.append(0, [envelope(bytes([number]) * 1_000_000)])
    reader = await harness.open() if harness.features.several_processes else log
    assert [record.envelope.value[0] for record in await everything(reader)] == list(range(12))


@pytest.mark.parametrize("position", [3, 1_000_000, -1])
async def test_a_position_outside_the_partition_is_an_error(log: Log, position: int) -> None:
    """Reading beyond the end, or before the begin, raises LogError: that offset does not belong to this log."""
    await log.append(0, [envelope("a"), envelope("b")])
    for wait_s in (0.0, 0.05):
        with pytest.raises(LogError) as failure:
            await log.read(0, position, wait_s=wait_s)
        assert not isinstance(failure.value, LogUnavailable)


async def test_trim_forgets_and_moves_nothing(harness: Harness) -> None:
    """After a trim, begin has moved, older positions are errors, all others keep their records; twice is as good as once."""
    log = await harness.open()
    await log.append(0, [envelope(str(number)) for number in range(10)])
    await log.append(1, [envelope("z")])
    await log.trim(0, 4)
    await log.trim(0, 4)
    await log.trim(0, 2)
    for each in [log, await harness.open()] if harness.features.several_processes else [log]:
        assert (await each.begin(0), await each.end(0), await each.begin(1)) == (4, 10, 0)
        with pytest.raises(LogError):
            await each.read(0, 3)
        assert (await each.read(0, 4))[0].envelope.value == b"4"
        assert await values(each) == ["4", "5", "6", "7", "8", "9"]


async def test_trim_of_everything_keeps_the_end(harness: Harness) -> None:
    """A partition of which all was trimmed is empty and goes on at its end, also for a log that is opened later."""
    log = await harness.open()
    await log.append(0, [envelope(str(number)) for number in range(5)])
    await log.trim(0, 5)
    if harness.features.durable:
        await log.stop()
        log = await harness.open()
    assert (await log.begin(0), await log.end(0)) == (5, 5)
    assert await log.read(0, 5) == []
    assert await log.append(0, [envelope("next")]) == 5
    assert await values(log) == ["next"]


async def test_a_log_knows_itself(harness: Harness) -> None:
    """Its identity is one line, and the same for every process and after every start."""
    log = await harness.open()
    known = await log.identity()
    assert known
    assert "\n" not in known
    if harness.features.several_processes:
        other = await harness.open()
        assert await other.identity() == known
    await log.stop()
    await log.start()
    assert await log.identity() == known


async def test_trim_beyond_the_end_is_refused(log: Log) -> None:
    """What was never written cannot be forgotten."""
    await log.append(0, [envelope("a")])
    with pytest.raises(LogError):
        await log.trim(0, 2)
    assert await values(log) == ["a"]
