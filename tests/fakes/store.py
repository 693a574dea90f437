"""
An in-memory store: the tables an owner reads and the flusher writes, with the same fence, and faults on demand.

It keeps what `PartitionChanges` brings and nothing else, so that a test can compare it with the fold of the log, row for row.
"""

from __future__ import annotations

from collections.abc import Sequence

from libs.domain.job import JobState, JobStatus
from libs.domain.schedule import ScheduleState
from libs.events import Claim
from libs.store.changes import Flush
from libs.store.errors import StoreUnavailable


class MemoryStore:
    """The tables of any number of partitions. *failing* makes every call raise `StoreUnavailable` while it is set."""

    def __init__(self) -> None:
        self.positions: dict[int, tuple[int, Claim | None]] = {}
        self.nonces: dict[int, str] = {}
        self.jobs: dict[str, JobState] = {}
        self.schedules: dict[str, ScheduleState] = {}
        self.partition_of: dict[str, int] = {}
        self.usage: dict[tuple[str, int], int] = {}
        self.failing = False
        self.flush_count = 0

    async def progress(self, partition: int) -> tuple[int, Claim | None]:
        self._answer()
        return self.positions.get(partition, (-1, None))

    async def load(self, partition: int, ids: list[str]) -> tuple[list[JobState], list[ScheduleState]]:
        self._answer()
        mine = [known for known in ids if self.partition_of.get(known) == partition]
        return (
            [self.jobs[known] for known in mine if known in self.jobs],
            [self.schedules[known] for known in mine if known in self.schedules],
        )

    async def load_open(self, partition: int) -> list[JobState]:
        self._answer()
        return [
            job
            for job in self._jobs(partition)
            if job.status in (JobStatus.RUNNING, JobStatus.FINISHING) or job.cancel_requested
        ]

    async def load_backlog(self, partition: int, account: str, before: int, limit: int) -> list[JobState]:
        found = await self.load_due(partition, before, len(self.jobs))
        return [job for job in found if job.account == account][:limit]

    async def load_due(
        self, partition: int, before: int, limit: int, *, since: int = 0, avoid: Sequence[str] = ()
    ) -> list[JobState]:
        self._answer()
        found = [
            job
            for job in self._jobs(partition)
            if job.is_waiting and not job.held and since <= job.fire_at < before and job.account not in avoid
        ]
        return sorted(found, key=lambda job: job.fire_at)[:limit]

    async def load_schedules(self, partition: int, before: int, limit: int, *, since: int = 0) -> list[ScheduleState]:
        self._answer()
        found = [
            (schedule.next_run_at, schedule.schedule_id)
            for schedule in self.schedules.values()
            if self.partition_of[schedule.schedule_id] == partition
            and schedule.is_active
            and not schedule.held
            and schedule.next_run_at is not None
            and since <= schedule.next_run_at < before
        ]
        return [self.schedules[known] for _, known in sorted(found)[:limit]]

    async def flush(self, flushes: Sequence[Flush]) -> set[int]:
        self._answer()
        missed: set[int] = set()
        for flush in flushes:
            position, _ = self.positions.get(flush.partition, (-1, None))
            if self.nonces.get(flush.partition) != flush.lease_nonce or position != flush.from_position:
                missed.add(flush.partition)
                continue
            self.flush_count += 1
            self.positions[flush.partition] = (flush.to_position, flush.claim)
            for job in flush.changes.jobs.values():
                self.jobs[job.job_id] = job
                self.partition_of[job.job_id] = flush.partition
            for schedule in flush.changes.schedules.values():
                self.schedules[schedule.schedule_id] = schedule
                self.partition_of[schedule.schedule_id] = flush.partition
            for key, count in flush.changes.usage.items():
                self.usage[key] = self.usage.get(key, 0) + count
        return missed

    def _jobs(self, partition: int) -> list[JobState]:
        return [job for job in self.jobs.values() if self.partition_of[job.job_id] == partition]

    def _answer(self) -> None:
        if self.failing:
            raise StoreUnavailable("the test took the tables away")
