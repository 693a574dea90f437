"""
Unfolded records: how many records each account may have in the log that are not in the tables yet.

The scheduler folds all records in their order. If one account could append as fast as the log takes it, everybody's jobs and reads
would stand behind what it appended. So accounts share a number of unfolded records (libs/domain/fair_shares.py). An append that
finds no room waits until records of its account are folded, and the others append meanwhile.

If nothing is folded at all (no scheduler runs), nobody holds anybody up: appends go on, as far as `CreationLimits` lets them.

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
STILL_S: Final = 1.0  # after so long without any record folded, nobody waits
STEP_S: Final = 0.05  # after so long a waiting append looks again, at the records of all accounts


class UnfoldedRecords:
    """The shares of one process."""

    def __init__(self, progress: ProgressWatch, *, total: int = TOTAL) -> None:
        self._progress = progress
        self._shares = FairShares(total)
        # Account -> partition -> the last position and the number of the records of each append.
        self._appended: dict[str, dict[int, deque[tuple[int, int]]]] = {}
        self._moved_at = asyncio.get_running_loop().time()  # when the last record was folded, or none was waited for
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
        if not self._appended:
            self._moved_at = asyncio.get_running_loop().time()
        partitions = self._appended.setdefault(account, {})
        partitions.setdefault(partition, deque()).append((position, count))

    def failed(self, account: str, count: int) -> None:
        """Note that the append of *count* records failed."""
        self._shares.give_back(account, count)

    async def _wait(self, account: str, count: int) -> None:
        loop, is_asked = asyncio.get_running_loop(), False
        while True:
            for each in list(self._appended):
                self._settle(each)
            is_still = is_asked and bool(self._appended) and loop.time() - self._moved_at > STILL_S
            if is_still or self._shares.may_take(account, count):
                self._shares.take(account, count)
                return
            mine = self._appended.get(account) or next(iter(self._appended.values()), None)
            if mine is None:  # all appends are under way
                await asyncio.sleep(STEP_S)
            else:  # in a process that folds nothing, this asks how far the tables are
                await self._progress.wait_all({p: waiting[0][0] for p, waiting in mine.items()}, STEP_S)
                is_asked = True

    def _settle(self, account: str) -> None:
        """Give back what is in the tables. A partition that stands still keeps no other one's records."""
        partitions = self._appended.get(account, {})
        for partition, waiting in list(partitions.items()):
            known = self._progress.known(partition)
            while waiting and waiting[0][0] <= known:
                self._shares.give_back(account, waiting.popleft()[1])
                self._moved_at = asyncio.get_running_loop().time()
            if not waiting:
                del partitions[partition]
        if not partitions:
            self._appended.pop(account, None)
