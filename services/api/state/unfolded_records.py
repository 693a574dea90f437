"""
Unfolded records: how much each account may have in a partition of the log that is not in the tables yet.

The scheduler folds the records of a partition in their order. If one account could append as fast as the log takes it, everybody's
jobs and reads would stand behind what it appended. So accounts share what may be unfolded in a partition
(libs/domain/fair_shares.py). An append that finds no room waits until records of the partition are folded, and the others append
meanwhile.

How much that is follows the folding of that partition: about as much as is folded in `FOLDED_S`, on this machine, of such records.
Whenever appends wait, the time from an append to its folding is seen. If it is longer, there is less to share from then on; if it
is less than half as long, more. A partition that is folded late because others appended to it does not learn that from the others:
one measure for all partitions rose with every record of an idle one.

When that becomes less, the accounts that hold the most keep what they hold, and for a while nothing is free. An account always gets
its equal part of `TOTAL_MIN`, so that one which asks for little does not wait for them.

If nothing is folded at all (no scheduler runs, or the partition stands still), nobody holds anybody up: appends go on, as far as
`CreationLimits` lets them.

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

FOLDED_S: Final = 0.15  # a request waits for it, and is to be answered within a second
TOTAL: Final = 400  # units of a partition, in one process of the API at its start
TOTAL_MIN: Final = 100
TOTAL_MAX: Final = 5_000
FEWER: Final = 0.7  # by which the total changes, once for the records that were appended since it changed
MORE: Final = 1.25
UNIT_BYTES: Final = 4_096  # that take about as long to fold as a record does
STILL_S: Final = 1.0  # after so long without any record folded, nobody waits
STEP_S: Final = 0.05  # after so long a waiting append looks again


class _Appended(NamedTuple):
    position: int  # of its last record
    account: str
    units: int
    at: float


def units_of(envelopes: Sequence[Envelope]) -> int:
    """Return what *envelopes* take: one unit each, and one for every `UNIT_BYTES`."""
    return len(envelopes) + sum([len(each.value) for each in envelopes]) // UNIT_BYTES


class UnfoldedRecords:
    """The shares of one process, of each partition's."""

    def __init__(self, progress: ProgressWatch, *, total: int | None = None) -> None:
        self._progress = progress
        self._total = TOTAL if total is None else total
        self._partitions: dict[int, _Partition] = {}

    def total_of(self, partition: int) -> int:
        """How many units of *partition* all accounts share now."""
        return self._of(partition).shares.total

    def has_room(self, account: str, partition: int, units: int) -> bool:
        """Whether *account* may append so much to *partition*, within its share, without waiting."""
        return self._of(partition).has_room(account, units)

    async def take(self, account: str, partition: int, units: int, ends_at: float) -> None:
        """
        Wait until *account* may append so much to *partition*; call `appended` or `failed` afterwards.

        Raises:
            ApiError: 503 if there is no room by *ends_at* of the loop's clock.
        """
        await self._of(partition).take(account, units, ends_at)

    def appended(self, account: str, partition: int, position: int, units: int) -> None:
        """Note that so much of *account* stands in *partition*, the last record at *position*."""
        self._of(partition).appended(account, position, units)

    def failed(self, account: str, partition: int, units: int) -> None:
        """Note that the append of so much failed."""
        self._of(partition).shares.give_back(account, units)

    def _of(self, partition: int) -> _Partition:
        found = self._partitions.get(partition)
        if found is None:
            found = self._partitions[partition] = _Partition(partition, self._progress, self._total)
        return found


class _Partition:
    """The shares of one partition."""

    def __init__(self, partition: int, progress: ProgressWatch, total: int) -> None:
        self.shares = FairShares(total)
        self._partition = partition
        self._progress = progress
        self._appended: deque[_Appended] = deque()  # in the log's order
        self._loop = asyncio.get_running_loop()
        self._moved_at = self._loop.time()  # when the last record was folded, or none was waited for
        self._changed_at = self._loop.time()  # when the total changed
        self._waiting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by account, while appends wait

    def has_room(self, account: str, units: int) -> bool:
        if account in self._waiting:
            return False
        self._settle()
        return self.shares.may_take(account, units)

    async def take(self, account: str, units: int, ends_at: float) -> None:
        in_turn = self._waiting.get(account)
        if in_turn is None:
            self._settle()
            if self._may_take(account, units):
                self.shares.take(account, units)
                return
            in_turn = self._waiting[account] = asyncio.Lock()
        try:
            async with asyncio.timeout_at(ends_at), in_turn:
                await self._wait(account, units)
        except TimeoutError:
            raise unavailable("too many records of this account are not in the tables yet, try again") from None

    def appended(self, account: str, position: int, units: int) -> None:
        now = self._loop.time()
        if not self._appended:
            self._moved_at = now
        self._appended.append(_Appended(position, account, units, now))

    def _may_take(self, account: str, units: int) -> bool:
        shares = self.shares
        held = shares.held_by(account)
        # Nothing may be free for seconds: the others hold what there was to share before it became less.
        if held + units <= TOTAL_MIN // (shares.holder_count + 1):
            return True
        # What is larger than any share goes as soon as anything is free, one at a time.
        return shares.may_take(account, units) or (shares.free > 0 and not held)

    async def _wait(self, account: str, units: int) -> None:
        is_asked = False
        while True:
            self._settle(is_timely=is_asked)
            is_still = is_asked and bool(self._appended) and self._loop.time() - self._moved_at > STILL_S
            if is_still or self._may_take(account, units):
                self.shares.take(account, units)
                return
            if not self._appended:  # all appends are under way
                await asyncio.sleep(STEP_S)
            else:  # in a process that folds nothing, this asks how far the tables are
                await self._progress.wait(self._partition, self._appended[0].position, STEP_S)
                is_asked = True

    def _settle(self, *, is_timely: bool = False) -> None:
        """
        Give back what is in the tables.

        Args:
            is_timely: the position of the tables was asked for just now, so what is found says how long folding takes.
        """
        known, waiting = self._progress.known(self._partition), self._appended
        while waiting and waiting[0].position <= known:
            folded = waiting.popleft()
            self.shares.give_back(folded.account, folded.units)
            self._moved_at = self._loop.time()
            if is_timely and folded.at >= self._changed_at:
                self._follow(self._moved_at - folded.at)

    def _follow(self, took_s: float) -> None:
        """Share less if folding *took_s* too long, more if it did not."""
        total = self.shares.total
        if took_s > FOLDED_S:
            wanted = max(TOTAL_MIN, int(total * FEWER))
        elif took_s < FOLDED_S / 2:
            wanted = min(TOTAL_MAX, int(total * MORE))
        else:
            return
        self.shares.resize(max(1, wanted))
        self._changed_at = self._loop.time()
