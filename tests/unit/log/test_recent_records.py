"""The tail of a partition: one gapless run, bounded, and waking those who wait."""

import asyncio
from collections.abc import Callable

import pytest

from libs.events.envelope import Envelope
from libs.log.port import Record
from libs.log.recent_records import Tail


def records(first: int, end: int, size: int = 1) -> list[Record]:
    return [Record(position, 0, Envelope("t", 1, True, None, "k", b"x" * size)) for position in range(first, end)]


def positions(tail: Tail, position: int, max_records: int = 1000) -> list[int] | None:
    kept = tail.slice(position, max_records)
    return None if kept is None else [record.position for record in kept]


@pytest.fixture
def tail() -> Tail:
    return Tail(max_records=100, max_bytes=1_000)


def test_contiguous_runs_are_joined(tail: Tail) -> None:
    """What comes right behind the newest record is added to the run."""
    tail.add(records(0, 3))
    tail.add(records(3, 5))
    assert positions(tail, 0) == [0, 1, 2, 3, 4]
    assert positions(tail, 1, 2) == [1, 2]
    assert tail.next == tail.known_end == 5
    assert positions(tail, 5) is None


def test_a_gap_begins_a_new_run(tail: Tail) -> None:
    """Records behind a gap replace the run: the tail never has a gap."""
    tail.add(records(0, 3))
    tail.add(records(7, 9))
    assert positions(tail, 0) is None
    assert positions(tail, 6) is None
    assert positions(tail, 7) == [7, 8]


@pytest.mark.parametrize(("first", "end", "expected_end"), [(3, 7, 7), (2, 4, 5), (0, 5, 5), (4, 9, 9), (0, 8, 8)])
def test_overlap_is_kept_once(tail: Tail, first: int, end: int, expected_end: int) -> None:
    """A reader and the writer may bring the same records: each is kept once."""
    tail.add(records(0, 5))
    tail.add(records(first, end))
    assert positions(tail, 0) == list(range(expected_end))


def test_bounded_by_records(tail: Tail) -> None:
    """Beyond max_records the oldest go; what is left has no gap and ends with the newest."""
    for first in range(0, 1000, 10):
        tail.add(records(first, first + 10))
        kept = positions(tail, tail.next - 50) if tail.next >= 50 else []
        assert kept is not None
    oldest = min(position for position in range(1000) if positions(tail, position))
    assert 1000 - 100 <= oldest <= 1000 - 50
    assert positions(tail, oldest) == list(range(oldest, 1000))


def test_bounded_by_bytes(tail: Tail) -> None:
    """Beyond max_bytes the oldest go, also when one record alone is too large."""
    for first in range(20):
        tail.add(records(first, first + 1, size=300))
        assert sum(len(record.envelope.value) for record in tail.slice(max(first - 2, 0), 10) or []) <= 1_000
    assert positions(tail, 19) == [19]
    tail.add(records(20, 21, size=5_000))
    assert positions(tail, 20) is None
    assert tail.known_end == tail.next == 21
    tail.add(records(21, 22))
    assert positions(tail, 21) == [21]


def test_trimmed_records_are_not_served(tail: Tail) -> None:
    """What lies before begin is gone, though it may still be kept."""
    tail.add(records(0, 5))
    tail.see(3, 5)
    assert positions(tail, 2) is None
    assert positions(tail, 3) == [3, 4]


def test_begin_and_end_never_go_back(tail: Tail) -> None:
    """An answer that was under way for long does not undo a newer one."""
    tail.see(3, 10)
    tail.see(0, 7)
    assert (tail.begin, tail.known_end) == (3, 10)


async def test_waiting_ends_with_news(tail: Tail) -> None:
    """A reader is woken by records and by a seen end; one that asks for what is known does not wait at all."""
    await tail.wait_beyond(-1, 60)
    grows: list[Callable[[], None]] = [lambda: tail.add(records(0, 1)), lambda: tail.see(0, 5)]
    for grow in grows:
        waiting = asyncio.create_task(tail.wait_beyond(tail.known_end, 60))
        await asyncio.sleep(0)
        assert tail.has_readers
        grow()
        await asyncio.wait_for(waiting, 5)
        assert not tail.has_readers


async def test_waiting_ends_in_time_and_leaves_nothing(tail: Tail) -> None:
    """A wait that is over, or cancelled, leaves no reader behind."""
    await tail.wait_beyond(0, 0.001)
    assert not tail.has_readers
    waiting = asyncio.create_task(tail.wait_beyond(0, 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not tail.has_readers
