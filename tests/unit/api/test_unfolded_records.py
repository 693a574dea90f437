"""Unfolded records: an account that appends faster than its records are folded waits, and the others find room."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.store.projection.progress import ProgressWatch
from services.api.contract.api_error import ApiError
from services.api.state import unfolded_records
from services.api.state.unfolded_records import UnfoldedRecords


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
        await unfolded.take("busy", 10, soon())
        unfolded.appended("busy", 0, position, 10)
    with pytest.raises(ApiError, match="not in the tables yet"):
        await unfolded.take("busy", 10, soon())
    await unfolded.take("other", 10, soon())
    unfolded.appended("other", 1, 9, 10)

    waiting = [asyncio.create_task(unfolded.take("busy", 10, soon() + 60)) for _ in range(2)]
    await asyncio.sleep(0)
    progress.publish(0, 9)
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [task.done() for task in waiting] == [True, False]
    progress.publish(1, 9)
    progress.publish(0, 49)
    await asyncio.gather(*waiting)
    await progress.stop()


async def test_a_partition_that_stands_still_keeps_no_other_ones_records() -> None:
    """What is folded elsewhere is given back, though an older append waits in a partition that is halted."""
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=100)
    await unfolded.take("a", 10, soon())
    unfolded.appended("a", 0, 9, 10)  # partition 0 is halted
    for position in range(39, 4_000, 40):
        await unfolded.take("a", 40, soon())
        unfolded.appended("a", 1, position, 40)
        progress.publish(1, position)
    await progress.stop()


async def test_nobody_waits_while_nothing_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a scheduler creates go on, once it is seen that nothing moves; when it is back, shares count again."""
    monkeypatch.setattr(unfolded_records, "STILL_S", 0.3)
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=100)
    for position in range(49, 500, 50):
        await unfolded.take("a", 50, soon() + 60)
        unfolded.appended("a", 0, position, 50)
    progress.publish(0, 49)
    with pytest.raises(ApiError, match="not in the tables yet"):
        await unfolded.take("a", 50, soon())
    await progress.stop()


async def test_records_of_an_account_that_is_gone_do_not_count_for_ever() -> None:
    """They are given back as soon as another account needs the room."""
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=100)
    await unfolded.take("gone", 50, soon())
    unfolded.appended("gone", 0, 49, 50)
    progress.publish(0, 49)
    await unfolded.take("here", 50, soon())
    await progress.stop()


async def test_an_append_that_failed_takes_no_room() -> None:
    """What it took is given back at once."""
    progress = ProgressWatch(NoPool())
    unfolded = UnfoldedRecords(progress, total=100)
    for _ in range(10):
        await unfolded.take("a", 50, soon())
        unfolded.failed("a", 50)
    await progress.stop()
