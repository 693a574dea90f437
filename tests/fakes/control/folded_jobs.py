"""What fan-out reads of jobs, and the positions that it saves, as one fold of a log in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from libs.domain.endpoints.webhook_event import Attempt
from libs.domain.job import JobState
from libs.domain.schedule import ScheduleState
from libs.events import AttemptFinished, Claim, JobScheduled, Response
from libs.store.reads.fan_out_tables import JobAttempt, ToldJob, ToldSchedule
from tests.fakes.control.fan_out_rows import labels_of
from tests.fakes.partition import FoldedTables, events_of


class FoldedJobs:
    """What the tables know of jobs, as a fold of the log, and the positions that are saved."""

    def __init__(self, tables: FoldedTables) -> None:
        self.tables = tables
        self.saved: dict[int, tuple[int, Claim | None]] = {}
        self.questions = 0
        self.answers = 0  # asked for
        self.fails: Exception | None = None

    async def jobs_of(
        self, partition: int, wanted: Sequence[JobAttempt], *, with_urls: bool, answers: Sequence[JobAttempt] = ()
    ) -> tuple[int, Mapping[JobAttempt, ToldJob]]:
        self.questions += 1
        if self.fails is not None:
            raise self.fails
        states = (await self.tables.fold(partition)).states.of(JobState)
        urls = {
            each.job_id: each.spec.url
            for each in await events_of(self.tables.log, partition, JobScheduled)
            if isinstance(each, JobScheduled)
        }
        attempts: dict[JobAttempt, Attempt] = {}
        responses: dict[JobAttempt, Response] = {}
        for each in await events_of(self.tables.log, partition, AttemptFinished):
            assert isinstance(each, AttemptFinished)
            made = Attempt(
                each.job_id, each.attempt, each.ok, each.status_code, each.error, each.duration_ms, each.started_at
            )
            if attempts.setdefault((each.job_id, each.attempt), made) is made and each.response is not None:
                responses[each.job_id, each.attempt] = each.response
        self.answers += len(answers)
        return (await self.tables.fold(partition)).position, {
            key: ToldJob(
                states[key[0]].account,
                states[key[0]].schedule_id,
                urls[key[0]] if with_urls else None,
                attempts.get(key),
                states[key[0]].labels,
                responses.get(key) if key in answers else None,
            )
            for key in wanted
            if key[0] in states
        }

    async def schedules_of(self, partition: int, ids: Collection[str]) -> tuple[int, Mapping[str, ToldSchedule]]:
        self.questions += 1
        ledger = await self.tables.fold(partition)
        states = ledger.states.of(ScheduleState)
        return ledger.position, {
            each: ToldSchedule(states[each].account, states[each].changed_at, labels_of(states[each]))
            for each in ids
            if each in states
        }

    async def progress(self, partition: int) -> tuple[int, Claim | None]:
        ledger = await self.tables.fold(partition)
        return ledger.position, ledger.claim

    async def fanned_out(self, partition: int) -> tuple[int, Claim | None]:
        if self.fails is not None:
            raise self.fails
        return self.saved.get(partition, (-1, None))

    async def save_fan_out(self, partition: int, position: int, claim: Claim | None) -> None:
        if self.fails is not None:
            raise self.fails
        if position > self.saved.get(partition, (-1, None))[0]:
            self.saved[partition] = position, claim
