"""What is carried of tables in memory: the rule of libs/store/carried in Python; a conformance test holds the SQL against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from libs.domain.heartbeat import ACCOUNT as HEARTBEAT
from libs.domain.history.choice import LATE_MS
from libs.domain.history.floors import Floors, is_over
from libs.domain.instants import day_of
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.schedule import ScheduleState
from libs.events import Claim
from libs.store.carried import carried_rows as said
from libs.store.carried import seals
from libs.store.carried.carrier import SKEW_MS
from libs.store.carried.seals import Key, Sum
from libs.store.projection.changes import ExecutionRow


class MemoryCarried(NamedTuple):
    """The tables of one partition as of the position before *begin*; a copy of them, for as long as others write."""

    begin: int
    claim: Claim | None
    floors: Floors
    jobs: Mapping[str, JobState]
    schedules: Mapping[str, ScheduleState]
    deliveries: Mapping[str, DeliveryState]
    specs: Mapping[str, bytes]
    executions: Mapping[tuple[str, int], ExecutionRow]
    usage: Mapping[tuple[str, int], int]

    def all_pieces(self, at: int) -> list[said.Piece]:
        """Return all that is to be carried at the instant *at*."""
        return list(said.pieces(self._rows(at)))

    def sealing(self, since: int, before: int) -> dict[Key, Sum]:
        """Return the sums of the jobs that ended in [*since*, *before*), and of the days before."""
        found = []
        for job in self.jobs.values():
            is_summed = job.is_terminal and job.completed_at is not None and job.account != HEARTBEAT
            if is_summed and since <= (job.completed_at or 0) < before:
                tried = [row for key, row in sorted(self.executions.items()) if key[0] == job.job_id]
                hashed = seals.hash_of(job, tried, self.specs.get(job.spec_id))
                found.append(seals.Ended(job, hashed, len(tried)))
        sums = seals.summed(found)
        first, end = (seals.usage_before(at) if at else 0 for at in (since, before))
        for (account, day), count in self.usage.items():
            if first <= day < end:
                key = seals.USAGE, day * 86_400_000
                sums[key] = sums.get(key, Sum()).plus(seals.usage_hash(account, day, count))
        return sums

    async def pieces(self, at: int) -> Any:
        """Yield the same."""
        for piece in self.all_pieces(at):
            yield piece

    def _rows(self, at: int) -> Iterator[tuple[str, bytes]]:
        jobs = [job for job in self.jobs.values() if not is_over(job) or job.cancel_requested]
        living = [*jobs, *self.schedules.values()]
        living += [each for each in self.deliveries.values() if each.next_at is not None or each.held]
        yield from said.states(living)
        ids = {job.job_id for job in jobs}
        for key, row in self.executions.items():
            if key[0] in ids:
                yield said.EXECUTIONS, said.plain_row(row)
        failed = [
            job
            for job in self.jobs.values()
            if job.status is JobStatus.FAILED and (job.completed_at or 0) >= at - LATE_MS - SKEW_MS
        ]
        wanted = {each for state in (*living, *failed) for each in (said.own_spec_id(state), *said.spec_ids_of(state))}
        for spec_id, spec in self.specs.items():
            if spec_id in wanted or "job_" + spec_id[-26:] in wanted:
                yield said.SPECS, said.spec_row(spec_id, spec)
        since = self.floors.closed_before - SKEW_MS
        for job in self.jobs.values():
            if job.job_id not in ids and (job.completed_at or 0) >= since:
                yield said.OVER, said.plain_row(job.job_id)
        for (account, day), count in self.usage.items():
            if day >= day_of(at) - said.DAYS_OF_USAGE:
                yield said.USAGE, said.plain_row((account, day, count))
