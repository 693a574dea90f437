"""The recent of a partition: one gapless run, bounded, and waking those who wait."""

import asyncio
from collections.abc import Callable

import pytest

from libs.events import Envelope
from libs.log.port import Record
from libs.log.recent_records import RecentRecords


def records(first: int, end: int, size: int = 1) -> list[Record]:
    return [Record(position, 0, Envelope("t", 1, True, None, "k", b"x" * size)) for position in range(first, end)]


def positions(recent: RecentRecords, position: int, max_records: int = 1000) -> list[int] | None:
    kept = recent.slice(position, max_records)
    return None if kept is None else [record.position for record in kept]


@pytest.fixture
def recent() -> RecentRecords:
    return RecentRecords(max_records=100, max_bytes=1_000)


def test_contiguous_runs_are_joined(recent: RecentRecords) -> None:
    """What comes right behind the newest record is added to the run."""
    recent.add(records(0, 3))
    recent.add(records(3, 5))
    assert positions(recent, 0) == [0, 1, 2, 3, 4]
    assert positions(recent, 1, 2) == [1, 2]
    assert recent.next == recent.known_end == 5
    assert positions(recent, 5) is None


def test_a_gap_begins_a_new_run(recent: RecentRecords) -> None:
    """Records behind a gap replace the run: the recent never has a gap."""
    recent.add(records(0, 3))
    recent.add(records(7, 9))
    assert positions(recent, 0) is None
    assert positions(recent, 6) is None
    assert positions(recent, 7) == [7, 8]


@pytest.mark.parametrize(("first", "end", "expected_end"), [(3, 7, 7), (2, 4, 5), (0, 5, 5), (4, 9, 9), (0, 8, 8)])
def test_overlap_is_kept_once(recent: RecentRecords, first: int, end: int, expected_end: int) -> None:
    """A reader and the writer may bring the same records: each is kept once."""
    recent.add(records(0, 5))
    recent.add(records(first, end))
    assert positions(recent, 0) == list(range(expected_end))


def test_bounded_by_records(recent: RecentRecords) -> None:
    """Beyond max_records the oldest go; what is left has no gap and ends with the newest."""
    for first in range(0, 1000, 10):
        recent.add(records(first, first + 10))
        kept = positions(recent, recent.next - 50) if recent.next >= 50 else []
        assert kept is not None
    oldest = min(position for position in range(1000) if positions(recent, position))
    assert 1000 - 100 <= oldest <= 1000 - 50
    assert positions(recent, oldest) == list(range(oldest, 1000))


def test_bounded_by_bytes(recent: RecentRecords) -> None:
    """Beyond max_bytes the oldest go, also when one record alone is too large."""
    for first in range(20):
        recent.add(records(first, first + 1, size=300))
        assert sum(len(record.envelope.value) for record in recent.slice(max(first - 2, 0), 10) or []) <= 1_000
    assert positions(recent, 19) == [19]
    recent.add(records(20, 21, size=5_000))
    assert positions(recent, 20) is None
    assert recent.known_end == recent.next == 21
    recent.add(records(21, 22))
    assert positions(recent, 21) == [21]


def test_trimmed_records_are_not_served(recent: RecentRecords) -> None:
    """What lies before begin is gone, though it may still be kept."""
    recent.add(records(0, 5))
    recent.see(3, 5)
    assert positions(recent, 2) is None
    assert positions(recent, 3) == [3, 4]


def test_begin_and_end_never_go_back(recent: RecentRecords) -> None:
    """An answer that was under way for long does not undo a newer one."""
    recent.see(3, 10)
    recent.see(0, 7)
    assert (recent.begin, recent.known_end) == (3, 10)


async def test_waiting_ends_with_news(recent: RecentRecords) -> None:
    """A reader is woken by records and by a seen end; one that asks for what is known does not wait at all."""
    await recent.wait_beyond(-1, 60)
    grows: list[Callable[[], None]] = [lambda: recent.add(records(0, 1)), lambda: recent.see(0, 5)]
    for grow in grows:
        waiting = asyncio.create_task(recent.wait_beyond(recent.known_end, 60))
        await asyncio.sleep(0)
        assert recent.has_readers
        grow()
        await asyncio.wait_for(waiting, 5)
        assert not recent.has_readers


async def test_waiting_ends_in_time_and_leaves_nothing(recent: RecentRecords) -> None:
    """A wait that is over, or cancelled, leaves no reader behind."""
    await recent.wait_beyond(0, 0.001)
    assert not recent.has_readers
    waiting = asyncio.create_task(recent.wait_beyond(0, 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not recent.has_readers


def test_what_is_old_is_let_go(recent: RecentRecords) -> None:
    """What was kept already the time before goes; the positions stay, and what comes next joins what is left."""
    recent.add(records(0, 3))
    assert recent.let_go() == 0
    assert positions(recent, 0) == [0, 1, 2]
    recent.add(records(3, 5))
    assert (recent.let_go(), recent.count) == (3, 2)
    assert positions(recent, 2) is None
    assert positions(recent, 3) == [3, 4]
    recent.let_go()
    recent.let_go()
    assert positions(recent, 4) is None
    assert recent.next == recent.known_end == 5
    recent.add(records(5, 7))
    assert positions(recent, 5) == [5, 6]


def test_a_new_run_is_not_older_than_it_is(recent: RecentRecords) -> None:
    """Records behind a gap are new, wherever the run before them ended."""
    recent.add(records(50, 60))
    recent.let_go()
    recent.add(records(20, 30))
    assert recent.known_end == 60
    recent.add(records(70, 75))
    recent.let_go()
    assert positions(recent, 70) == [70, 71, 72, 73, 74]
