"""Which jobs there are, as the API asks for a back-fill."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from libs.domain.history.floors import Floors
from libs.domain.job import JobState


class ExistingJobs:
    """What the tables in memory answer."""

    harness: Any
    jobs: dict[str, JobState]

    async def existing_jobs(self, account: str, job_ids: Collection[str]) -> set[str]:
        return {known for known in job_ids if known in self.jobs and self.jobs[known].account == account}

    async def forgotten_before(self, partition: int) -> int:
        floors: Floors = self.harness.ledgers[partition].floors
        return floors.ids_before("acme")
