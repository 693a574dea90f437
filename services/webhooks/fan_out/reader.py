"""
Fan-out reader: reads one partition, and appends a job for each event and each endpoint that is told of it.

    begin   wait until there is an endpoint; then read on from the saved position, or from where the tables were when there was none
    take    look up what the events lack, append the jobs, and wait until all of them are in the log
    save    each second, the position up to which that is done

After a crash events are fanned out again. The jobs have the same ids then, and of each the first record counts. So no delivery is
lost and none is made twice. What has happened before an endpoint was made is not told to it, also not by such a repeat.

The jobs that tell endpoints have endpoints as their accounts, and an endpoint has none that is told of it: so nobody is told of
them.

While no account has an endpoint, nothing of the log is read.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Final, TypeVar

from libs.domain.endpoints.delivery import delivery_job, is_exhausted
from libs.domain.endpoints.fan_out import (
    JobFacts,
    Told,
    attempt_of,
    needs_facts,
    of_schedule,
    told_of,
    told_of_schedule,
)
from libs.domain.ledger import MustUnderstand
from libs.domain.responses.captured import Captured, decode
from libs.egress.caller_headers import host_of
from libs.events import (
    Claim,
    JobCancelled,
    JobFinished,
    JobRetryScheduled,
    ScheduleAutopaused,
    ScheduleTicked,
    encode,
)
from libs.following.partition_reader import BeginAgain, PartitionReader, ReaderContext, Wanted
from libs.following.ports import Progress
from libs.log.fact_appender import FactAppender
from libs.runtime.crashpoint import crash_at
from libs.sealing.data_key import Broken
from libs.sealing.keyring import Keyring, Shredded
from libs.store.reads.fan_out_tables import JobAttempt, ToldJob, ToldSchedule
from services.webhooks.fan_out.directory import EndpointDirectory
from services.webhooks.fan_out.ports import DeliveryMeter, FanOutPositions, JobTables

FACTS_MAX: Final = 100  # appended before the tables have them: what others append comes behind these
PROGRESS_WAIT_S: Final = 5.0
WENT_BACK_MS: Final = 100
IDLE_SAVE_MS: Final = 60_000  # between two looks at the tables' position while there is no endpoint

OwnerDecision = JobFinished | JobCancelled | JobRetryScheduled
ScheduleDecision = ScheduleTicked | ScheduleAutopaused
_WANTED: Final = frozenset(
    {"job.finished", "job.cancelled", "job.retry_scheduled", "schedule.ticked", "schedule.autopaused"}
)
R = TypeVar("R")


class FanOutReader(PartitionReader):
    """Fans out the events of one partition."""

    def __init__(
        self,
        partition: int,
        context: ReaderContext,
        *,
        directory: EndpointDirectory,
        positions: FanOutPositions,
        tables: JobTables,
        progress: Progress,
        keyring: Keyring,
        meter: DeliveryMeter,
    ) -> None:
        """Prepare to read *partition*; nothing happens before `run`."""
        super().__init__(partition, context, wanted=_WANTED)
        self._directory = directory
        self._positions = positions
        self._tables = tables
        self._progress = progress
        self._keyring = keyring
        self._meter = meter
        self._facts = FactAppender(self._log, partition, clock=self._clock)
        self._reached: tuple[int, Claim | None] | None = None
        self._saved_position = -1
        self._looked_for = -1  # up to here the directory has the endpoints that records may be told to
        self._ahead_count = 0  # facts since the tables were waited for
        self._written_position = -1

    async def begin(self) -> tuple[int, Claim | None]:
        """Wait until there is an endpoint, and return the position behind which its events begin."""
        await self._directory.wait_newer()
        if self._directory.is_empty:
            self.trouble = None
            self._reached = await self._wait_for_endpoint()
        elif self._reached is None:
            self._reached = await self._positions.fanned_out(self.partition)
            self._saved_position = self._reached[0]
        return self._reached

    async def take(self, wanted: Sequence[Wanted], position: int, claim: Claim | None) -> None:
        """Fan out what was read."""
        if self._reached is None or position > self._reached[0]:
            # Also for records of which this build tells nobody: an endpoint may ask for what a newer build makes of them.
            await self._wait_newer(position)
        if self._directory.is_empty:
            self._reached = position, claim
            raise BeginAgain
        if self._directory.not_understood is not None:
            raise MustUnderstand(f"endpoint {self._directory.not_understood} asks for events of a newer build")
        decisions = [each.event for each in wanted if isinstance(each.event, OwnerDecision)]
        for decision in decisions:
            if isinstance(decision, JobFinished) and is_exhausted(decision):
                self._meter.delivery_exhausted("endpoint")
        rows = await self._rows(decisions, position)
        answers = await self._opened(rows)
        of_schedules = await self._told_of_schedules(wanted, position)
        of_jobs = (told for decision in decisions for told in self._told_of(decision, rows, answers))
        for told in chain(of_jobs, of_schedules):
            await self._keyring.ready(told.endpoint.account)
            job = self._keyring.seal(delivery_job(told, self.partition), told.endpoint.account)
            self._facts.put(encode(job), self._note_written)
            self._ahead_count += 1
            if self._ahead_count >= FACTS_MAX:
                await self._wait_folded()
        await self._facts.wait_idle()
        crash_at("webhooks.after_fan_out")
        self._reached = position, claim

    async def _wait_newer(self, position: int) -> None:
        """
        Wait until the directory has all endpoints that were made before the record at *position*.

        A look finds those of everything that was in the log when it began. So a herd, which is read in many steps, needs few looks.
        """
        if position > self._looked_for:
            end = await self._log.end(self.partition) if self.is_behind else position + 1
            await self._directory.wait_newer()
            self._looked_for = end - 1

    async def save(self) -> None:
        """Save the position, if it moved. If that fails, it is saved a second later, and a crash repeats a little more."""
        reached = self._reached
        if reached is not None and reached[0] > self._saved_position:
            crash_at("webhooks.before_fan_out_save")
            await self._positions.save_fan_out(self.partition, *reached)
            self._saved_position = reached[0]

    async def _wait_folded(self) -> None:
        """
        Wait until the tables have all facts; the caller bounds the wait, by being cancelled.

        A hundred endpoints make a hundred facts of each end. Without the wait one account's would stand in the log, by the ten
        thousand, before everybody's next records.
        """
        await self._facts.wait_idle()
        while not await self._progress.wait(self.partition, self._written_position, PROGRESS_WAIT_S):
            self._logger.info("waiting_for_tables", partition=self.partition, position=self._written_position)
        self._ahead_count = 0

    def _note_written(self, position: int) -> None:
        self._written_position = position

    async def stop(self) -> None:
        """Append nothing more; may be called twice."""
        await self._facts.stop()

    async def _wait_for_endpoint(self) -> tuple[int, Claim | None]:
        """Return a position of the tables from before the first endpoint was made."""
        while True:
            folded = await self._positions.progress(self.partition)
            await self._directory.wait_newer()
            # There was no endpoint when the tables were there.
            if self._directory.is_empty and folded[0] > self._saved_position:
                await self._positions.save_fan_out(self.partition, *folded)
                self._saved_position = folded[0]
            looked_at = self._clock.steady()
            while self._directory.is_empty and self._clock.steady() - looked_at < IDLE_SAVE_MS:
                await self._directory.wait_check()  # all partitions begin with the check that finds the first endpoint
            if not self._directory.is_empty:
                return await self._positions.fanned_out(self.partition)

    async def _rows(self, decisions: Sequence[OwnerDecision], position: int) -> Mapping[JobAttempt, ToldJob]:
        """Return what the tables know of the jobs of which more must be known than the decisions say."""
        wanted = [(decision.job_id, attempt_of(decision)) for decision in decisions if self._needs_row(decision)]
        if not wanted:
            return {}
        with_urls = self._directory.asks_for_hosts
        answers = [(decision.job_id, attempt_of(decision)) for decision in decisions if self._needs_answer(decision)]
        folded, found = await self._tables_at(
            position, lambda: self._tables.jobs_of(self.partition, wanted, with_urls=with_urls, answers=answers)
        )
        for job_id, _ in wanted:
            if not any(known == job_id for known, _ in found):
                self._logger.error("job_missing", partition=self.partition, job_id=job_id, position=folded)
        return found

    async def _told_of_schedules(self, wanted: Sequence[Wanted], position: int) -> list[Told]:
        """
        Return who is told of schedules.

        A tick is void if its schedule was paused or changed before it in the log. Then nothing at or behind it has changed the
        schedule, unless that came in the moment until the tables were read.
        """
        if not self._directory.asks_for_schedules:
            return []
        found = [(at, event) for at, event, _ in wanted if isinstance(event, ScheduleDecision) and of_schedule(event)]
        if not found:
            return []
        ids = {event.schedule_id for _, event in found}
        _, schedules = await self._tables_at(position, lambda: self._tables.schedules_of(self.partition, ids))
        nothing = ToldSchedule("", -1)
        return [
            told
            for at, event in found
            if (schedule := schedules.get(event.schedule_id, nothing)).changed_at >= at
            for told in told_of_schedule(event, self._directory.of(schedule.account), schedule.labels)
        ]

    async def _tables_at(self, position: int, ask: Callable[[], Awaitable[tuple[int, R]]]) -> tuple[int, R]:
        """Return what the tables know once they are folded up to *position*; the caller bounds the wait, by being cancelled."""
        while True:
            while not await self._progress.wait(self.partition, position, PROGRESS_WAIT_S):
                self._logger.info("waiting_for_tables", partition=self.partition, position=position)
            folded, found = await ask()
            if folded >= position:
                return folded, found
            await self._clock.pause(WENT_BACK_MS)  # the tables lost flushes, which are made again

    def _needs_row(self, decision: OwnerDecision) -> bool:
        if isinstance(decision, JobRetryScheduled):
            return self._directory.asks_for_attempts  # of any account: the decision does not say whose job it is
        return any(needs_facts(endpoint) for endpoint in self._directory.of(decision.account))

    def _needs_answer(self, decision: OwnerDecision) -> bool:
        if isinstance(decision, JobRetryScheduled):
            return self._directory.asks_for_responses  # of any account, as above
        return any(each.config.include_response for each in self._directory.of(decision.account))

    async def _opened(self, rows: Mapping[JobAttempt, ToldJob]) -> dict[JobAttempt, Captured]:
        """
        Return what was kept of the answers to attempts of accounts that have an endpoint which asks for it.

        What nobody can open any more counts as not kept.

        Raises:
            KeysUnavailable: this process does not have the master key.
        """
        found = {}
        for (job_id, attempt), row in rows.items():
            endpoints = self._directory.of(row.account)
            if row.response is None or not any(each.config.include_response for each in endpoints):
                continue
            try:
                data = await self._keyring.opened_response(
                    row.response, account=row.account, job_id=job_id, attempt=attempt
                )
            except Shredded:
                continue
            except Broken:
                self._logger.error("response_broken", partition=self.partition, job_id=job_id, attempt=attempt)
                continue
            found[job_id, attempt] = decode(data)
        return found

    def _told_of(
        self,
        decision: OwnerDecision,
        rows: Mapping[JobAttempt, ToldJob],
        answers: Mapping[JobAttempt, Captured],
    ) -> list[Told]:
        key = decision.job_id, attempt_of(decision)
        row = rows.get(key)
        if row is not None:
            host = None if row.url is None else bare_host(row.url)
            facts = JobFacts(row.account, row.schedule_id, host, row.attempt, row.labels, answers.get(key))
        elif isinstance(decision, JobRetryScheduled):
            return []
        else:
            facts = JobFacts(decision.account)
        return told_of(decision, facts, self._directory.of(facts.account))


def bare_host(url: str) -> str:
    """Return the host of a normalised URL, in lower case and without the port."""
    host = host_of(url).partition("://")[2].lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
