"""What was kept of answers, as the log in memory has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.events import AttemptFinished
from libs.events.ids import partition_of
from libs.log.port import Log
from libs.store.projection.changes import ExecutionRow
from libs.store.reads.responses import KeptResponse
from tests.fakes.partition import events_of


class FakeResponses:
    """Meets `Responses` of libs/store/reads/responses.py; *forgotten_before* is an instant that the test sets."""

    def __init__(self, log: Log, jobs: Mapping[str, Any], attempts: Mapping[str, Mapping[int, ExecutionRow]]) -> None:
        self.log = log
        self.jobs = jobs
        self.attempts = attempts
        self.forgotten_before = 0

    async def find(self, account: str, job_id: str, attempt: int) -> KeptResponse | None:
        row = self.attempts.get(job_id, {}).get(attempt)
        if row is None or self.jobs[job_id].account != account:
            return None
        data = None
        for each in await events_of(self.log, partition_of(job_id), AttemptFinished):
            assert isinstance(each, AttemptFinished)
            if (each.job_id, each.attempt) == (job_id, attempt) and each.response is not None:
                data = data or each.response.data
        is_forgotten = row.executed_at + (row.duration_ms or 0) < self.forgotten_before
        return KeptResponse(row.ok is not None, row.status_code, None if is_forgotten else data, is_forgotten)
