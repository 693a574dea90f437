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

from libs.domain.jobs.changing import advanced, cancel_asked, changed
from libs.domain.jobs.decisions import decide, due, owed_at
from libs.domain.jobs.optional_state import (
    after_try,
    asked_for,
    at_the_end,
    inherited,
    stop_asked,
    tracked,
    without_changes,
)
from libs.domain.jobs.state import MAX_OFFSETS, JobState
from libs.domain.jobs.status import MEANINGS, TERMINAL, TRANSITIONS, UNDER_WAY, WAITING, JobStatus
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
    JobMerged,
    JobMergeRequested,
    JobRetryScheduled,
    JobScheduled,
    JobStopRequested,
    ScheduleRunStopped,
    ScheduleSpawned,
    ScheduleTicked,
    Unreadable,
    WebhookAttempted,
    WebhookFinished,
)
from libs.events.codec import kind_of
from libs.events.fields import Trigger
from libs.events.ids import to_int

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


def create(event: JobScheduled, position: int) -> JobState:
    """Return the first state of a job that a caller created."""
    return JobState(
        job_id=event.job_id,
        account=event.account,
        schedule_id=event.schedule_id,
        max_retries=event.max_retries,
        timeout_ms=event.spec.timeout_ms,
        has_webhook=event.spec.webhook_url is not None,
        scheduled_at=event.fire_at if event.tick_at is None else event.tick_at,
        fire_at=event.fire_at,
        created_at=event.at,
        idempotency_key=event.idempotency_key,
        replay_of=event.replay_of,
        shared_spec_id=event.spec_id if event.schedule_id is None else _shared_spec_id(event),
        offsets=(position,),
        more=asked_for(event),
    )


def _shared_spec_id(event: JobScheduled) -> str | None:
    """Return the id of the spec, if it is not the one that `JobState.spec_id` finds without."""
    if event.spec_id is None or event.schedule_id is None:
        return event.job_id  # a run of a schedule that brings its own
    return None if to_int(event.spec_id) == to_int(event.schedule_id) else event.spec_id


def spawn(event: ScheduleTicked | ScheduleSpawned, position: int, schedule: ScheduleState) -> JobState:
    """Return the first state of the job that a tick of *schedule* created."""
    more = None
    if schedule.more is not None:
        trigger: Trigger = "buffered" if isinstance(event, ScheduleSpawned) else event.trigger
        more = inherited(
            schedule.more.terms,
            event.tick_at,
            trigger=trigger,
            local_time=event.local_time,
            labels=schedule.more.labels,
        )
    if schedule.more is not None and schedule.more.runs is not None:
        more = tracked(more)
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
        more=more,
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
            return advanced(
                state,
                position,
                status=JobStatus.RUNNING,
                attempt=event.attempt,
                cancel_requested=state.more is not None and state.more.stop is not None,
                fire_at=event.not_before,
                started_at=max(event.at, event.not_before) if state.started_at is None else state.started_at,
                more=None if state.more is None else without_changes(state.more),
            )
        case AttemptFinished():
            if event.attempt != state.attempt:
                return state
            return _after_try(state, event, position)
        case JobRetryScheduled():
            if event.attempt != state.attempt + 1:
                return state
            return advanced(state, position, status=JobStatus.RETRYING, fire_at=event.fire_at)
        case JobFinished():
            status = JobStatus.COMPLETED if event.status == "completed" else JobStatus.FAILED
            if status not in TRANSITIONS[state.status, "job.finished"]:
                return state
            return advanced(
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
            return cancel_asked(state, position)
        case JobChangeRequested() | JobChanged() | JobChangeRefused() | JobMergeRequested() | JobMerged():
            return changed(state, event, position)
        case JobStopRequested() | ScheduleRunStopped():
            more = stop_asked(state.more, "replaced" if isinstance(event, ScheduleRunStopped) else event.reason)
            return state if more is state.more else advanced(state, position, cancel_requested=True, more=more)
        case JobCancelled():
            return advanced(
                state,
                position,
                status=JobStatus.CANCELLED,
                cancel_requested=False,
                completed_at=event.at,
                more=at_the_end(state.more, None),
            )
        case WebhookFinished():
            return state if state.webhook_at is not None else advanced(state, position, webhook_at=event.at)
        case WebhookAttempted():
            return advanced(state, position, webhook_at=state.webhook_at or event.at)
        case _:  # pragma: no cover - TRANSITIONS names no other event
            return state


def _after_try(state: JobState, event: AttemptFinished, position: int) -> JobState:
    more, error = state.more, event.error
    if more is not None or event.outcome is not None:
        more, error = after_try(more, event.outcome, error)
    return advanced(
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
    if cause is None or not isinstance(event, ScheduleTicked | ScheduleSpawned):
        return None
    is_spawned = isinstance(event, ScheduleSpawned) or event.action == "spawned"
    return spawn(event, position, cause) if is_spawned else None


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
        ScheduleSpawned,
        ScheduleRunStopped,
        JobCancelRequested,
        JobStopRequested,
        JobChangeRequested,
        JobChanged,
        JobChangeRefused,
        JobMergeRequested,
        JobMerged,
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
