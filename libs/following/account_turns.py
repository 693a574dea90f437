"""
Account turns: how many pieces of work of a kind that takes much are under way at once, shared fairly among accounts.

An account that asks for more than its share waits for its own work to end (`FairQueue`), so that the others find room.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

from libs.egress.fair_queue import FairQueue

# The account that this task works for; nobody's work is that of one account more.
asking: Final[ContextVar[str]] = ContextVar("asking", default="")

_Turn = tuple["asyncio.Future[None]", str]


class AccountTurns:
    """Lets *total* pieces of work run, of one account half of them at the most; the others wait, each account's in their order."""

    def __init__(self, total: int, *, wait_s: float | None = None) -> None:
        """Bound the wait for a turn by *wait_s*, if it is given."""
        self._wait_s = wait_s
        self._queue: FairQueue[_Turn] = FairQueue(total=total, per_host=total)

    @property
    def is_idle(self) -> bool:
        """Whether no work is under way or waits."""
        return not self._queue.active_count and not self._queue.waiting_count

    @asynccontextmanager
    async def turn(self, account: str) -> AsyncIterator[None]:
        """Do a piece of work for *account* while this lasts; what `take` raises, this does."""
        await self.take(account)
        try:
            yield
        finally:
            self.give(account)

    async def take(self, account: str) -> None:
        """
        Wait for a turn of *account*; call `give` afterwards.

        Raises:
            TimeoutError: none came in time.
        """
        turn = asyncio.get_running_loop().create_future()
        self._queue.submit((turn, account), account=account, host=account)
        self._start()
        if turn.done():
            return
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give(account)  # it came at the same moment
            raise

    def give(self, account: str) -> None:
        """Hand the turn to the next piece of work that may have it."""
        self._queue.release(account=account, host=account)
        self._start()

    def _start(self) -> None:
        while (taken := self._queue.take()) is not None:
            turn, account = taken
            if turn.done():  # it was given up
                self._queue.release(account=account, host=account)
            else:
                turn.set_result(None)
