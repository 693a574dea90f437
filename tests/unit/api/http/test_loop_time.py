"""Loop time: however much one account asks for, another one's turn comes within a few rounds, and nobody gets more time."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from services.api.http.loop_time import BURST_S, LoopTime
from tests.fakes.until import until


class Worker:
    """What work is done for."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.turn: asyncio.Future[None] | None = None


class Work:
    """Pieces of work on a clock of their own; `begun` has the account of each, in the order in which they began."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = LoopTime(now_s=lambda: self.now)
        self.begun: list[str] = []
        self.used_s: Counter[str] = Counter()

    def start(self, account: str, seconds: float, count: int = 1) -> list[asyncio.Task[None]]:
        """Begin so many pieces of *account*, each of which takes so long."""
        return [asyncio.create_task(self._do(account, seconds)) for _ in range(count)]

    async def until_used(self, account: str, seconds: float) -> None:
        """Let the loop go round until *account* has used so much."""
        await until(lambda: self.used_s[account] >= seconds, every_s=0)

    async def _do(self, account: str, seconds: float) -> None:
        await self.turns.turn(Worker(account))
        self.begun.append(account)
        self.now += seconds
        self.used_s[account] += seconds
        self.turns.count(account, seconds)


async def test_a_turn_is_free_while_the_loop_keeps_up() -> None:
    """Pieces with pauses between them never wait: not for one round of the loop."""
    work = Work()
    for _ in range(100):
        work.now += 0.01
        turn = work.turns.turn(Worker("a"))
        with pytest.raises(StopIteration):
            turn.send(None)
        work.turns.count("a", 0.002)


async def test_a_newcomer_waits_for_a_few_rounds_however_many_wait() -> None:
    """What begins between the newcomer's request and its turn takes a few milliseconds."""
    work = Work()
    crowd = work.start("hostile", 0.001, 1_000) + work.start("other", 0.001, 1_000)
    await until(lambda: len(work.begun) >= 100, every_s=0)
    asked_at = work.now
    (newcomer,) = work.start("newcomer", 0.001)
    await newcomer
    assert work.now - asked_at <= 4 * BURST_S
    await asyncio.gather(*crowd)


async def test_accounts_get_the_same_time_whatever_their_pieces_take() -> None:
    """An account of large pieces, and one that comes later, get as much time as each other, not as many turns."""
    work = Work()
    tasks = work.start("large", 0.004, 300) + work.start("small", 0.0005, 2_000)
    await work.until_used("large", 0.2)
    before = Counter(work.used_s)
    tasks += work.start("late", 0.001, 1_000)
    await work.until_used("large", 0.6)
    got = {account: work.used_s[account] - before[account] for account in work.used_s}
    assert got["small"] == pytest.approx(got["large"], rel=0.25)
    assert got["late"] == pytest.approx(got["large"], rel=0.25)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_one_round_takes_a_bounded_time() -> None:
    """The pieces that begin in one round of the loop take a few milliseconds together, once their cost is known."""
    work = Work()
    tasks = work.start("a", 0.0005, 2_000)
    longest = 0.0
    for _ in range(100):
        before = work.now
        await asyncio.sleep(0)
        longest = max(longest, work.now - before)
        if work.now < 0.1:
            longest = 0.0
    assert 0 < longest <= 2 * BURST_S
    await asyncio.gather(*tasks)


async def test_a_request_that_was_given_up_takes_no_turn() -> None:
    """Those behind it get theirs."""
    work = Work()
    given_up, kept = work.start("a", 0.01, 50), work.start("a", 0.01, 50)
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*kept)
    assert len(work.begun) < 100


async def test_measured_work_is_the_work_itself() -> None:
    """It returns, raises and is cancelled as if it were not measured, and its time is counted."""
    turns, counted = LoopTime(), []
    turns.count = lambda account, seconds: counted.append((account, seconds))  # type: ignore[method-assign]

    async def work(*, fails: bool) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if fails:
                raise ValueError("it failed") from None
            return "was cancelled"
        return "slept"

    for fails in (True, False):
        task = asyncio.ensure_future(turns.measured(work(fails=fails), Worker("a")))
        await asyncio.sleep(0)
        task.cancel()
        if fails:
            with pytest.raises(ValueError, match="it failed"):
                await task
        else:
            assert await task == "was cancelled"
    assert [account for account, _ in counted] == ["a"] * 4
    assert all(seconds >= 0 for _, seconds in counted)


async def test_a_connection_that_is_lost_gives_its_work_up() -> None:
    """It does not wait for its turn with all that it holds."""
    work = Work()
    tasks = work.start("a", 0.01, 50)
    lost = Worker("a")
    waiting = asyncio.ensure_future(work.turns.turn(lost))
    await asyncio.sleep(0)
    assert lost.turn is not None
    lost.turn.set_exception(ConnectionResetError("the connection was closed"))
    with pytest.raises(ConnectionResetError):
        await waiting
    assert lost.turn is None
    assert len(work.begun) < 50
    await asyncio.gather(*tasks)
