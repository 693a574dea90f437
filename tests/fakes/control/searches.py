"""Searches of jobs and schedules, as the API asks for them, of tables in memory. A look goes through `SCANNED_MAX` of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.domain.job import JobState
from libs.domain.schedule import ScheduleState
from libs.events import Spec
from libs.events.ids import execution_id
from libs.store.reads.filters import Found, JobFilter, ScheduleFilter
from libs.store.reads.search import SCANNED_MAX
from services.api.contract.schedules import schedule_answers


def search_jobs(
    jobs: Mapping[str, JobState], specs: Any, account: str, wanted: JobFilter, limit: int, before: str | None
) -> Found[tuple[JobState, Spec]]:
    """Return what `Search.search_jobs` does; *specs* gives the spec of a state."""
    mine = [jobs[known] for known in sorted(jobs, reverse=True) if jobs[known].account == account]
    near = [each for each in mine if before is None or each.job_id < before][:SCANNED_MAX]
    return Found([(each, specs(each)) for each in near if wanted.takes(each)][:limit])


def search_schedules(
    schedules: Mapping[str, ScheduleState],
    specs: Any,
    account: str,
    wanted: ScheduleFilter,
    now: int,
    limit: int,
    before: str | None,
) -> Found[tuple[ScheduleState, Spec]]:
    """Return what `Search.search_schedules` does."""
    mine = [schedules[known] for known in sorted(schedules, reverse=True) if schedules[known].account == account]
    near = [each for each in mine if before is None or each.schedule_id < before]
    found = [each for each in near if wanted.takes(each) and schedule_answers.has_status(each, wanted.status, now)]
    return Found([(each, specs(each)) for each in found[:limit]])


def job_of_execution(jobs: Mapping[str, JobState], account: str, wanted_id: str) -> str | None:
    """Return what `Search.job_of_execution` does."""
    for job_id, job in jobs.items():
        if job.account == account and any(execution_id(job_id, each + 1) == wanted_id for each in range(job.attempt)):
            return job_id
    return None


class SearchedTables:
    """What the tables of a harness answer."""

    jobs: dict[str, JobState]
    specs: dict[str, Spec]
    schedules: dict[str, ScheduleState]

    async def search_jobs(
        self, account: str, wanted: JobFilter, *, limit: int, before: str | None
    ) -> Found[tuple[JobState, Spec]]:
        return search_jobs(self.jobs, self._spec_of, account, wanted, limit, before)

    async def search_schedules(
        self, account: str, wanted: ScheduleFilter, *, now: int, limit: int, before: str | None
    ) -> Found[tuple[ScheduleState, Spec]]:
        return search_schedules(self.schedules, self._spec_of, account, wanted, now, limit, before)

    async def job_of_execution(self, account: str, wanted_id: str) -> str | None:
        return job_of_execution(self.jobs, account, wanted_id)

    def _spec_of(self, state: JobState | ScheduleState) -> Spec:
        return self.specs[state.spec_id]
