"""
Account turns: how many requests of a kind that takes much are under way at once, shared fairly among accounts.

    lists     of anything that has many rows: these take loop time and memory, and few connections read them
    batches   take six times their size in memory while they are worked on

An account that asks for more than its share waits for its own requests to end (libs/egress/fair_queue.py), so that the others find
connections and memory free.
"""

from __future__ import annotations

import asyncio
from typing import Final

from libs.egress.fair_queue import FairQueue
from services.api.contract.api_error import unavailable

LISTS_AT_ONCE: Final = 8
BATCHES_AT_ONCE: Final = 12
WAIT_S: Final = 10.0

_Turn = tuple["asyncio.Future[None]", str]


class AccountTurns:
    """Lets *total* requests run, of one account half of them at the most; the others wait, each account's in their order."""

    def __init__(self, total: int, *, wait_s: float = WAIT_S) -> None:
        self._queue: FairQueue[_Turn] = FairQueue(total=total, per_host=total)
        self._wait_s = wait_s

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way or waits."""
        return not self._queue.active_count and not self._queue.waiting_count

    async def take(self, account: str) -> None:
        """
        Wait for a turn of *account*; call `give` afterwards.

        Raises:
            ApiError: 503 if none comes in time.
        """
        turn = asyncio.get_running_loop().create_future()
        self._queue.submit((turn, account), account=account, host=account)
        self._start()
        if turn.done():
            return
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.give(account)  # it came at the same moment
            if isinstance(error, TimeoutError):
                raise unavailable("too many requests of this account are under way, try again") from None
            raise

    def give(self, account: str) -> None:
        """Hand the turn to the next request that may have it."""
        self._queue.release(account=account, host=account)
        self._start()

    def _start(self) -> None:
        while (taken := self._queue.take()) is not None:
            turn, account = taken
            if turn.done():  # it was given up
                self._queue.release(account=account, host=account)
            else:
                turn.set_result(None)
