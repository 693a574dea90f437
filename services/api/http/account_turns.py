"""
Account turns: how many reads of one account are under way at once.

All accounts read through the same few connections to the database. An account that asks for more than its share waits for its
own reads to end, so that the others find a connection free.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from services.api.contract.api_error import unavailable

AT_ONCE: Final = 4
WAIT_S: Final = 10.0


class AccountTurns:
    """Lets *at_once* reads of each account run; the others of that account wait, in the order in which they came."""

    def __init__(self, *, at_once: int = AT_ONCE, wait_s: float = WAIT_S) -> None:
        self._at_once = at_once
        self._wait_s = wait_s
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # bounded by the number of connections

    @property
    def is_idle(self) -> bool:
        """Whether no read is under way or waits."""
        return not self._under_way and not self._waiting

    async def take(self, account: str) -> None:
        """
        Wait for a turn of *account*; call `give` afterwards.

        Raises:
            ApiError: 503 if none comes in time.
        """
        count = self._under_way.get(account, 0)
        if count < self._at_once:
            self._under_way[account] = count + 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account, deque()).append(turn)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.give(account)  # it came at the same moment
            if isinstance(error, TimeoutError):
                raise unavailable("too many reads of this account are under way, try again") from None
            raise

    def give(self, account: str) -> None:
        """Hand the turn to the next read of *account*."""
        waiting = self._waiting.get(account)
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._waiting.pop(account, None)
        if self._under_way[account] == 1:
            del self._under_way[account]
        else:
            self._under_way[account] -= 1
