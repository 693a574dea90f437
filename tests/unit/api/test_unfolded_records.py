"""Unfolded records: an account that appends faster than its records are folded waits, and the others find room."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.events import JobCancelRequested, encode
from libs.events.ids import new_job_id
from libs.store.projection.progress import ProgressWatch
from services.api.contract.api_error import ApiError
from services.api.state import unfolded_records
from services.api.state.unfolded_records import FOLDED_S, UnfoldedRecords, units_of


class NoPool:
    """A database that is not asked: all positions are published."""

    async def fetch(self, *_: Any) -> list[dict[str, int]]:
        return []


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.2


async def test_an_account_waits_for_its_own_records() -> None:
    """Alone it has half of all; another one finds room meanwhile; the next append goes on as soon as the first is folded."""
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=100)
    for position in (9, 19, 29, 39, 49):
        await unfolded.take("busy", 0, 10, soon())
        unfolded.appended("busy", 0, position, 10)
    with pytest.raises(ApiError, match="not in the tables yet"):
        await unfolded.take("busy", 0, 10, soon())
    await unfolded.take("other", 0, 10, soon())
    unfolded.appended("other", 0, 59, 10)

    waiting = [asyncio.create_task(unfolded.take("busy", 0, 10, soon() + 60)) for _ in range(2)]
    await asyncio.sleep(0)
    progress.publish(0, 9)
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [task.done() for task in waiting] == [True, False]
    progress.publish(0, 59)
    await asyncio.gather(*waiting)
    await progress.stop()


async def test_a_partition_that_stands_still_keeps_no_other_ones_records() -> None:
    """What is folded elsewhere is given back, though an older append waits in a partition that is halted."""
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=100)
    await unfolded.take("a", 0, 10, soon())
    unfolded.appended("a", 0, 9, 10)  # partition 0 is halted
    for position in range(39, 4_000, 40):
        await unfolded.take("a", 1, 40, soon())
        unfolded.appended("a", 1, position, 40)
        progress.publish(1, position)
    await progress.stop()


async def test_nobody_waits_while_nothing_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a scheduler creates go on, once it is seen that nothing moves; when it is back, shares count again."""
    monkeypatch.setattr(unfolded_records, "STILL_S", 0.3)
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=100)
    for position in range(49, 500, 50):
        await unfolded.take("a", 0, 50, soon() + 60)
        unfolded.appended("a", 0, position, 50)
    progress.publish(0, 49)
    with pytest.raises(ApiError, match="not in the tables yet"):
        await unfolded.take("a", 0, 50, soon())
    await progress.stop()


async def test_records_of_an_account_that_is_gone_do_not_count_for_ever() -> None:
    """They are given back as soon as another account needs the room."""
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=100)
    await unfolded.take("gone", 0, 50, soon())
    unfolded.appended("gone", 0, 49, 50)
    progress.publish(0, 49)
    await unfolded.take("here", 0, 50, soon())
    await progress.stop()


async def test_an_append_that_failed_takes_no_room() -> None:
    """What it took is given back at once."""
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=100)
    for _ in range(10):
        await unfolded.take("a", 0, 50, soon())
        unfolded.failed("a", 0, 50)
    await progress.stop()


async def test_what_is_larger_than_a_share_goes_alone() -> None:
    """An account of which nothing is unfolded may append as soon as anything is free; then it waits as the others do."""
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=100)
    await unfolded.take("a", 0, 99, soon())
    await unfolded.take("b", 0, 500, soon())
    with pytest.raises(ApiError, match="not in the tables yet"):
        await unfolded.take("c", 0, 50, soon())
    unfolded.failed("b", 0, 500)
    await unfolded.take("c", 0, 50, soon())
    await progress.stop()


@pytest.mark.parametrize(("folded_s", "is_more"), [(2 * FOLDED_S, False), (FOLDED_S / 5, True)])
async def test_what_is_shared_follows_the_folding(folded_s: float, is_more: bool) -> None:
    """If what waits is folded late there is less to share, if it is folded early there is more."""
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=1_000)
    await unfolded.take("a", 0, 500, soon())
    unfolded.appended("a", 0, 499, 500)

    waiting = asyncio.create_task(unfolded.take("a", 0, 1, soon() + 60))
    asyncio.get_running_loop().call_later(folded_s, progress.publish, 0, 499)
    await waiting

    assert (unfolded.total_of(0) > 1_000) is is_more
    assert (unfolded.total_of(0) < 1_000) is not is_more
    await progress.stop()


async def test_who_asks_for_little_does_not_wait_when_there_is_less_to_share() -> None:
    """Others hold more than there is since that became less: an equal part of the least is had at once, by each newcomer."""
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=1_000)
    for account, units, end in (("a", 1, 0), ("a", 499, 499), ("b", 250, 749), ("c", 125, 874)):
        await unfolded.take(account, 0, units, soon())
        unfolded.appended(account, 0, end, units)
    waiting = asyncio.create_task(unfolded.take("a", 0, 250, soon() + 60))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.4, progress.publish, 0, 0)  # late, so there is less to share from now on
    await progress.wait(0, 0, 60)
    await asyncio.sleep(0)
    assert unfolded.total_of(0) < 875

    await unfolded.take("d", 0, 10, soon())
    with pytest.raises(ApiError, match="not in the tables yet"):
        await unfolded.take("d", 0, 100, soon())
    waiting.cancel()
    await progress.stop()


async def test_an_idle_partition_says_nothing_about_a_busy_one() -> None:
    """What is folded late in one partition makes its shares smaller, however fast another one is folded meanwhile."""
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=1_000)
    for partition in (0, 1):
        await unfolded.take("a", partition, 500, soon())
        unfolded.appended("a", partition, 499, 500)
    waiting = [asyncio.create_task(unfolded.take("a", partition, 1, soon() + 60)) for partition in (0, 1)]
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, progress.publish, 1, 499)
    loop.call_later(0.5, progress.publish, 0, 499)
    await asyncio.gather(*waiting)

    assert unfolded.total_of(0) < 1_000 < unfolded.total_of(1)
    await progress.stop()


def test_bytes_count_as_well() -> None:
    """A record is one unit, and one more for every 4 KiB of its value."""
    record = encode(JobCancelRequested(job_id=new_job_id(0, 0, bytes(8)), at=0))
    large = record._replace(value=bytes(1_000_000))
    assert units_of([record, record]) == 2
    assert units_of([large]) == 245
