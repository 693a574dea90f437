"""What owners ask for by what stands in `more`, and what the API asks for a back-fill, of the tables in memory."""

from __future__ import annotations

from collections.abc import Collection

from libs.domain.job import JobState
from libs.domain.schedule import ScheduleState
from libs.events import Spec
from libs.store.reads.filters import Found, JobFilter
from tests.fakes.control import searches


class ScheduleReads:
    """What `Database` answers about them."""

    jobs: dict[str, JobState]
    schedules: dict[str, ScheduleState]
    partition_of: dict[str, int]

    def open_schedules(self, partition: int) -> list[ScheduleState]:
        """Return the schedules whose owner owes them something at once."""
        return [
            each for known, each in self.schedules.items() if each.owes_now and self.partition_of[known] == partition
        ]

    def load_zoned(self, partition: int, zone_data: str, after: str, limit: int) -> list[ScheduleState]:
        found = [
            each
            for known, each in sorted(self.schedules.items())
            if self.partition_of[known] == partition
            and known > after
            and each.is_active
            and not each.held
            and each.next_run_at is not None
            and each.more is not None
            and each.more.rule.zone != "UTC"
            and each.more.zone_data != zone_data
        ]
        return found[:limit]

    def existing_jobs(self, account: str, job_ids: Collection[str]) -> set[str]:
        return {known for known in job_ids if known in self.jobs and self.jobs[known].account == account}

    def search_jobs(
        self, account: str, wanted: JobFilter, *, limit: int, before: str | None
    ) -> Found[tuple[JobState, Spec]]:
        return searches.search_jobs(self.jobs, self._spec, account, wanted, limit, before)

    def _spec(self, state: JobState | ScheduleState) -> Spec:
        raise NotImplementedError

    def forgotten_before(self, partition: int) -> int:
        return 0  # a fleet has no history
