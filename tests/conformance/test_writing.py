"""What every log promises to those who write: G1, G2, G4, G5, and refusals that write nothing."""

import asyncio

import pytest

from libs.events import Envelope
from libs.log.port import MAX_VALUE_BYTES, MAX_VERSION, Log, RecordTooLarge
from tests.conformance.harness import Harness, envelope, everything, values


async def test_g4_positions_begin_at_0_and_have_no_gaps(log: Log) -> None:
    """G4: the first record of a partition stands at 0, the next append right behind it; partitions count on their own."""
    assert await log.append(0, [envelope("a")]) == 0
    assert await log.append(0, [envelope("b"), envelope("c")]) == 1
    assert await log.append(1, [envelope("z")]) == 0
    assert await log.append(0, [envelope("d")]) == 3
    assert await values(log, 0) == ["a", "b", "c", "d"]
    assert await values(log, 1) == ["z"]


async def test_g4_contiguous_under_50_concurrent_appenders(log: Log) -> None:
    """G4, G2: fifty callers at once leave neither gap nor overlap, and each append's records stand together."""

    async def caller(name: int) -> list[tuple[int, list[str]]]:
        placed = []
        for turn in range(10):
            texts = [f"{name}.{turn}.{index}" for index in range(1 + (name + turn) % 3)]
            placed.append((await log.append(0, [envelope(text) for text in texts]), texts))
        return placed

    per_caller = await asyncio.gather(*(caller(name) for name in range(50)))
    found = await values(log)
    taken = 0
    for placed in per_caller:
        assert [first for first, _ in placed] == sorted(first for first, _ in placed)
        for first, texts in placed:
            assert found[first : first + len(texts)] == texts
            taken += len(texts)
    assert taken == len(found)


async def test_g2_appends_issued_in_turn_stand_in_that_order(log: Log) -> None:
    """G2: a caller need not await one append before it issues the next."""
    appends = [asyncio.ensure_future(log.append(turn % 2, [envelope(str(turn))])) for turn in range(200)]
    positions = await asyncio.gather(*appends)
    assert positions[0::2] == positions[1::2] == list(range(100))
    assert await values(log, 0) == [str(turn) for turn in range(0, 200, 2)]


async def test_g1_what_was_appended_outlives_the_log_object(harness: Harness) -> None:
    """G1: records are found by another log on the same data, once every object that wrote them is gone."""
    harness.needs("durable")
    log = await harness.open()
    await log.append(0, [envelope("a"), envelope("b")])
    await log.stop()
    again = await harness.open()
    assert await values(again) == ["a", "b"]
    assert await again.append(0, [envelope("c")]) == 2


VALUES = {
    "empty": b"",
    "every byte": bytes(range(256)),
    "not UTF-8": b"\xff\xfe\x80",
    "zeros": b"\0" * 10,
    "a long text": b'{"body":"' + "ä€😀".encode() * 20_000 + b'"}',
    "the longest": b"\xa5" * MAX_VALUE_BYTES,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
async def test_g5_values_come_back_byte_for_byte(harness: Harness, value: bytes) -> None:
    """G5: a value comes back identical, to the process that wrote it and to one that did not."""
    log = await harness.open()
    written = envelope(value)
    await log.append(0, [written])
    assert (await log.read(0, 0))[0].envelope == written
    if harness.features.several_processes:
        assert (await (await harness.open()).read(0, 0))[0].envelope == written


async def test_g5_headers_come_back(harness: Harness) -> None:
    """G5: type, version, flag, claim and key come back, whatever their text."""
    written = [
        Envelope("job.scheduled", 1, True, None, "job_01", b"1"),
        Envelope("attempt.due", MAX_VERSION, False, "12.abcDEF", "", b"2"),
        Envelope("ein.größeres.Ereignis", 0, True, "", "schlüssel\n\t'\"\\ 😀", b"3"),
    ]
    log = await harness.open()
    await log.append(0, written)
    reader = await harness.open() if harness.features.several_processes else log
    assert [record.envelope for record in await everything(reader)] == written
    assert [record.envelope for record in await everything(log)] == written


BAD = {
    "too large": ([envelope("fine"), envelope(b"x" * (MAX_VALUE_BYTES + 1))], RecordTooLarge),
    "nothing": ([], ValueError),
    "NUL in a key": ([envelope("fine"), envelope("x", key="job\0")], ValueError),
    "NUL in a type": ([Envelope("job\0", 1, True, None, "k", b"")], ValueError),
    "NUL in a claim": ([Envelope("job", 1, True, "1.\0", "k", b"")], ValueError),
    "a lone surrogate": ([envelope("x", key="\ud800")], ValueError),
    "version too high": ([Envelope("job", MAX_VERSION + 1, True, None, "k", b"")], ValueError),
    "version negative": ([Envelope("job", -1, True, None, "k", b"")], ValueError),
}


@pytest.mark.parametrize(("envelopes", "error"), BAD.values(), ids=BAD.keys())
async def test_refused_appends_write_nothing(log: Log, envelopes: list[Envelope], error: type[Exception]) -> None:
    """G6: an append that no log can hold is refused as a whole, and harms no append that runs beside it."""
    before = asyncio.ensure_future(log.append(0, [envelope("before")]))
    await asyncio.sleep(0)
    with pytest.raises(error):
        await log.append(0, envelopes)
    assert await before == 0
    assert await log.append(0, [envelope("after")]) == 1
    assert await values(log) == ["before", "after"]


@pytest.mark.parametrize("partition", [-1, 2])
async def test_no_such_partition(log: Log, partition: int) -> None:
    """A partition that does not exist is a ValueError for everyone."""
    assert await log.partitions() == 2
    for call in (
        log.append(partition, [envelope("a")]),
        log.read(partition, 0),
        log.end(partition),
        log.begin(partition),
        log.trim(partition, 0),
    ):
        with pytest.raises(ValueError, match="partition"):
            await call


async def test_two_processes_append_to_the_same_partitions(harness: Harness) -> None:
    """G2, G4: two processes that write to the same partitions in opposite order leave no gap, and neither waits for ever."""
    harness.needs("several_processes")
    one, other = await harness.open(), await harness.open()

    async def caller(log: Log, name: str, partitions: tuple[int, int]) -> list[tuple[int, int, str]]:
        placed = []
        for turn in range(25):
            for partition in partitions:
                text = f"{name}.{turn}"
                placed.append((partition, await log.append(partition, [envelope(text)]), text))
        return placed

    calls = [caller(one, f"one{n}", (0, 1)) for n in range(4)] + [caller(other, f"other{n}", (1, 0)) for n in range(4)]
    placed = [place for places in await asyncio.gather(*calls) for place in places]
    for partition in (0, 1):
        expected = [text for part, _, text in sorted(placed) if part == partition]
        assert await values(one, partition) == await values(other, partition) == expected
