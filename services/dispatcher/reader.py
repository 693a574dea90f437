"""
Due reader: finds the attempts of one partition that are due.

    begin   E = end of the log; wait until the tables are folded up to E - 1; snapshot: position A, claim, running attempts
    take    from A + 1 on, the admitted due events
    again   after any trouble, begin anew with a snapshot, because only the tables say what is still running

The snapshot does not contain the attempts whose outcome is in the log at the beginning, because the tables are folded up to E -
1.

Source: ARCHITECTURE.md, "Leases".
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from libs.domain.ledger import GapInLog
from libs.events import AttemptDue, Claim
from libs.following.partition_reader import READ_MAX, BeginAgain, PartitionReader, ReaderContext, Wanted
from libs.following.ports import Progress
from libs.runtime.crashpoint import crash_at
from libs.store.reads.partition_tables import Snapshot
from services.dispatcher.held_attempts import HeldAttempts
from services.dispatcher.ports import DueTables, Meter

PROGRESS_WAIT_S: Final = 5.0
OVERDUE_CHECK_MS: Final = 30_000
OVERDUE_MS: Final = 120_000  # beyond an attempt's own deadline

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
        held_attempts: HeldAttempts,
        meter: Meter,
        on_due: Callable[[int, Sequence[tuple[int, AttemptDue]]], None],
    ) -> None:
        """Prepare to read; *on_due* gets the due attempts, each with a position at which the tables have its job."""
        super().__init__(partition, context, wanted=frozenset({"attempt.due"}))
        self._tables = tables
        self._progress = progress
        self._held_attempts = held_attempts
        self._meter = meter
        self._on_due = on_due
        self._check_at = 0

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
        self._held_attempts.passed(partition, snapshot.position)
        await self._take_snapshot(snapshot)
        self._check_at = self._clock.now() + OVERDUE_CHECK_MS
        return snapshot.position, snapshot.claim

    async def _take_snapshot(self, snapshot: Snapshot) -> None:
        running = snapshot.running
        for start in range(0, len(running), READ_MAX):
            await self._capacity.wait()
            self._on_due(self.partition, [(snapshot.position, due) for due in running[start : start + READ_MAX]])

    async def take(self, wanted: Sequence[Wanted], position: int, claim: Claim | None) -> None:
        """Hand over the attempts of *wanted*; twice a minute, look for attempts that were overlooked."""
        due = [(each.position, each.event) for each in wanted if isinstance(each.event, AttemptDue)]
        if due:
            self._on_due(self.partition, due)
        self._held_attempts.passed(self.partition, position)
        if self._clock.now() >= self._check_at:
            if await self._has_overdue():
                raise BeginAgain
            self._check_at = self._clock.now() + OVERDUE_CHECK_MS

    async def _has_overdue(self) -> bool:
        """Whether an attempt is running in the tables, long past its deadline, that this process does not hold."""
        snapshot = await self._tables.running(self.partition)
        now = self._clock.now()
        overdue = [
            due
            for due in snapshot.running
            if due.not_before + due.timeout_ms + OVERDUE_MS < now
            and not self._held_attempts.knows(self.partition, due.execution_id)
        ]
        if overdue:
            self._meter.overdue(len(overdue))
            _log.error("attempts_overdue", partition=self.partition, count=len(overdue), first=overdue[0].job_id)
        return bool(overdue)
