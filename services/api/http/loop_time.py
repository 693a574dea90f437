"""
Loop time: accounts take turns at the event loop, so that the requests of one delay neither those of another nor the calls.

Work is done in pieces of some milliseconds at most. A small request is one piece; a large body, a batch and a long list are
several. Each piece begins with a turn:

    free      while the pieces of the last moments took little time, a turn is had at once
    crowded   else the pieces wait, each account's in a queue of its own. In each round of the loop as many may begin as take
              `BURST_S` together; those of the account that has used the least time come first

So one round of the loop takes a few milliseconds longer at most, however many requests wait, and a newcomer waits for few rounds.
A request whose account is not known yet counts for its address; one whose token was known a while ago, for the account that it had.

Cost: two readings of a clock for each piece; O(log accounts) for one that waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from heapq import heappop, heappush
from time import perf_counter
from typing import Any, Final, Generic, Protocol, TypeVar

BURST_S: Final = 0.004
SHARE: Final = 0.5  # of the time that pieces may take before turns are crowded
DEBT_MAX_S: Final = 0.04  # so turns are free again some rounds after the last crowd
FIRST_COST_S: Final = 0.0002  # of an account's piece, as long as few were measured
MEASURED_MAX: Final = 64  # pieces of an account after which older ones count half

T = TypeVar("T")


class Worker(Protocol):
    """
    What work is done for.

    Args:
        account: that of the latest request, or its address until the account is known.
        turn: what it waits for; whoever ends it with an exception gives the work up.
    """

    account: str
    turn: asyncio.Future[None] | None


class _Waiting:
    """The pieces of one account while turns are crowded."""

    __slots__ = ("average_s", "cost_s", "count", "turns", "used_s")

    def __init__(self, used_s: float) -> None:
        self.turns: deque[asyncio.Future[None]] = deque()  # bounded by the number of connections
        self.used_s = used_s
        self.cost_s, self.count = FIRST_COST_S, 1  # of the pieces that have begun
        self.average_s = FIRST_COST_S


class LoopTime:
    """The turns of one event loop."""

    def __init__(self, *, now_s: Callable[[], float] = perf_counter) -> None:
        self.now_s = now_s
        self._loop = asyncio.get_running_loop()
        self._credit_s = BURST_S
        self._at = now_s()
        self._accounts: dict[str, _Waiting] = {}  # while turns are crowded
        self._order: list[tuple[float, str]] = []  # a heap of those that wait, by the time that they used
        self._least_s = 0.0  # that an account which waits has used: a newcomer begins with it

    async def turn(self, worker: Worker) -> None:
        """Wait until a piece of work of *worker* may begin."""
        if not self._order:
            now = self.now_s()
            self._credit_s = min(BURST_S, self._credit_s + (now - self._at) * SHARE)
            self._at = now
            if self._credit_s > 0:
                return
            self._loop.call_soon(self._let_go)
        account = worker.account
        found = self._accounts.get(account)
        if found is None:
            found = self._accounts[account] = _Waiting(self._least_s)
        if not found.turns:
            found.used_s = max(found.used_s, self._least_s)
            heappush(self._order, (found.used_s, account))
        worker.turn = turn = self._loop.create_future()
        found.turns.append(turn)
        try:
            await turn
        finally:
            worker.turn = None

    async def pause(self, worker: Worker) -> None:
        """End a piece of work, and wait until the next one may begin."""
        await asyncio.sleep(0)
        await self.turn(worker)

    def measured(self, work: Coroutine[Any, Any, T], worker: Worker) -> Measured[T]:
        """Return *work* as an awaitable that counts the time that it takes on the loop."""
        return Measured(work, worker, self)

    def count(self, account: str, seconds: float) -> None:
        """Count time that *account* took."""
        self._credit_s = max(self._credit_s - seconds, -DEBT_MAX_S)
        found = self._accounts.get(account)
        if found is not None:
            found.cost_s += seconds
            found.average_s = found.cost_s / found.count  # right once all of a round have begun, when it is read

    def _let_go(self) -> None:
        left_s = BURST_S
        while self._order and left_s > 0:
            _, account = heappop(self._order)
            found = self._accounts[account]
            self._least_s = found.used_s
            turn = found.turns.popleft()
            if not turn.done():  # else its request was given up
                turn.set_result(None)
                found.used_s += found.average_s
                left_s -= found.average_s
                if found.count > MEASURED_MAX:
                    found.cost_s, found.count = found.cost_s / 2, found.count // 2
                found.count += 1
            if found.turns:
                heappush(self._order, (found.used_s, account))
        if self._order:
            self._loop.call_soon(self._let_go)
        else:
            self._accounts.clear()
            self._least_s = 0.0


class Measured(Generic[T]):
    """A coroutine whose steps are measured."""

    __slots__ = ("_loop_time", "_work", "_worker")

    def __init__(self, work: Coroutine[Any, Any, T], worker: Worker, loop_time: LoopTime) -> None:
        self._work, self._worker, self._loop_time = work, worker, loop_time

    def __await__(self) -> Generator[Any, Any, T]:
        work, now_s = self._work, self._loop_time.now_s
        step: Callable[[Any], Any] = work.send
        value: Any = None
        while True:
            began = now_s()
            try:
                awaited = step(value)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            finally:
                self._loop_time.count(self._worker.account, now_s() - began)
            step, value = work.send, None
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001 - it belongs to the work
                step, value = work.throw, error
