"""
Due reader: finds the attempts of one partition that are due.

    begin   E = end of the log; wait until the tables are folded up to E - 1; snapshot: position A, claim, running attempts
    take    from A + 1 on, the admitted due events
    again   after any trouble, begin anew with a snapshot, because only the tables say what is still running
    recall  attempts that were left in the tables, because their account's share was full, are found in the same way once
            the account holds at most half of its share

The snapshot does not contain the attempts whose outcome is in the log at the beginning, because the tables are folded up to E -
1.

Source: ARCHITECTURE.md, "Leases".
"""

from collections.abc import Sequence
from typing import Final

import structlog

from libs.domain.ledger import GapInLog
from libs.events import AttemptDue, Claim
from libs.following.partition_reader import READ_MAX, BeginAgain, PartitionReader, ReaderContext, Wanted
from libs.following.ports import Progress
from libs.runtime.crashpoint import crash_at
from libs.store.reads.partition_tables import Snapshot
from services.dispatcher.attempt_calls import AttemptCalls
from services.dispatcher.ports import DueTables, Meter

PROGRESS_WAIT_S: Final = 5.0
OVERDUE_CHECK_MS: Final = 30_000
OVERDUE_MS: Final = 120_000  # beyond an attempt's own deadline
RECALL_EVERY_MS: Final = 1_000
RECALL_WAIT_S: Final = 0.05

_log = structlog.get_logger("dispatcher")


class DueReader(PartitionReader):
    """Reads one partition and hands over the attempts found due."""

    def __init__(
        self,
        partition: int,
        context: ReaderContext,
        *,
        tables: DueTables,
        progress: Progress,
        calls: AttemptCalls,
        meter: Meter,
    ) -> None:
        """Prepare to read; *calls* takes the due attempts."""
        super().__init__(partition, context, wanted=frozenset({"attempt.due"}))
        self._tables = tables
        self._progress = progress
        self._calls = calls
        self._meter = meter
        self._check_at = 0
        self._recall_at = 0

    async def begin(self) -> tuple[int, Claim | None]:
        """
        Hand over the attempts that are running in the tables, and return the position of the tables.

        Raises:
            GapInLog: the tables went back.
        """
        partition = self.partition
        end = await self._log.end(partition)
        while not await self._progress.wait(partition, end - 1, PROGRESS_WAIT_S):
            _log.info("waiting_for_tables", partition=partition, position=end - 1)
        snapshot = await self._tables.running(partition)
        crash_at("dispatcher.after_snapshot")
        if snapshot.position < end - 1:
            raise GapInLog(f"partition {partition}: the tables went back from {end - 1} to {snapshot.position}")
        self._calls.held.passed(partition, snapshot.position)
        self._calls.held.recall(partition)
        await self._take_snapshot(snapshot)
        self._check_at = self._clock.now() + OVERDUE_CHECK_MS
        self._recall_at = self._clock.now() + RECALL_EVERY_MS
        return snapshot.position, snapshot.claim

    async def _take_snapshot(self, snapshot: Snapshot) -> None:
        running = sorted(snapshot.running, key=lambda due: due.not_before)  # the oldest find room first
        for start in range(0, len(running), READ_MAX):
            await self._capacity.wait()
            self._calls.take(self.partition, [(snapshot.position, due) for due in running[start : start + READ_MAX]])

    async def take(self, wanted: Sequence[Wanted], position: int, claim: Claim | None) -> None:
        """Hand over the attempts of *wanted*; look for attempts that were left, and twice a minute for those overlooked."""
        due = [(each.position, each.event) for each in wanted if isinstance(each.event, AttemptDue)]
        if due:
            self._calls.take(self.partition, due)
        self._calls.held.passed(self.partition, position)
        if self._clock.now() >= self._check_at:
            if await self._has_overdue():
                raise BeginAgain
            self._check_at = self._clock.now() + OVERDUE_CHECK_MS
        if self._clock.now() >= self._recall_at and self._calls.held.may_recall(self.partition):
            # Tables that are behind would hold up the attempts of all accounts: another time.
            if await self._progress.wait(self.partition, position, RECALL_WAIT_S):
                raise BeginAgain
            self._recall_at = self._clock.now() + RECALL_EVERY_MS

    async def _has_overdue(self) -> bool:
        """Whether an attempt is running in the tables, long past its deadline, that this process does not hold."""
        snapshot = await self._tables.running(self.partition)
        now = self._clock.now()
        overdue = [
            due
            for due in snapshot.running
            if due.not_before + due.timeout_ms + OVERDUE_MS < now
            and not self._calls.held.knows(self.partition, due.execution_id)
            and not self._calls.held.has_left(self.partition, due.account)
        ]
        if overdue:
            self._meter.overdue(len(overdue))
            _log.error("attempts_overdue", partition=self.partition, count=len(overdue), first=overdue[0].job_id)
        return bool(overdue)
