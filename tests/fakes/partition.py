"""
A partition as its scheduler would leave it: an owner that appends claims and decisions, and tables that fold the log.

The tables are the real fold (`Ledger`) on demand, so that what the dispatcher and the webhooks service read is never invented.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from libs.domain.endpoints.order import Pending
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.jobs.ends import TerminalEvent, end_of
from libs.domain.ledger import Ledger
from libs.events import (
    AttemptDue,
    Claim,
    Event,
    JobCancelled,
    JobFinished,
    JobScheduled,
    OwnerClaimed,
    Response,
    ScheduleCreated,
    ScheduleDefined,
    Spec,
    encode,
    read,
)
from libs.events.ids import new_job_id
from libs.following.left_calls import Place
from libs.log.port import Log
from libs.store.reads.partition_tables import Snapshot, StoredSpec
from libs.store.reads.pending_webhooks import DueDeliveries, DueDelivery, PendingSnapshot
from tests.fakes import events

SECRET = "whsec_" + "A" * 32
OTHER_SECRET = "whsec_" + "B" * 32


class Owner:
    """Whoever decides for a partition: makes jobs, claims, decides, without any timing of its own."""

    def __init__(self, log: Log, partition: int = 0, *, epoch: int = 1, nonce: str | None = None) -> None:
        self.log = log
        self.partition = partition
        self.claim = Claim(epoch, nonce or f"nonce{epoch:08d}")
        self._jobs = 0

    async def take_over(self, at: int = 0) -> int:
        event = OwnerClaimed(epoch=self.claim.epoch, nonce=self.claim.nonce, node="owner", at=at)
        return await self.log.append(self.partition, [encode(event)])

    async def schedule(
        self,
        fire_at: int,
        *,
        url: str = "http://target.example/x",
        account: str = "default",
        labels: dict[str, str] | None = None,
        **spec: object,
    ) -> JobScheduled:
        """Append a job and return its first event."""
        self._jobs += 1
        entropy = (self.claim.epoch << 32 | self._jobs).to_bytes(8, "big")
        job = events.asked(
            new_job_id(fire_at, self.partition, entropy),
            fire_at,
            account=account,
            at=fire_at - 1_000,
            spec=Spec(url=url, **spec),
            labels=labels,
        )
        await self.log.append(self.partition, [encode(job)])
        return job

    async def due(self, job: JobScheduled, *, attempt: int = 1, not_before: int | None = None) -> AttemptDue:
        """Decide that *job* is due, and return the decision."""
        event = due_of(job, attempt=attempt, not_before=not_before)
        await self.decide(event)
        return event

    async def append(self, fact: Event) -> int:
        """Append what a caller asks for."""
        return await self.log.append(self.partition, [encode(fact)])

    async def decide(self, event: Event) -> int:
        return await self.log.append(self.partition, [encode(event, self.claim)])

    async def finish(
        self, job: JobScheduled, *, status: str = "completed", at: int | None = None, response: Response | None = None
    ) -> JobFinished:
        """Decide that *job* is at its end, after one attempt that is appended, too; *response* is what was kept of its answer."""
        await self.due(job)
        fact = events.finished(
            job.job_id,
            job.fire_at,
            at=job.fire_at + 5,
            ok=status == "completed",
            duration_ms=5,
            status_code=200 if status == "completed" else 500,
            error=None if status == "completed" else "HTTP 500",
            response=response,
        )
        await self.log.append(self.partition, [encode(fact)])
        event = JobFinished(
            job_id=job.job_id,
            account=job.account,
            at=job.fire_at + 6 if at is None else at,
            status=status,  # type: ignore[arg-type]
            attempt=1,
            status_code=fact.status_code,
            last_error=fact.error,
            has_webhook=job.spec.webhook_url is not None,
            spec_id=job.job_id,
        )
        await self.decide(event)
        return event

    async def cancel(self, job: JobScheduled) -> JobCancelled:
        event = JobCancelled(
            job_id=job.job_id,
            account=job.account,
            at=job.at + 1,
            has_webhook=job.spec.webhook_url is not None,
            spec_id=job.job_id,
        )
        await self.decide(event)
        return event


def due_of(job: JobScheduled, *, attempt: int = 1, not_before: int | None = None) -> AttemptDue:
    """Return the decision that *job* is due."""
    return events.due(
        job.job_id,
        job.fire_at,
        attempt,
        account=job.account,
        at=job.fire_at - 75,
        not_before=job.fire_at if not_before is None else not_before,
        timeout_ms=job.spec.timeout_ms,
    )


class FoldedTables:
    """The tables, the watch on their progress and the secrets, as one fold of the log that goes on when it is asked."""

    forgotten_count = 0  # they never go back

    def __init__(self, log: Log, *, partitions: int = 1) -> None:
        self.log = log
        self.secrets: dict[str, tuple[str, ...]] = {"default": (SECRET,), "other": (OTHER_SECRET,)}
        self.spec_queries: list[list[str]] = []
        self.fails: Exception | None = None
        self.forget_specs = False
        self._ledgers = {partition: Ledger(partition) for partition in range(partitions)}
        self._specs: dict[str, Spec] = {}
        self._going = asyncio.Event()
        self._going.set()

    def freeze(self) -> None:
        """Fold no further, as when the scheduler is away."""
        self._going.clear()

    def thaw(self) -> None:
        self._going.set()

    async def fold(self, partition: int) -> Ledger:
        """Fold up to the end of the log, unless frozen."""
        ledger = self._ledgers[partition]
        if self._going.is_set():
            while ledger.position + 1 < await self.log.end(partition):
                for position, _, envelope in await self.log.read(partition, ledger.position + 1):
                    if position <= ledger.position:
                        continue  # somebody else folded meanwhile
                    event = read(partition, envelope)
                    ledger.apply(position, event, envelope.claim)
                    if self.forget_specs:
                        continue
                    if isinstance(event, JobScheduled):
                        self._specs.setdefault(event.job_id, event.spec)
                    elif isinstance(event, ScheduleCreated | ScheduleDefined):
                        self._specs.setdefault(event.schedule_id, event.spec)
        return ledger

    async def wait(self, partition: int, position: int, timeout_s: float) -> bool:
        if self._ledgers[partition].position < position:
            await self._going.wait()
        return (await self.fold(partition)).position >= position

    async def running(self, partition: int) -> Snapshot:
        self._check()
        ledger = await self.fold(partition)
        attempts = [
            events.due(
                job.job_id,
                job.fire_at,
                job.attempt,
                account=job.account,
                scheduled_at=job.scheduled_at,
                timeout_ms=job.timeout_ms,
                spec_id=job.spec_id,
            )
            for job in ledger.states.of(JobState).values()
            if job.status is JobStatus.RUNNING
        ]
        return Snapshot(ledger.position, ledger.claim, attempts)

    async def pending(self, partition: int) -> PendingSnapshot:
        self._check()
        ledger = await self.fold(partition)
        return pending_of(ledger.position, ledger.claim, ledger.states.of(JobState).values())

    async def pending_page(self, partition: int, account: str, place: Place, limit: int) -> list[TerminalEvent]:
        self._check()
        jobs = (await self.fold(partition)).states.of(JobState).values()
        return pending_page_of(jobs, account, place, limit)

    async def due(self, partition: int, since: int, now: int) -> DueDeliveries:
        self._check()
        return due_deliveries_of((await self.fold(partition)).states.of(DeliveryState).values(), since, now)

    async def due_page(self, partition: int, account: str, place: Place, now: int, limit: int) -> list[DueDelivery]:
        self._check()
        states = (await self.fold(partition)).states
        return due_page_of(states.of(DeliveryState).values(), states.of(JobState), account, place, now, limit)

    async def webhook_specs(self, ids: Iterable[str], *, size_max: int | None) -> dict[str, StoredSpec]:
        wanted = list(ids)
        self.spec_queries.append(wanted)
        self._check()
        for partition in self._ledgers:
            await self.fold(partition)
        specs = {spec_id: self._specs[spec_id] for spec_id in wanted if spec_id in self._specs}
        return {known: stored_spec(msgspec.structs.replace(spec, body=None), size_max) for known, spec in specs.items()}

    async def stored_specs(self, ids: Iterable[str], *, size_max: int | None) -> dict[str, StoredSpec]:
        wanted = list(ids)
        self.spec_queries.append(wanted)
        self._check()
        for partition in self._ledgers:
            await self.fold(partition)
        return {spec_id: stored_spec(self._specs[spec_id], size_max) for spec_id in wanted if spec_id in self._specs}

    async def pending_about(self, endpoint_id: str, job_id: str) -> list[Pending]:
        self._check()
        for partition in self._ledgers:
            await self.fold(partition)
        jobs = [job for ledger in self._ledgers.values() for job in ledger.states.of(JobState).values()]
        return pending_about_of(jobs, endpoint_id, job_id)

    async def signing_secrets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        self._check()
        return {account: self.secrets[account] for account in accounts if account in self.secrets}

    def _check(self) -> None:
        if self.fails is not None:
            raise self.fails


class WebhookReads:
    """What the webhooks service reads of a database in memory."""

    jobs: dict[str, JobState]
    deliveries: dict[str, DeliveryState]
    partition_of: dict[str, int]

    @abstractmethod
    def progress(self, partition: int) -> tuple[int, Claim | None]:
        """Return the position of the tables, and the claim admitted there."""

    @abstractmethod
    def _jobs(self, partition: int) -> list[JobState]:
        """Return the jobs of *partition*."""

    def pending(self, partition: int) -> PendingSnapshot:
        return pending_of(*self.progress(partition), self._jobs(partition))

    def pending_page(self, partition: int, account: str, place: Place, limit: int) -> list[TerminalEvent]:
        return pending_page_of(self._jobs(partition), account, place, limit)

    def due(self, partition: int, since: int, now: int) -> DueDeliveries:
        return due_deliveries_of(self._deliveries(partition), since, now)

    def due_page(self, partition: int, account: str, place: Place, now: int, limit: int) -> list[DueDelivery]:
        return due_page_of(self._deliveries(partition), self.jobs, account, place, now, limit)

    def _deliveries(self, partition: int) -> list[DeliveryState]:
        return [each for known, each in self.deliveries.items() if self.partition_of[known] == partition]


def pending_of(position: int, claim: Claim | None, jobs: Iterable[JobState]) -> PendingSnapshot:
    """Return what is pending among *jobs*, as the tables give it out."""
    pending = [end for job in jobs if (end := _pending_end(job)) is not None]
    oldest: dict[str, Place] = {}
    for end in pending:
        oldest[end.account] = min(oldest.get(end.account, (end.at, end.job_id)), (end.at, end.job_id))
    return PendingSnapshot(position, claim, len(pending), dict(sorted(oldest.items())))


def pending_page_of(jobs: Iterable[JobState], account: str, place: Place, limit: int) -> list[TerminalEvent]:
    """Return a page of the pending webhooks among *jobs*, as the tables give it out."""
    pending = {(end.account, end.at, end.job_id): end for job in jobs if (end := _pending_end(job)) is not None}
    return [pending[key] for key in sorted(pending) if key >= (account, *place)][:limit]


def due_deliveries_of(deliveries: Iterable[DeliveryState], since: int, now: int) -> DueDeliveries:
    """Return which of *deliveries* have become due, as the tables give it out."""
    waiting = [(each.next_at, each) for each in deliveries if each.next_at is not None and not each.held]
    oldest: dict[str, Place] = {}
    for next_at, each in waiting:
        if since <= next_at <= now:
            oldest[each.account] = min(
                oldest.get(each.account, (next_at, each.delivery_id)), (next_at, each.delivery_id)
            )
    return DueDeliveries(oldest, min((at for at, _ in waiting if at > now), default=None), len(waiting))


def due_page_of(
    deliveries: Iterable[DeliveryState],
    jobs: Mapping[str, JobState],
    account: str,
    place: Place,
    now: int,
    limit: int,
) -> list[DueDelivery]:
    """Return a page of those of *deliveries* that are due, as the tables give it out."""
    due = {
        (each.next_at, each.delivery_id): each
        for each in deliveries
        if each.account == account and each.next_at is not None and not each.held and each.next_at <= now
    }
    found = [due[key] for key in sorted(due) if key >= place][:limit]
    return [DueDelivery(each, end_of(jobs[each.job_id])) for each in found]


def pending_about_of(jobs: Iterable[JobState], endpoint_id: str, job_id: str) -> list[Pending]:
    """Return those of *jobs* that tell *endpoint_id* of *job_id* and have not ended, as the tables give them out."""
    return [
        Pending(job.job_id, job.scheduled_at, job.fire_at)
        for job in jobs
        if (job.account, job.idempotency_key) == (endpoint_id, job_id) and not job.is_terminal and not job.held
    ]


def _pending_end(job: JobState) -> TerminalEvent | None:
    return end_of(job) if job.has_webhook and job.is_terminal and job.webhook_at is None else None


def stored_spec(spec: Spec, size_max: int | None) -> StoredSpec:
    """Return *spec* as the tables give it out."""
    data = msgspec.json.encode(spec)
    return StoredSpec(len(data), data if size_max is None or len(data) <= size_max else None)


async def events_of(log: Log, partition: int, kind: type[Event]) -> list[Event]:
    """Return the events of one class that stand in *partition*, in order."""
    found: list[Event] = []
    position = await log.begin(partition)
    while records := await log.read(partition, position):
        items = [read(partition, record.envelope) for record in records]
        found.extend(item for item in items if isinstance(item, kind))
        position = records[-1].position + 1
    return found
