"""Which jobs there are, as the API asks for a back-fill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from libs.domain.history.floors import Floors
from libs.domain.job import JobState, JobStatus
from libs.log.port import Log
from libs.store.examination.findings import Finding, ok, wrong
from libs.store.leases.lease_report import HeldLease, Member
from libs.store.projection.changes import ExecutionRow
from libs.store.reads.activity import HOUR_MS, Activity


class ExistingJobs:
    """What the tables in memory answer."""

    harness: Any
    jobs: dict[str, JobState]
    attempts: dict[str, dict[int, ExecutionRow]]

    async def existing_jobs(self, account: str, job_ids: Collection[str]) -> set[str]:
        return {known for known in job_ids if known in self.jobs and self.jobs[known].account == account}

    async def activity(
        self, account: str, partitions: Collection[int], *, since: int, calls_since: int, now: int
    ) -> Activity:
        mine = [job for job in self.jobs.values() if job.account == account]
        ended = Counter(
            ((job.completed_at - since) // HOUR_MS, job.status)
            for job in mine
            if job.completed_at is not None and job.completed_at >= since
        )
        due = [job.fire_at for job in mine if job.is_waiting and job.fire_at <= now]
        late = sorted(
            max(row.executed_at - job.fire_at, 0)
            for job in mine
            if job.is_terminal and job.attempt == 1 and (row := self.attempts[job.job_id].get(1)) and row.executed_at
        )
        lateness = (late[(len(late) - 1) // 2], late[-1], late[-1]) if late else None
        counts = {status: sum(job.status is status for job in mine) for status in JobStatus}
        counted = [(hour, status, count) for (hour, status), count in sorted(ended.items())]
        return Activity(counted, len(due), min(due, default=None), len(late), lateness, is_partial=False, counts=counts)

    async def forgotten_before(self, partition: int) -> int:
        floors: Floors = self.harness.ledgers[partition].floors
        return floors.ids_before("acme")

    async def leases(self) -> list[HeldLease]:
        return [
            HeldLease(role="scheduler", partition=0, node="one", left_s=3.0, epoch=1, position=-1),
            HeldLease(role="dispatcher", partition=0, node="gone", left_s=-9.0, epoch=1, position=-1),
        ]

    async def members(self) -> list[Member]:
        return [Member(node="one", role="scheduler", seen_s=0.5, is_draining=False, partitions=3, version="1")]

    async def findings(self, log: Log) -> list[Finding]:
        assert log is self.harness.log
        return [ok("work", "nothing is overdue"), wrong("members", "no dispatcher is alive", "start one")]
