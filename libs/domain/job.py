"""
Job: one HTTP call to be made at an instant, as a fold of its events, and what its partition's owner owes it.

`TRANSITIONS` (libs/domain/jobs/status.py) is the whole state machine; the lifecycle picture and the tests read it.

    scheduled --due--> running --finished--> finishing --terminal--> completed | failed
        |                 ^                      |
        |                 +---due--- retrying <--retry
        +--cancelled--> cancelled
    scheduled | retrying --too late for a try--> failed
    running | finishing | retrying --stopped--> failed

`evolve` is total: an event that does not apply leaves the state as it is, the same object, and the caller can count it.
What is owed, and from when: libs/domain/jobs/decisions.py.
Source: ARCHITECTURE.md, "Facts and decisions", "A job's life"; docs/job-lifecycle.md is drawn from the table below.
"""

from typing import Final

import msgspec

from libs.domain.jobs.decisions import decide, due, owed_at
from libs.domain.jobs.more import (
    JobMore,
    after_try,
    asked_for,
    at_the_end,
    change_asked,
    change_made,
    change_refused,
    inherited,
    stop_asked,
    without_changes,
)
from libs.domain.jobs.status import ENDED_BY, MEANINGS, TERMINAL, TRANSITIONS, UNDER_WAY, WAITING, JobStatus
from libs.domain.schedule import ScheduleState
from libs.domain.state_kind import StateKind
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Event,
    JobCancelled,
    JobCancelRequested,
    JobChanged,
    JobChangeRefused,
    JobChangeRequested,
    JobFinished,
    JobRetryScheduled,
    JobScheduled,
    JobStopRequested,
    ScheduleTicked,
    Unreadable,
    WebhookAttempted,
    WebhookFinished,
)
from libs.events.codec import kind_of
from libs.events.retry_policy import EndedBy, Outcome

__all__ = [
    "KIND",
    "MAX_OFFSETS",
    "MEANINGS",
    "TERMINAL",
    "TRANSITIONS",
    "UNDER_WAY",
    "WAITING",
    "JobState",
    "JobStatus",
    "create",
    "decide",
    "due",
    "evolve",
    "hold",
    "owed_at",
    "spawn",
]

# Positions kept for a job's timeline: 21 attempts of three events each, its request, a cancel that came too late, its ends.
MAX_OFFSETS: Final = 72


class JobState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What is known of a job.

    Args:
        job_id, account: the job's id and the account to which it belongs.
        schedule_id: the schedule that spawned the job; None if a caller created it.
        status: see `JobStatus`.
        attempt: how many tries are due or done so far; 0 before the first.
        max_retries: how many charged failures may be followed by another try.
        timeout_ms: the longest that one try may take.
        has_webhook: a webhook is to be sent at the end.
        cancel_requested: somebody asked to cancel, stop or change the job, and the owner has not answered yet.
        held: a record of this job could not be read; nothing is decided for it until it can.
        scheduled_at: the instant asked for.
        fire_at: the instant of the pending try while waiting, of the current try while running.
        created_at, started_at, completed_at: instants of the request, the first due and the end.
        last_ok, last_status_code, last_error, retry_after_ms: how the last finished try ended.
        idempotency_key, replay_of: as the caller gave them.
        shared_spec_id: the id under which the spec is kept, if another job or a schedule brought it.
        webhook_at: when the outcome of the webhook's first try was recorded.
        offsets: positions of this job's events, oldest first, at most `MAX_OFFSETS`.
        more: what a plain job does not have; see `JobMore`.
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
    more: JobMore | None = None

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

    @property
    def wants_cancel(self) -> bool:
        """Whether the job is to be cancelled if it has not fired."""
        more = self.more
        if more is None or not more.changes:
            return self.cancel_requested
        return more.is_cancelled_after_changes or more.stop is not None

    @property
    def version(self) -> int:
        """How often the job was changed."""
        return 0 if self.more is None else self.more.version

    @property
    def charged(self) -> int:
        """How many tries used up a retry, or the first try; the one under way is among them."""
        return self.attempt if self.more is None else self.attempt - self.more.uncharged_count

    @property
    def outcome(self) -> Outcome:
        """What the result of the last finished try means."""
        if self.more is not None and self.more.outcome is not None:
            return self.more.outcome
        return "success" if self.last_ok else "failure"

    @property
    def too_late_at(self) -> int | None:
        """The instant at or after which no try may start; None if there is none."""
        return None if self.more is None else self.more.too_late_at(self.started_at)

    @property
    def ended_by(self) -> EndedBy | None:
        """Why the job ended; None if it did not, or was cancelled."""
        if self.more is not None and self.more.ended_by is not None:
            return self.more.ended_by
        return ENDED_BY.get(self.status)


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
        more=asked_for(event.retry, event.success_on, event.expires_at),
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
        shared_spec_id=schedule.changed_spec_id,
        scheduled_at=event.tick_at,
        fire_at=event.tick_at if event.fire_at is None else event.fire_at,
        created_at=event.at,
        offsets=(position,),
        more=None if schedule.more is None else inherited(schedule.more.terms, event.tick_at),
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
                cancel_requested=state.more is not None and state.more.stop is not None,
                fire_at=event.not_before,
                started_at=max(event.at, event.not_before) if state.started_at is None else state.started_at,
                more=without_changes(state.more),
            )
        case AttemptFinished():
            if event.attempt != state.attempt:
                return state
            return _after_try(state, event, position)
        case JobRetryScheduled():
            if event.attempt != state.attempt + 1:
                return state
            return _with(state, position, status=JobStatus.RETRYING, fire_at=event.fire_at)
        case JobFinished():
            status = JobStatus.COMPLETED if event.status == "completed" else JobStatus.FAILED
            if status not in TRANSITIONS[state.status, "job.finished"]:
                return state
            return _with(
                state,
                position,
                status=status,
                cancel_requested=False,
                completed_at=event.at,
                last_status_code=event.status_code,
                last_error=event.last_error,
                more=at_the_end(state.more, event.ended_by),
            )
        case JobCancelRequested():
            return _cancel_asked(state, position)
        case JobChangeRequested() | JobChanged() | JobChangeRefused():
            return _change(state, event, position)
        case JobStopRequested():
            more = stop_asked(state.more, event.reason)
            return state if more is state.more else _with(state, position, cancel_requested=True, more=more)
        case JobCancelled():
            return _with(
                state,
                position,
                status=JobStatus.CANCELLED,
                cancel_requested=False,
                completed_at=event.at,
                more=at_the_end(state.more, None),
            )
        case WebhookFinished():
            return state if state.webhook_at is not None else _with(state, position, webhook_at=event.at)
        case WebhookAttempted():
            return _with(state, position, webhook_at=state.webhook_at or event.at)
        case _:  # pragma: no cover - TRANSITIONS names no other event
            return state


def _cancel_asked(state: JobState, position: int) -> JobState:
    if state.wants_cancel:
        return state
    more = state.more
    if more is not None and more.changes:
        more = msgspec.structs.replace(more, is_cancelled_after_changes=True)
    return _with(state, position, cancel_requested=True, more=more)


def _change(state: JobState, event: JobChangeRequested | JobChanged | JobChangeRefused, position: int) -> JobState:
    more = state.more
    if isinstance(event, JobChangeRequested):
        if state.wants_cancel:
            return state
        asked = change_asked(more, event)
        return state if asked is None else _with(state, position, cancel_requested=True, more=asked)
    if more is None or not more.changes or more.changes[0].request_id != event.request_id:
        return state
    change = more.changes[0]
    is_left = len(more.changes) > 1 or state.wants_cancel
    if isinstance(event, JobChangeRefused):
        refused = change_refused(more, change.request_id)
        return _with(state, position, cancel_requested=is_left, more=refused)
    changes: dict[str, object] = {}
    if change.spec_id is not None:
        changes = {
            "shared_spec_id": change.spec_id,
            "timeout_ms": change.timeout_ms,
            "has_webhook": change.has_webhook,
        }
    return _with(
        state,
        position,
        cancel_requested=is_left,
        scheduled_at=event.fire_at,
        fire_at=event.fire_at,
        max_retries=change.max_retries,
        more=change_made(more, change),
        **changes,
    )


def _after_try(state: JobState, event: AttemptFinished, position: int) -> JobState:
    more, error = after_try(state.more, event.outcome, event.error)
    return _with(
        state,
        position,
        status=JobStatus.FINISHING,
        last_ok=event.ok,
        last_status_code=event.status_code,
        last_error=error,
        retry_after_ms=event.retry_after_ms,
        more=more,
    )


def hold(state: JobState, _: Unreadable) -> JobState:
    """Return the state after a record of this job that could not be read: the job stops, unless it is at its end."""
    return state if state.held or state.is_terminal else msgspec.structs.replace(state, held=True)


def _first_state(event: Event, position: int, cause: ScheduleState | None) -> JobState | None:
    if isinstance(event, JobScheduled):
        return create(event, position)
    if not isinstance(event, ScheduleTicked) or event.action == "skipped" or cause is None:
        return None
    return spawn(event, position, cause)


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
        JobStopRequested,
        JobChangeRequested,
        JobChanged,
        JobChangeRefused,
        AttemptDue,
        AttemptFinished,
        JobRetryScheduled,
        JobCancelled,
        JobFinished,
        WebhookFinished,
        WebhookAttempted,
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
