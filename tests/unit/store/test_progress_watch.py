"""Waiting for a position: woken by a publish of this process, or by the shared poll, or not in time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from libs.store.projection.progress import ProgressWatch


class Rows:
    """A pool that answers the poll with what the test set."""

    def __init__(self) -> None:
        self.positions: dict[int, int] = {}
        self.polls = 0
        self.failing = False

    async def fetch(self, _: str) -> list[dict[str, Any]]:
        self.polls += 1
        if self.failing:
            raise OSError("down")
        return [{"part": part, "position": position} for part, position in self.positions.items()]


async def test_a_published_position_needs_no_poll() -> None:
    """What this process flushed is known at once."""
    rows = Rows()
    watch = ProgressWatch(rows)
    watch.publish(1, 7)
    assert await watch.wait(1, 7, 0.0)
    assert (watch.known(1), watch.known(2), rows.polls) == (7, -1, 0)


async def test_a_waiter_is_woken_by_a_publish() -> None:
    """A publish behind the wanted position does not wake, one at it does."""
    watch = ProgressWatch(Rows(), poll_s=60)
    waiting = asyncio.ensure_future(watch.wait(0, 5, 5))
    await asyncio.sleep(0)
    watch.publish(0, 4)
    await asyncio.sleep(0)
    assert not waiting.done()
    watch.publish(0, 5)
    assert await waiting
    await watch.stop()


async def test_all_positions_must_be_there() -> None:
    """Waiting for several partitions ends with the last of them, learned by polling."""
    rows = Rows()
    rows.positions = {0: 3, 1: 9, 2: 0}
    watch = ProgressWatch(rows, poll_s=0.001)
    assert await watch.wait_all({0: 3, 1: 9}, 5)
    assert not await watch.wait_all({0: 3, 1: 10}, 0.02)
    await watch.stop()


async def test_the_poll_ends_with_the_last_waiter_and_outlives_failures() -> None:
    """A database that does not answer costs the waiter its time, not the next one's."""
    rows = Rows()
    rows.failing = True
    watch = ProgressWatch(rows, poll_s=0.001)
    assert not await watch.wait(0, 1, 0.02)
    rows.failing, rows.positions = False, {0: 1}
    assert await watch.wait(0, 1, 5)
    poller = watch._poller
    assert poller is not None
    await asyncio.wait_for(poller, 5)
    await watch.stop()


async def test_what_the_database_says_corrects_what_was_known() -> None:
    """A server that lost its last flushes in a crash is believed, so nobody reads rows that are gone."""
    watch = ProgressWatch(Rows(), poll_s=60)
    watch.publish(0, 10)
    watch.correct(0, 6)
    assert watch.known(0) == 6
    assert not await watch.wait(0, 10, 0.0)
    await watch.stop()


async def test_what_is_forgotten_is_asked_of_the_database_again() -> None:
    """A server that crashed may have lost what was known: after `forget` a wait believes its tables only."""
    rows = Rows()
    watch = ProgressWatch(rows, poll_s=0.001)
    watch.publish(0, 9)
    rows.positions = {0: 4}
    watch.forget()
    assert not await watch.wait(0, 9, 0.02)
    rows.positions = {0: 9}
    assert await watch.wait(0, 9, 5)
    await watch.stop()


@pytest.mark.parametrize(
    "doubt", [lambda watch: watch.correct(0, 8), ProgressWatch.forget], ids=["corrected", "forgotten"]
)
async def test_what_is_doubted_before_its_waiter_runs_is_waited_for_again(
    doubt: Callable[[ProgressWatch], None],
) -> None:
    """By a poll that was answered before the last flush, or by a new connection: the wait goes on until it is known."""
    rows = Rows()
    watch = ProgressWatch(rows, poll_s=0.001)
    waiting = asyncio.ensure_future(watch.wait_all({0: 10, 1: 3}, 5))
    await asyncio.sleep(0)
    watch.publish(0, 10)
    doubt(watch)
    watch.publish(1, 3)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    rows.positions = {0: 10, 1: 3}
    assert await waiting
    await watch.stop()


async def test_an_answer_of_a_server_that_is_gone_says_nothing() -> None:
    """It was asked before the connection that says that the tables may be older, and is read after it."""
    rows = Rows()
    watch = ProgressWatch(rows, poll_s=0.001)
    fetch = rows.fetch

    async def crashing(statement: str) -> list[dict[str, Any]]:
        found = await fetch(statement)
        if rows.polls == 1:
            rows.positions = {0: 4}
            watch.forget()
        return found

    rows.fetch = crashing  # type: ignore[method-assign]
    rows.positions = {0: 9}
    before = watch.forgotten_count
    assert not await watch.wait(0, 9, 0.05)
    assert (watch.known(0), watch.forgotten_count - before) == (4, 1)
    await watch.stop()


async def test_callers_who_ask_at_once_share_a_question() -> None:
    """However many ask about partitions that nobody knows, few statements are sent, and one connection is enough."""
    rows = Rows()
    rows.positions = {0: 4}
    watch = ProgressWatch(rows)
    answers = await asyncio.gather(*(watch.has(partition) for partition in range(50)))
    assert answers == [partition == 0 for partition in range(50)]
    assert rows.polls <= 2
    await watch.stop()
