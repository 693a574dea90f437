"""
Due reader: finds the attempts of one partition that are due.

    snapshot  position, claim, and the running attempts
    tail      the admitted due events, and the ends of jobs that were stopped
    recall    begin again with a snapshot once an account of which attempts were left holds at most half of its share
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

import structlog

from libs.events import AttemptDue, JobFinished
from libs.events.ids import execution_id, share_of
from libs.following.partition_reader import READ_MAX, BeginAgain, ReaderContext, Wanted
from libs.following.ports import Progress
from libs.following.snapshot_reader import OVERDUE_MS, SnapshotReader
from libs.runtime.crashpoint import crash_at
from libs.store.reads.partition_tables import Snapshot
from services.dispatcher.attempt_calls import AttemptCall, AttemptCalls
from services.dispatcher.ports import DueTables, Meter

RECALL_EVERY_MS: Final = 1_000

_log = structlog.get_logger("dispatcher")


class DueReader(SnapshotReader[Snapshot, AttemptCall]):
    """Reads one partition and hands over the attempts found due; those of jobs that were stopped are cut off."""

    wanted_from = MappingProxyType({"job.finished": 2})  # only these say why a job ended

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
        super().__init__(
            partition,
            context,
            wanted=frozenset({"attempt.due", "job.finished"}),
            progress=progress,
            calls=calls,
            recall_every_ms=RECALL_EVERY_MS,
        )
        self._tables = tables
        self._calls = calls
        self._meter = meter

    async def read_snapshot(self) -> Snapshot:
        """Read the running attempts."""
        snapshot = await self._tables.running(self.partition)
        crash_at("dispatcher.after_snapshot")
        return snapshot

    async def take_snapshot(self, snapshot: Snapshot) -> bool:
        """Hand over the running attempts."""
        running = sorted(snapshot.running, key=lambda due: due.not_before)  # the oldest find room first
        for start in range(0, len(running), READ_MAX):
            self._calls.take(self.partition, [(snapshot.position, due) for due in running[start : start + READ_MAX]])
        return False

    def take_wanted(self, wanted: Sequence[Wanted]) -> None:
        """Hand over the attempts that are due, and cut off those of jobs that were stopped."""
        self._calls.take(
            self.partition, [(each.position, each.event) for each in wanted if isinstance(each.event, AttemptDue)]
        )
        for each in wanted:
            event = each.event
            if isinstance(event, JobFinished) and event.ended_by in ("stopped", "replaced") and event.attempt:
                self._calls.cut_off(self.partition, execution_id(event.job_id, event.attempt))

    def may_recall(self) -> bool:
        """Whether attempts were left of an account that holds at most half of its share."""
        return self.held.may_recall(self.partition)

    async def recall(self) -> bool:
        """Begin again: the snapshot has what was left."""
        raise BeginAgain

    def count_overdue(self, snapshot: Snapshot) -> int:
        """Count the attempts that are running, long past their deadline, and that this process does not hold."""
        now = self._clock.now()
        overdue = [
            due
            for due in snapshot.running
            if due.not_before + due.timeout_ms + OVERDUE_MS < now
            and not self.held.knows(self.partition, due.execution_id)
            and not self.held.left.has_left(self.partition, share_of(due.account))
        ]
        if overdue:
            self._meter.overdue(len(overdue))
            _log.error("attempts_overdue", partition=self.partition, count=len(overdue), first=overdue[0].job_id)
        return len(overdue)
