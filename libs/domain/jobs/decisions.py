"""
Job decisions: what its partition's owner owes a job, from when, and which decision it is. Pure.

What is owed, and from when (`owed_at`, `decide`):

    scheduled and asked to cancel      -> job.cancelled        at once
    scheduled and asked to change      -> job.changed          at once; job.change_refused, if it is at another version
    scheduled and asked to merge       -> job.merged           at once
    under way or retrying, asked to stop -> job.finished       at once, unless the last try succeeded
    scheduled | retrying               -> attempt.due          at fire_at - lead; job.finished, if no try may start any more
    finishing, nothing may follow      -> job.finished         at once
    finishing, another try may follow  -> job.retry_scheduled  at once
    running, terminal                  -> nothing
    held                               -> nothing; but a held job can be cancelled and stopped
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from libs.domain.jobs.optional_state import JobChange
from libs.domain.jobs.status import ENDED_BY, JobStatus
from libs.domain.retry_policy import delay_ms, ended_by
from libs.domain.state_kind import AT_ONCE
from libs.events import (
    AttemptDue,
    Event,
    JobCancelled,
    JobChanged,
    JobChangeRefused,
    JobFinished,
    JobMerged,
    JobRetryScheduled,
)
from libs.events.fields import MAX_INSTANT
from libs.events.ids import execution_id
from libs.events.retry_policy import EndedBy

if TYPE_CHECKING:
    from libs.domain.jobs.state import JobState


def owed_at(state: JobState, lead_ms: int) -> int | None:
    """Return the instant from which a decision is owed for *state*, due events *lead_ms* early; None when nothing is."""
    status = state.status
    if state.cancel_requested and not state.is_terminal:
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
        case JobStatus.SCHEDULED if state.wants_cancel:
            return JobCancelled(
                job_id=state.job_id,
                account=state.account,
                at=now,
                has_webhook=state.has_webhook,
                spec_id=state.spec_id,
                schedule_id=state.told_schedule_id,
            )
        case JobStatus.SCHEDULED if state.more is not None and state.more.changes:
            return _change(state, state.more.changes[0], now)
        case JobStatus.SCHEDULED if state.more is not None and state.more.merge is not None:
            return JobMerged(job_id=state.job_id, at=now)
        case JobStatus.RUNNING | JobStatus.RETRYING if state.cancel_requested:
            return _stopped(state, now)
        case JobStatus.SCHEDULED | JobStatus.RETRYING:
            if state.more is not None and _is_too_late(state, max(now, state.fire_at)):
                return _ended(state, now, state.more.late_reason(state.started_at))
            return due(state, state.attempt + 1, now)
        case JobStatus.FINISHING:
            return _after_attempt(state, now, jitter, retry_base_s)
        case _:
            raise ValueError(f"nothing is owed for {state.job_id} in {state.status.name}")


def due(job: JobState, attempt: int, now: int) -> AttemptDue:
    """Return the decision that the *attempt*-th try of *job* is to be made, taken at *now*."""
    decision = AttemptDue(
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
    more = job.more
    if more is None:
        return decision
    decision = msgspec.structs.replace(decision, trigger=more.trigger, local_time=more.local_time)
    if more.is_about_origin:
        return decision
    return msgspec.structs.replace(
        decision,
        retry=more.retry,
        success_on=more.success_on,
        too_late_at=more.too_late_at(job.started_at),
        previous_status_code=job.last_status_code,
        max_attempts=job.max_retries + 1,
    )


def _after_attempt(job: JobState, now: int, jitter: float, retry_base_s: float) -> Event:
    outcome, more = job.outcome, job.more
    if outcome == "too_late" and more is not None:
        return _ended(job, now, more.late_reason(job.started_at))
    reason = ended_by(outcome, charged=job.charged, max_retries=job.max_retries)
    if reason is not None:
        return _ended(job, now, reason)
    if job.cancel_requested:
        return _stopped(job, now)
    wait_ms = delay_ms(
        None if more is None else more.retry,
        charged=job.charged,
        base_s=retry_base_s,
        jitter=jitter,
        asked_ms=job.retry_after_ms,
        snoozed=outcome == "snoozed",
    )
    fire_at = min(now + wait_ms, MAX_INSTANT)
    if more is not None and _is_too_late(job, fire_at):
        return _ended(job, now, more.late_reason(job.started_at))
    return JobRetryScheduled(job_id=job.job_id, at=now, attempt=job.attempt + 1, fire_at=fire_at)


def _change(job: JobState, change: JobChange, now: int) -> JobChanged | JobChangeRefused:
    """Return what is decided about a change that waits: it is made if the job is as its caller saw it."""
    if change.version != job.version:
        return JobChangeRefused(job_id=job.job_id, at=now, request_id=change.request_id)
    return JobChanged(job_id=job.job_id, at=now, request_id=change.request_id, fire_at=change.fire_at)


def _stopped(job: JobState, now: int) -> JobFinished:
    """Return the decision that *job* ends because somebody asked for it."""
    reason: EndedBy = "stopped" if job.more is None or job.more.stop is None else job.more.stop
    ended = _ended(job, now, reason)
    if job.status != JobStatus.RUNNING:
        return ended
    # What is known is of the try before.
    return msgspec.structs.replace(ended, status_code=None, last_error=reason)


def _is_too_late(job: JobState, at: int) -> bool:
    """Say whether no try of *job* may start at *at*."""
    bound = job.too_late_at
    return bound is not None and at >= bound


def _ended(job: JobState, now: int, reason: EndedBy) -> JobFinished:
    """Return the decision that *job* ends for *reason*; one that the status says is left out."""
    status = JobStatus.COMPLETED if reason == "success" else JobStatus.FAILED
    never_ran = job.attempt == 0
    return JobFinished(
        job_id=job.job_id,
        account=job.account,
        at=now,
        status="completed" if reason == "success" else "failed",
        attempt=job.attempt,
        status_code=job.last_status_code,
        last_error=reason if never_ran else job.last_error,
        has_webhook=job.has_webhook,
        spec_id=job.spec_id,
        ended_by=None if reason == ENDED_BY[status] else reason,
        schedule_id=job.told_schedule_id,
    )
