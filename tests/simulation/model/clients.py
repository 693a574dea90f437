"""
Callers and the API replicas that serve them, and the writer of records that no process of Fliq would write.

Every method of `Api` is one request; what is awaited is a callback or is looked at again by `poll`. A replica may die anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from libs.domain.job import JobState, JobStatus
from libs.events import (
    AttemptFinished,
    Envelope,
    Event,
    JobCancelRequested,
    JobChangeRequested,
    JobMergeRequested,
    JobScheduled,
    JobStopRequested,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    Spec,
    WebhookAttempted,
    WebhookFinished,
    encode,
)
from libs.events.ids import instant_of, new_job_id, partition_of
from libs.events.retry_policy import RetryPolicy
from tests.fakes import events
from tests.simulation.model.harness import Harness, Partition
from tests.simulation.model.history import LATE_SHARE
from tests.simulation.model.rules import ModelRule
from tests.simulation.model.schedule_clients import Change, ScheduleApi, Stop


@dataclass(slots=True)
class Cancel:
    """A DELETE that waits for its answer."""

    job_id: str
    logged_at: int | None = None  # position of the request, once it is durable


@dataclass(slots=True)
class Known:
    """What callers were told; all of it must stay true."""

    jobs: dict[str, str] = field(default_factory=dict)  # id -> url of every job answered with 201
    keys: dict[str, set[str]] = field(default_factory=dict)  # idempotency key -> ids answered with 201
    schedules: dict[str, ModelRule] = field(default_factory=dict)  # id -> rule of every schedule answered with 201
    stops: list[Stop] = field(default_factory=list)  # pauses and deletions of schedules
    changes: list[Change] = field(default_factory=list)  # changes of schedules answered with 200
    cancelled: set[str] = field(default_factory=set)  # DELETE answered with 204
    fired: set[str] = field(default_factory=set)  # DELETE answered with 409 `job_already_fired`
    expired: set[str] = field(default_factory=set)  # DELETE answered with 409 `job_expired`
    changes_of_jobs: list[JobChangeRequested] = field(default_factory=list)  # changes that were sent
    poisoned: set[str] = field(default_factory=set)  # ids under which an unreadable record stands


class Api(ScheduleApi):
    """All replicas of the API, and their callers."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.known = Known()
        self.posted_count = 0
        self.schedule_count = 0
        self.requests: dict[str, tuple[str, int, int]] = {}  # idempotency key -> url, fire_at, retries
        self.cancels: list[Cancel] = []
        self.gets: list[tuple[str, int]] = []
        self.unsure: list[tuple[str, str | None, str, int]] = []  # late creates: id, key, url, position
        self.changes: list[Change] = []  # that wait for their answer

    def partition(self, any_id: str) -> Partition:
        """Return where an id lives."""
        return self.harness.partitions[partition_of(any_id)]

    def row(self, job_id: str) -> JobState | None:
        """Return a job's row."""
        return self.partition(job_id).tables.jobs.get(job_id)

    def append(self, envelope: Envelope, landed: object = None) -> None:
        """Append on behalf of a request; each request is a source of its own."""
        self.partition(envelope.key).send(object(), [envelope], landed)  # type: ignore[arg-type]

    def post(self) -> None:
        """POST a job: a new one, or one with a key that may have been used before."""
        rng, harness = self.harness.rng, self.harness
        if self.requests and rng.random() < 0.4:
            key = rng.choice(list(self.requests))
        elif self.posted_count >= harness.settings.jobs:
            return
        else:
            self.posted_count += 1
            key = f"key-{self.posted_count}" if rng.random() < 0.6 else None
        request = (f"https://example.com/{self.posted_count}", harness.now + rng.randint(0, 30_000), rng.randint(0, 2))
        if key is not None:
            request = self.requests.setdefault(key, request)
        url, fire_at, retries = request
        job_id = self.reserve(key, new_job_id(harness.now, rng.randrange(len(harness.partitions)), harness.entropy()))
        if key is not None and self.row(job_id) is not None:
            self.accept(job_id, key, url)
            return
        if rng.random() < 0.05:
            return  # the replica died behind its reservation
        event = JobScheduled(
            job_id=job_id,
            account="acme" if rng.random() < 0.7 else "umbrella",
            at=harness.now,
            spec=Spec(url=url, webhook_url="https://example.com/hook" if rng.random() < 0.3 else None),
            fire_at=fire_at,
            max_retries=retries,
            idempotency_key=key,
            **self.policy(fire_at, retries),
        )
        self.append(encode(event), lambda position: self.landed(job_id, key, url, position))

    def policy(self, fire_at: int, retries: int) -> dict[str, Any]:
        """Return what a third of all jobs ask for besides: a retry policy, another success, an end."""
        rng = self.harness.rng
        if rng.random() < 0.65:
            return {}
        retry = RetryPolicy(
            max_retries=retries,
            delay_ms=rng.choice((500, 3_000)),
            max_elapsed_ms=rng.choice((None, 1_000, 10_000)),
            retry_on=rng.choice((None, None, ("5xx", "network"))),
        )
        return {
            "retry": rng.choice((None, retry, retry)),
            "success_on": rng.choice((None, None, ("404",))),
            "expires_at": rng.choice((None, fire_at + 1, fire_at + 5_000)),
        }

    def reserve(self, key: str | None, job_id: str) -> str:
        """Return the job id that *key* stands for."""
        return job_id if key is None else self.harness.reservations.setdefault(key, job_id)

    def landed(self, job_id: str, key: str | None, url: str, position: int) -> None:
        """Answer a POST whose record is durable. An old id may be void: then the tables are asked."""
        history_ms = self.harness.settings.history_ms
        if history_ms is None or self.harness.now - instant_of(job_id) < history_ms // LATE_SHARE:
            self.accept(job_id, key, url)
        else:
            self.unsure.append((job_id, key, url, position))

    def look(self, job_id: str, key: str | None, url: str, position: int) -> bool:
        """Answer a POST of an old id, if the tables are that far; if the id is void, its key is given to the next one."""
        if self.partition(job_id).tables.position < position:
            return False
        if self.row(job_id) is not None:
            self.accept(job_id, key, url)
        elif key is not None and self.harness.reservations.get(key) == job_id:
            del self.harness.reservations[key]
        return True

    def accept(self, job_id: str, key: str | None, url: str) -> None:
        """Answer 201."""
        self.known.jobs.setdefault(job_id, url)
        if key is not None:
            self.known.keys.setdefault(key, set()).add(job_id)
        self.gets.append((job_id, self.partition(job_id).end))  # the caller GETs at once: it must see the job

    def cancel(self) -> None:
        """DELETE a job that somebody knows of."""
        ids = list(self.known.jobs)
        for part in self.harness.partitions:
            ids += part.tables.jobs
        if not ids:
            return
        job_id = self.harness.rng.choice(ids)
        row = self.row(job_id)
        if row is not None and row.status != JobStatus.SCHEDULED:
            self.answer(row)
            return
        cancel = Cancel(job_id)
        self.cancels.append(cancel)
        request = encode(JobCancelRequested(job_id=job_id, at=self.harness.now))
        self.append(request, lambda position: setattr(cancel, "logged_at", position))

    def change_job(self) -> None:
        """PATCH a job that a row shows as waiting: another instant, maybe another target. Answered when its decision is read."""
        harness, rng = self.harness, self.harness.rng
        rows = [
            row
            for part in harness.partitions
            for row in part.tables.jobs.values()
            if row.status == JobStatus.SCHEDULED
            and row.schedule_id is None  # I18 says what the jobs of schedules call
            and (row.more is None or row.more.expires_at is None)
        ]
        if not rows:
            return
        row = rng.choice(rows)
        spec = Spec(url=f"https://example.com/changed/{rng.randrange(10**6)}") if rng.random() < 0.6 else None
        event = JobChangeRequested(
            job_id=row.job_id,
            at=harness.now,
            request_id=harness.nonce(),
            version=row.version,
            fire_at=harness.now + rng.randint(0, 20_000),
            max_retries=row.max_retries,
            retry=None if row.more is None else row.more.retry,
            success_on=None if row.more is None else row.more.success_on,
            spec=spec,
            new_spec_id=None if spec is None else new_job_id(harness.now, partition_of(row.job_id), harness.entropy()),
        )
        self.append(encode(event))
        self.known.changes_of_jobs.append(event)

    def stop_job(self) -> None:
        """POST .../stop of a job that somebody knows of."""
        ids = list(self.known.jobs)
        if not ids:
            return
        job_id = self.harness.rng.choice(ids)
        request = JobStopRequested(job_id=job_id, at=self.harness.now)
        self.append(encode(request))

    def answer(self, row: JobState) -> None:
        """Answer a DELETE as the row says."""
        if row.status == JobStatus.CANCELLED:
            self.known.cancelled.add(row.job_id)
        elif row.attempt:
            self.known.fired.add(row.job_id)
        else:
            self.known.expired.add(row.job_id)

    def poll(self) -> None:
        """Look at the tables on behalf of all who wait."""
        waiting: list[Cancel] = []
        for cancel in self.cancels:
            row = self.row(cancel.job_id) if cancel.logged_at is not None else None
            if row is not None and row.status != JobStatus.SCHEDULED:
                self.answer(row)
            else:
                waiting.append(cancel)
        self.cancels = waiting
        self.changes = [change for change in self.changes if not self.answer_change(change)]
        self.unsure = [late for late in self.unsure if not self.look(*late)]
        unseen: list[tuple[str, int]] = []
        for job_id, end in self.gets:
            if self.partition(job_id).tables.position < end - 1:
                unseen.append((job_id, end))
            elif self.row(job_id) is None and job_id not in self.partition(job_id).forgotten:
                self.harness.violate(f"I10 {job_id} was answered with 201, and GET does not find it")
        self.gets = unseen


class Gremlin:
    """Writes what may be repeated once more, and what cannot be read at all."""

    def __init__(self, harness: Harness, known: Known) -> None:
        self.harness = harness
        self.known = known

    def repeat(self) -> None:
        """Repeat a fact of the log: the same bytes, or another process's record of it, written later with other values."""
        harness, rng = self.harness, self.harness.rng
        part = rng.choice(harness.partitions)
        if not part.records:
            return
        stored = rng.choice(part.records)
        item, envelope = stored.item, stored.envelope
        match item:
            case JobScheduled():
                envelope = encode(JobScheduled(**{**_fields(item), "at": harness.now}))
            case AttemptFinished():
                envelope = encode(AttemptFinished(**{**_fields(item), "ok": not item.ok, "status_code": None}))
            case WebhookAttempted():
                envelope = encode(WebhookAttempted(**{**_fields(item), "outcome": "failure", "at": harness.now}))
            case (
                JobCancelRequested()
                | JobChangeRequested()
                | JobMergeRequested()
                | JobStopRequested()
                | WebhookFinished()
            ):
                pass
            case ScheduleCreated() | ScheduleDefined() | ScheduleChanged():
                pass
            case _:
                return
        part.send(object(), [envelope])

    def poison(self) -> None:
        """Write a record that cannot be read, or that nobody knows, or that is not at home."""
        harness, rng = self.harness, self.harness.rng
        part = rng.choice(harness.partitions)
        facts = [stored.envelope for stored in part.records if stored.envelope.type.startswith(("job.", "schedule."))]
        if not facts:
            return
        envelope = rng.choice(facts)
        stranger = new_job_id(harness.now, part.number, harness.entropy())
        far = new_job_id(harness.now, part.number + 7, harness.entropy())
        match rng.randrange(6):
            case 0:
                self.known.poisoned.add(envelope.key)
                envelope = envelope._replace(value=envelope.value[: rng.randrange(max(1, len(envelope.value)))])
            case 1:
                envelope = Envelope("quota.granted", 3, False, None, envelope.key, b"\x00\xff")
            case 2:
                envelope = envelope._replace(version=9, must_understand=False)
            case 3:
                envelope = envelope._replace(key=rng.choice((far, "", "owner", "job_what")), value=b"{}")
            case 4:
                envelope = envelope._replace(key=stranger)
            case _:
                finished = events.finished(stranger, harness.now)
                envelope = encode(finished)
        part.send(object(), [envelope])


def _fields(event: Event) -> dict[str, object]:
    return {name: getattr(event, name) for name in event.__struct_fields__}
