"""
Snapshot reader: finds the open calls of one partition in the tables, and those that follow in the log.

    begin   E = end of the log; wait until the tables are folded up to E - 1; snapshot: position A, claim, what is open
    take    from A + 1 on, the admitted events that make a call due
    again   after any trouble, begin anew with a snapshot, because only the tables say what is still open
    recall  calls that were left in the tables, because a share was full, are found there once there is room
    check   each half minute: is a call open in the tables, long past its time, that this process does not know?

The snapshot does not contain the calls whose outcome is in the log at the beginning, because the tables are folded up to E - 1. For
the same reason the tables are asked for left calls only when they are folded as far as the reader has read.

Source: ARCHITECTURE.md, "Leases".
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

from libs.domain.ledger import GapInLog, MustUnderstand
from libs.events import Claim
from libs.following.calls import Calls
from libs.following.held_calls import C
from libs.following.partition_reader import BeginAgain, PartitionReader, ReaderContext, Wanted
from libs.following.ports import Progress
from libs.log.port import READ_WAIT_S

PROGRESS_WAIT_S: Final = 5.0
CHECK_EVERY_MS: Final = 30_000
# Not all at the same time: each takes a connection, and those that are used within a minute are kept, with 4 MB of the server.
CHECK_APART_MS: Final = 1_000
CHECK_PHASES: Final = 16
OVERDUE_MS: Final = 120_000  # beyond the latest instant at which a call should have ended
RECALL_WAIT_S: Final = 0.05


class Snapshot(Protocol):
    """What is open in the tables as of *position*, and the claim admitted there."""

    @property
    def position(self) -> int: ...

    @property
    def claim(self) -> Claim | None: ...


S = TypeVar("S", bound=Snapshot)


class SnapshotReader(PartitionReader, Generic[S, C]):
    """Reads one partition; a service says in a subclass what is open, and hands it over."""

    def __init__(
        self,
        partition: int,
        context: ReaderContext,
        *,
        wanted: frozenset[str],
        progress: Progress,
        calls: Calls[C],
        recall_every_ms: int,
    ) -> None:
        """
        Prepare to read *partition*.

        Args:
            wanted: the stored names of the events that make a call due.
            recall_every_ms: how often to look whether there is room for calls that were left.
        """
        super().__init__(partition, context, wanted=wanted)
        self.held = calls.held
        self._progress = progress
        self._recall_every_ms = recall_every_ms
        self._check_at = 0
        self._recall_at = 0
        self._forgotten_count = 0  # when the tables were known to be as far as this reader

    @abstractmethod
    async def read_snapshot(self) -> S:
        """Read what is open from the tables, as of one position."""

    @abstractmethod
    async def take_snapshot(self, snapshot: S) -> bool:
        """Hand over what is open, or leave it in the tables; return whether something was left for which there is room."""

    @abstractmethod
    def take_wanted(self, wanted: Sequence[Wanted]) -> None:
        """Hand over the calls that events of the log make due."""

    @abstractmethod
    def count_overdue(self, snapshot: S) -> int:
        """Count calls of *snapshot*, long past their time, that are neither held nor left, and say so in the process's log."""

    @abstractmethod
    def may_recall(self) -> bool:
        """Whether calls are left for which there is room."""

    def next_look_at(self) -> int | None:
        """Return from when on `may_recall` may be true although nothing is left; None: not before another record was read."""
        return None

    @abstractmethod
    async def recall(self) -> bool:
        """Find calls that were left; return whether there is room for more of them. May raise `BeginAgain`."""

    async def begin(self) -> tuple[int, Claim | None]:
        """
        Hand over what is open in the tables, and return the position of the tables.

        Raises:
            GapInLog: the tables went back.
            MustUnderstand: the tables have a record in front of which this reader has stopped.
        """
        partition = self.partition
        end = await self._log.end(partition)
        while not await self._progress.wait(partition, end - 1, PROGRESS_WAIT_S):
            self._logger.info("waiting_for_tables", partition=partition, position=end - 1)
        self._forgotten_count = self._progress.forgotten_count
        snapshot = await self.read_snapshot()
        if self.stopped_before is not None and snapshot.position >= self.stopped_before[0]:
            # A newer build has folded the record meanwhile. What is open since then this build may understand wrongly.
            raise MustUnderstand(self.stopped_before[1])
        if snapshot.position < end - 1:
            raise GapInLog(f"partition {partition}: the tables went back from {end - 1} to {snapshot.position}")
        self.held.passed(partition, snapshot.position)
        self.held.left.forget(partition)
        self._recall_soon(is_at_once=await self.take_snapshot(snapshot))
        self._check_at = self._clock.now() + CHECK_EVERY_MS + partition % CHECK_PHASES * CHECK_APART_MS
        return snapshot.position, snapshot.claim

    async def take(self, wanted: Sequence[Wanted], position: int, claim: Claim | None) -> None:
        """Hand over what is due; recall calls that were left, and twice a minute look for those overlooked."""
        if wanted:
            self.take_wanted(wanted)
        self.held.passed(self.partition, position)
        if self._clock.now() >= self._check_at:
            if self.count_overdue(await self.read_snapshot()):
                raise BeginAgain
            self._check_at = self._clock.now() + CHECK_EVERY_MS
        if self._clock.now() >= self._recall_at and self.may_recall():
            # Tables that are behind would hold up the calls of all accounts: another time.
            is_folded = await self._progress.wait(self.partition, position, RECALL_WAIT_S)
            self._forgotten_count = self._progress.forgotten_count
            self._recall_soon(is_at_once=is_folded and await self.recall())
        elif self.read_wait_s:
            self.read_wait_s = self._quiet_wait_s()

    def check_tables(self) -> None:
        """
        Call this when rows were read, before they are used.

        Raises:
            BeginAgain: the tables may have become older than what this reader has read; what has ended may seem open there.
        """
        if self._forgotten_count != self._progress.forgotten_count:
            raise BeginAgain

    def _recall_soon(self, *, is_at_once: bool) -> None:
        self._recall_at = self._clock.now() + (0 if is_at_once else self._recall_every_ms)
        self.read_wait_s = 0.0 if is_at_once else self._quiet_wait_s()

    def _quiet_wait_s(self) -> float:
        """Return how long to wait for a record: no longer than until there may be something to recall."""
        if self.held.left.accounts(self.partition):
            return self._recall_every_ms / 1_000
        look_at = self.next_look_at()
        if look_at is None:
            return READ_WAIT_S
        return min(READ_WAIT_S, max(look_at - self._clock.now(), self._recall_every_ms) / 1_000)
