"""
Unfolded records: how much each account may have in the log that is not in the tables yet.

The scheduler folds all records in their order. If one account could append as fast as the log takes it, everybody's jobs and reads
would stand behind what it appended. So accounts share what may be unfolded (libs/domain/fair_shares.py). An append that finds no
room waits until records of its account are folded, and the others append meanwhile.

How much that is follows the folding: about as much as is folded in `FOLDED_S`, on this machine, of such records. Whenever appends
wait, the time from an append to its folding is seen. If it is longer, there is less to share from then on; if it is less than half
as long, more.

If nothing is folded at all (no scheduler runs), nobody holds anybody up: appends go on, as far as `CreationLimits` lets them.

Cost: O(1) for an append that finds room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from libs.domain.fair_shares import FairShares
from libs.events import Envelope
from libs.store.projection.progress import ProgressWatch
from services.api.contract.api_error import unavailable

FOLDED_S: Final = 0.3  # a request waits for it, and is to be answered within a second
TOTAL: Final = 2_000  # units in one process of the API at its start
TOTAL_MIN: Final = 400
TOTAL_MAX: Final = 20_000
FEWER: Final = 0.7  # by which the total changes, once for the records that were appended since it changed
MORE: Final = 1.25
UNIT_BYTES: Final = 4_096  # that take about as long to fold as a record does
STILL_S: Final = 1.0  # after so long without any record folded, nobody waits
STEP_S: Final = 0.05  # after so long a waiting append looks again, at the records of all accounts


class _Appended(NamedTuple):
    position: int  # of its last record
    units: int
    at: float


def units_of(envelopes: Sequence[Envelope]) -> int:
    """Return what *envelopes* take: one unit each, and one for every `UNIT_BYTES`."""
    return len(envelopes) + sum(len(each.value) for each in envelopes) // UNIT_BYTES


class UnfoldedRecords:
    """The shares of one process."""

    def __init__(self, progress: ProgressWatch, *, total: int | None = None) -> None:
        self._progress = progress
        self._shares = FairShares(TOTAL if total is None else total)
        self._appended: dict[str, dict[int, deque[_Appended]]] = {}  # by account and partition, in the log's order
        self._loop = asyncio.get_running_loop()
        self._moved_at = self._loop.time()  # when the last record was folded, or none was waited for
        self._changed_at = self._loop.time()  # when the total changed
        self._waiting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by account, while appends wait

    @property
    def total(self) -> int:
        """How many units all accounts share now."""
        return self._shares.total

    def has_room(self, account: str, units: int) -> bool:
        """Whether *account* may append so much, within its share, without waiting."""
        if account in self._waiting:
            return False
        self._settle(account)
        return self._shares.may_take(account, units)

    async def take(self, account: str, units: int, ends_at: float) -> None:
        """
        Wait until *account* may append so much; call `appended` or `failed` afterwards.

        Raises:
            ApiError: 503 if there is no room by *ends_at* of the loop's clock.
        """
        in_turn = self._waiting.get(account)
        if in_turn is None:
            self._settle(account)
            if self._may_take(account, units):
                self._shares.take(account, units)
                return
            in_turn = self._waiting[account] = asyncio.Lock()
        try:
            async with asyncio.timeout_at(ends_at), in_turn:
                await self._wait(account, units)
        except TimeoutError:
            raise unavailable("too many records of this account are not in the tables yet, try again") from None

    def appended(self, account: str, partition: int, position: int, units: int) -> None:
        """Note that so much of *account* stands in *partition*, the last record at *position*."""
        now = self._loop.time()
        if not self._appended:
            self._moved_at = now
        partitions = self._appended.setdefault(account, {})
        partitions.setdefault(partition, deque()).append(_Appended(position, units, now))

    def failed(self, account: str, units: int) -> None:
        """Note that the append of so much failed."""
        self._shares.give_back(account, units)

    def _may_take(self, account: str, units: int) -> bool:
        # What is larger than any share goes as soon as anything is free, one at a time.
        return self._shares.may_take(account, units) or (self._shares.free > 0 and not self._shares.held_by(account))

    async def _wait(self, account: str, units: int) -> None:
        is_asked = False
        while True:
            for each in list(self._appended):
                self._settle(each, is_timely=is_asked)
            is_still = is_asked and bool(self._appended) and self._loop.time() - self._moved_at > STILL_S
            if is_still or self._may_take(account, units):
                self._shares.take(account, units)
                return
            mine = self._appended.get(account) or next(iter(self._appended.values()), None)
            if mine is None:  # all appends are under way
                await asyncio.sleep(STEP_S)
            else:  # in a process that folds nothing, this asks how far the tables are
                await self._progress.wait_all({p: waiting[0].position for p, waiting in mine.items()}, STEP_S)
                is_asked = True

    def _settle(self, account: str, *, is_timely: bool = False) -> None:
        """
        Give back what is in the tables. A partition that stands still keeps no other one's records.

        Args:
            is_timely: the positions of the tables were asked for just now, so what is found says how long folding takes.
        """
        partitions = self._appended.get(account, {})
        for partition, waiting in list(partitions.items()):
            known = self._progress.known(partition)
            while waiting and waiting[0].position <= known:
                folded = waiting.popleft()
                self._shares.give_back(account, folded.units)
                self._moved_at = self._loop.time()
                if is_timely and folded.at >= self._changed_at:
                    self._follow(self._moved_at - folded.at)
            if not waiting:
                del partitions[partition]
        if not partitions:
            self._appended.pop(account, None)

    def _follow(self, took_s: float) -> None:
        """Share less if folding *took_s* too long, more if it did not."""
        total = self._shares.total
        if took_s > FOLDED_S:
            wanted = max(TOTAL_MIN, int(total * FEWER))
        elif took_s < FOLDED_S / 2:
            wanted = min(TOTAL_MAX, int(total * MORE))
        else:
            return
        self._shares.resize(max(1, wanted))
        self._changed_at = self._loop.time()
