"""
Job: one HTTP call to be made at an instant, as a fold of its events, and what its partition's owner owes it.

Everything that decides a job's status stands in this file. `TRANSITIONS` is the whole state machine; the lifecycle picture, the
property tests and the documentation read it.

    scheduled --due--> running --finished--> finishing --terminal--> completed | failed
        |                 ^                      |
        |                 +---due--- retrying <--retry
        +--cancelled--> cancelled

`evolve` is total: an event that does not apply leaves the state as it is, the same object, and the caller can count it.

What is owed, and from when (`owed_at`, `decide`):

    scheduled and asked to cancel      -> job.cancelled        at once
    scheduled | retrying               -> attempt.due          at fire_at - lead
    finishing, succeeded or used up    -> job.finished         at once
    finishing, tries left              -> job.retry_scheduled  at once
    running, terminal                  -> nothing
    held                               -> nothing; but a held job that is scheduled can be cancelled

Source: ARCHITECTURE.md, "Facts and decisions", "A job's life"; docs/job-lifecycle.md is drawn from the table below.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

import msgspec

from libs.domain.retry_policy import delay_ms
from libs.domain.schedule import ScheduleState
from libs.domain.state_kind import AT_ONCE, StateKind
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Event,
    JobCancelled,
    JobCancelRequested,
    JobFinished,
    JobRetryScheduled,
    JobScheduled,
    ScheduleTicked,
    Unreadable,
    WebhookFinished,
)
from libs.events.codec import kind_of
from libs.events.ids import execution_id

# Positions kept for a job's timeline: 21 attempts of three events each, its request, a cancel that came too late, its ends.
MAX_OFFSETS: Final = 72


class JobStatus(IntEnum):
    """The one internal status; the numbers are stored in the tables and never change."""

    SCHEDULED = 0
    RUNNING = 1
    FINISHING = 2
    RETRYING = 3
    COMPLETED = 4
    FAILED = 5
    CANCELLED = 6


MEANINGS: Final[Mapping[JobStatus, str]] = {
    JobStatus.SCHEDULED: "accepted, waits for its instant; may still be cancelled",
    JobStatus.RUNNING: "an attempt is due: the call is under way, or about to leave",
    JobStatus.FINISHING: "the attempt's outcome is known, what follows is not decided yet (milliseconds)",
    JobStatus.RETRYING: "waits for its next attempt",
    JobStatus.COMPLETED: "an attempt was answered with 200-299",
    JobStatus.FAILED: "the last attempt failed",
    JobStatus.CANCELLED: "cancelled before its first attempt; it never fires",
}
WAITING: Final = frozenset({JobStatus.SCHEDULED, JobStatus.RETRYING})
UNDER_WAY: Final = frozenset({JobStatus.RUNNING, JobStatus.FINISHING})
TERMINAL: Final = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})

# (status, stored name of the event) -> statuses it may lead to. What is not here does not apply.
TRANSITIONS: Final[Mapping[tuple[JobStatus, str], tuple[JobStatus, ...]]] = {
    (JobStatus.SCHEDULED, "job.cancel_requested"): (JobStatus.SCHEDULED,),
    (JobStatus.SCHEDULED, "job.cancelled"): (JobStatus.CANCELLED,),
    (JobStatus.SCHEDULED, "attempt.due"): (JobStatus.RUNNING,),
    (JobStatus.RUNNING, "attempt.finished"): (JobStatus.FINISHING,),
    (JobStatus.FINISHING, "job.retry_scheduled"): (JobStatus.RETRYING,),
    (JobStatus.FINISHING, "job.finished"): (JobStatus.COMPLETED, JobStatus.FAILED),
    (JobStatus.RETRYING, "attempt.due"): (JobStatus.RUNNING,),
    (JobStatus.COMPLETED, "webhook.finished"): (JobStatus.COMPLETED,),
    (JobStatus.FAILED, "webhook.finished"): (JobStatus.FAILED,),
    (JobStatus.CANCELLED, "webhook.finished"): (JobStatus.CANCELLED,),
}


class JobState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What is known of a job.

    Args:
        job_id, account: the job's id and the account to which it belongs.
        schedule_id: the schedule that spawned the job; None if a caller created it.
        status: see `JobStatus`.
        attempt: how many tries are due or done so far; 0 before the first.
        max_retries: how many tries may follow the first.
        timeout_ms: the longest that one try may take.
        has_webhook: a webhook is to be sent at the end.
        cancel_requested: a caller asked to cancel the job, and the owner has not answered yet.
        held: a record of this job could not be read; nothing is decided for it until it can.
        scheduled_at: the instant asked for.
        fire_at: the instant of the pending try while waiting, of the current try while running.
        created_at, started_at, completed_at: instants of the request, the first due and the end.
        last_ok, last_status_code, last_error, retry_after_ms: how the last finished try ended.
        idempotency_key, replay_of: as the caller gave them.
        shared_spec_id: the id under which the spec is kept, if another job or a schedule brought it.
        webhook_at: when the webhook's outcome was recorded.
        offsets: positions of this job's events, oldest first, at most `MAX_OFFSETS`.
    """

    job_id: str
    account: str
    schedule_id: str | None = None
    status: JobStatus = JobStatus.SCHEDULED
    attempt: int = 0
    max_retries: int = 0
    timeout_ms: int = 30_000
    has_webhook: bool = False
    cancel_requested: bool = False
    held: bool = False
    scheduled_at: int
    fire_at: int
    created_at: int
    started_at: int | None = None
    completed_at: int | None = None
    last_ok: bool | None = None
    last_status_code: int | None = None
    last_error: str | None = None
    retry_after_ms: int | None = None
    idempotency_key: str | None = None
    replay_of: str | None = None
    shared_spec_id: str | None = None
    webhook_at: int | None = None
    offsets: tuple[int, ...] = ()

    @property
    def spec_id(self) -> str:
        """The id under which the spec is kept: the jobs of a schedule share its spec, and the copies of a job that job's."""
        return self.shared_spec_id or self.schedule_id or self.job_id

    @property
    def is_terminal(self) -> bool:
        """Whether the job reached an end that it never leaves."""
        return self.status >= JobStatus.COMPLETED

    @property
    def is_waiting(self) -> bool:
        """Whether the job waits for the instant `fire_at`."""
        return self.status in WAITING


def create(event: JobScheduled, position: int) -> JobState:
    """Return the first state of a job that a caller created."""
    return JobState(
        job_id=event.job_id,
        account=event.account,
        max_retries=event.max_retries,
        timeout_ms=event.spec.timeout_ms,
        has_webhook=event.spec.webhook_url is not None,
        scheduled_at=event.fire_at,
        fire_at=event.fire_at,
        created_at=event.at,
        idempotency_key=event.idempotency_key,
        replay_of=event.replay_of,
        shared_spec_id=event.spec_id,
        offsets=(position,),
    )


def spawn(event: ScheduleTicked, position: int, schedule: ScheduleState) -> JobState:
    """Return the first state of the job that a tick of *schedule* created."""
    return JobState(
        job_id=event.job_id,
        account=schedule.account,
        schedule_id=event.schedule_id,
        max_retries=schedule.max_retries,
        timeout_ms=schedule.timeout_ms,
        has_webhook=schedule.has_webhook,
        scheduled_at=event.tick_at,
        fire_at=event.tick_at if event.fire_at is None else event.fire_at,
        created_at=event.at,
        offsets=(position,),
    )


def evolve(state: JobState, event: Event, position: int) -> JobState:
    """
    Return the state after *event*, which stands at *position*; the same object when it does not apply.

    Admission is not checked here: only admitted decisions may be passed in.
    """
    if (state.status, kind_of(event).name) not in TRANSITIONS:
        return state
    match event:
        case AttemptDue():
            if event.attempt != state.attempt + 1:
                return state
            return _with(
                state,
                position,
                status=JobStatus.RUNNING,
                attempt=event.attempt,
                cancel_requested=False,
                fire_at=event.not_before,
                started_at=max(event.at, event.not_before) if state.started_at is None else state.started_at,
            )
        case AttemptFinished():
            if event.attempt != state.attempt:
                return state
            return _with(
                state,
                position,
                status=JobStatus.FINISHING,
                last_ok=event.ok,
                last_status_code=event.status_code,
                last_error=event.error,
                retry_after_ms=event.retry_after_ms,
            )
        case JobRetryScheduled():
            if event.attempt != state.attempt + 1:
                return state
            return _with(state, position, status=JobStatus.RETRYING, fire_at=event.fire_at)
        case JobFinished():
            status = JobStatus.COMPLETED if event.status == "completed" else JobStatus.FAILED
            return _with(state, position, status=status, completed_at=event.at)
        case JobCancelRequested():
            return state if state.cancel_requested else _with(state, position, cancel_requested=True)
        case JobCancelled():
            return _with(state, position, status=JobStatus.CANCELLED, cancel_requested=False, completed_at=event.at)
        case WebhookFinished():
            return state if state.webhook_at is not None else _with(state, position, webhook_at=event.at)
        case _:  # pragma: no cover - TRANSITIONS names no other event
            return state


def hold(state: JobState, _: Unreadable) -> JobState:
    """Return the state after a record of this job that could not be read: the job stops, unless it is at its end."""
    return state if state.held or state.is_terminal else msgspec.structs.replace(state, held=True)


def owed_at(state: JobState, lead_ms: int) -> int | None:
    """Return the instant from which a decision is owed for *state*, due events *lead_ms* early; None when nothing is."""
    status = state.status
    if status == JobStatus.SCHEDULED and state.cancel_requested:
        return AT_ONCE
    if state.held:
        return None
    if status == JobStatus.FINISHING:
        return AT_ONCE
    if status == JobStatus.SCHEDULED or status == JobStatus.RETRYING:
        return max(state.fire_at - lead_ms, AT_ONCE)
    return None


def decide(state: JobState, now: int, jitter: float, retry_base_s: float, _: object = None) -> Event:
    """
    Return the decision that is owed for *state*; see `libs.domain.state_registry.decide`.

    Raises:
        ValueError: nothing is owed.
    """
    match state.status:
        case JobStatus.SCHEDULED if state.cancel_requested:
            return JobCancelled(
                job_id=state.job_id,
                account=state.account,
                at=now,
                has_webhook=state.has_webhook,
                spec_id=state.spec_id,
            )
        case JobStatus.SCHEDULED | JobStatus.RETRYING:
            return _due(state, now)
        case JobStatus.FINISHING:
            return _after_attempt(state, now, jitter, retry_base_s)
        case _:
            raise ValueError(f"nothing is owed for {state.job_id} in {state.status.name}")


def _due(job: JobState, now: int) -> AttemptDue:
    attempt = job.attempt + 1
    return AttemptDue(
        job_id=job.job_id,
        account=job.account,
        at=now,
        attempt=attempt,
        execution_id=execution_id(job.job_id, attempt),
        not_before=job.fire_at,
        scheduled_at=job.scheduled_at,
        timeout_ms=job.timeout_ms,
        spec_id=job.spec_id,
        schedule_id=job.schedule_id,
    )


def _after_attempt(job: JobState, now: int, jitter: float, retry_base_s: float) -> Event:
    if not job.last_ok and job.attempt <= job.max_retries:
        wait_ms = delay_ms(None, charged=job.attempt, base_s=retry_base_s, jitter=jitter, asked_ms=job.retry_after_ms)
        return JobRetryScheduled(job_id=job.job_id, at=now, attempt=job.attempt + 1, fire_at=now + wait_ms)
    return JobFinished(
        job_id=job.job_id,
        account=job.account,
        at=now,
        status="completed" if job.last_ok else "failed",
        attempt=job.attempt,
        status_code=job.last_status_code,
        last_error=job.last_error,
        has_webhook=job.has_webhook,
        spec_id=job.spec_id,
    )


def _first_state(event: Event, position: int, cause: ScheduleState | None) -> JobState | None:
    if isinstance(event, JobScheduled):
        return create(event, position)
    return spawn(event, position, cause) if isinstance(event, ScheduleTicked) and cause is not None else None


def _with(state: JobState, position: int, **changes: object) -> JobState:
    offsets = state.offsets
    if len(offsets) < MAX_OFFSETS:
        offsets = (*offsets, position)
    return msgspec.structs.replace(state, offsets=offsets, **changes)


KIND: Final = StateKind(
    name="job",
    state=JobState,
    statuses=MEANINGS,
    transitions=TRANSITIONS,
    key="job_id",
    id_kind="job",
    events=(
        JobScheduled,
        ScheduleTicked,
        JobCancelRequested,
        AttemptDue,
        AttemptFinished,
        JobRetryScheduled,
        JobCancelled,
        JobFinished,
        WebhookFinished,
    ),
    create=_first_state,
    evolve=evolve,
    hold=hold,
    owed_at=owed_at,
    decide=decide,
    timer="fire_at",
    notes=(
        "Waiting are scheduled, retrying; terminal, never left again, are completed, failed, cancelled.",
        "An execution is `success` or `failed`, and `null` until its outcome is known.",
    ),
)
