"""Webhook endpoints and fan-out in the database in memory (tests/fakes/database.py)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from libs.domain.endpoints.webhook_event import Attempt
from libs.domain.jobs.state import NO_LABELS
from libs.domain.schedule import ScheduleState
from libs.events import Claim, Response, Spec
from libs.store.reads.fan_out_tables import JobAttempt, ToldJob, ToldSchedule
from tests.fakes.control.endpoints import EndpointTable
from tests.fakes.control.history_rows import HistoryRows

ENDPOINT_METHODS = ("changes", "everybody", "to_announce", "announced", "sending_secrets", "failed", "delivered")
_decode_spec = msgspec.json.Decoder(Spec).decode


def labels_of(schedule: ScheduleState) -> Mapping[str, str]:
    """Return the labels of a schedule."""
    return (None if schedule.more is None else schedule.more.labels) or NO_LABELS


class FanOutRows(HistoryRows):
    """The part of the database that fan-out reads and writes."""

    def __init__(self) -> None:
        """Start without endpoints."""
        super().__init__()
        self.endpoints = EndpointTable()
        self.fan_out: dict[int, tuple[int, Claim | None]] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in ENDPOINT_METHODS:
            raise AttributeError(name)
        return getattr(self.endpoints, name)

    def fanned_out(self, partition: int) -> tuple[int, Claim | None]:
        return self.fan_out.get(partition, (-1, None))

    def save_fan_out(self, partition: int, position: int, claim: Claim | None) -> None:
        if position > self.fanned_out(partition)[0]:
            self._write(self.fan_out, partition, (position, claim))
            self._commit(is_durable=False)

    def jobs_of(
        self, partition: int, wanted: Sequence[JobAttempt], *, with_urls: bool, answers: Sequence[JobAttempt] = ()
    ) -> tuple[int, dict[JobAttempt, ToldJob]]:
        found = {}
        for job_id, number in wanted:
            if (state := self.jobs.get(job_id)) is None:
                continue
            row = self.execution_rows.get((job_id, number))
            attempt = None
            if row is not None and row.ok is not None:
                attempt = Attempt(job_id, number, row.ok, row.status_code, row.error, row.duration_ms, row.executed_at)
            url = _decode_spec(self.specs_by_id[state.spec_id]).url if with_urls else None
            answer = self.response_rows.get((job_id, number)) if (job_id, number) in answers else None
            response = None if answer is None else Response(data=answer.data, key=answer.key)
            found[job_id, number] = ToldJob(state.account, state.schedule_id, url, attempt, state.labels, response)
        return self.progress(partition)[0], found

    def schedules_of(self, partition: int, ids: Collection[str]) -> tuple[int, dict[str, ToldSchedule]]:
        return self.progress(partition)[0], {
            each: ToldSchedule(state.account, state.changed_at, labels_of(state))
            for each in ids
            if (state := self.schedules.get(each)) is not None
        }
