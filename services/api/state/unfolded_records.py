"""
Unfolded records: how many records each account may have in the log that are not in the tables yet.

The scheduler folds all records in their order. If one account could append as fast as the log takes it, everybody's jobs and reads
would stand behind what it appended. So accounts share a number of unfolded records (libs/domain/fair_shares.py). An append that
finds no room waits until records of its account are folded, and the others append meanwhile.

Cost: O(1) for an append that finds room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final
from weakref import WeakValueDictionary

from libs.domain.fair_shares import FairShares
from libs.store.projection.progress import ProgressWatch
from services.api.contract.api_error import unavailable

TOTAL: Final = 20_000  # in one process of the API: less than a second of folding
STEP_S: Final = 0.05  # after so long a waiting append looks again, at the records of all accounts


class UnfoldedRecords:
    """The shares of one process."""

    def __init__(self, progress: ProgressWatch, *, total: int = TOTAL) -> None:
        self._progress = progress
        self._shares = FairShares(total)
        self._appended: dict[str, deque[tuple[int, int, int]]] = {}  # account -> (partition, last position, count)
        self._waiting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by account, while appends wait

    async def take(self, account: str, count: int, ends_at: float) -> None:
        """
        Wait until *account* may append *count* records; call `appended` or `failed` afterwards.

        Raises:
            ApiError: 503 if there is no room by *ends_at* of the loop's clock.
        """
        in_turn = self._waiting.get(account)
        if in_turn is None:
            self._settle(account)
            if self._shares.may_take(account, count):
                self._shares.take(account, count)
                return
            in_turn = self._waiting[account] = asyncio.Lock()
        try:
            async with asyncio.timeout_at(ends_at), in_turn:
                await self._wait(account, count)
        except TimeoutError:
            raise unavailable("too many records of this account are not in the tables yet, try again") from None

    def appended(self, account: str, partition: int, position: int, count: int) -> None:
        """Note that *count* records of *account* stand in *partition*, the last one at *position*."""
        self._appended.setdefault(account, deque()).append((partition, position, count))

    def failed(self, account: str, count: int) -> None:
        """Note that the append of *count* records failed."""
        self._shares.give_back(account, count)

    async def _wait(self, account: str, count: int) -> None:
        while True:
            for each in list(self._appended):
                self._settle(each)
            if self._shares.may_take(account, count):
                self._shares.take(account, count)
                return
            mine = self._appended.get(account) or next(iter(self._appended.values()), None)
            if mine is None:  # all appends are under way
                await asyncio.sleep(STEP_S)
            else:
                partition, position, _ = mine[0]
                await self._progress.wait(partition, position, STEP_S)

    def _settle(self, account: str) -> None:
        """Give back what is in the tables."""
        appended = self._appended.get(account)
        while appended and appended[0][1] <= self._progress.known(appended[0][0]):
            _, _, count = appended.popleft()
            self._shares.give_back(account, count)
        if appended is not None and not appended:
            del self._appended[account]
