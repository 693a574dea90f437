"""
Obligations: what a partition's owner owes next, and when, as a pure function of a state.

    scheduled and asked to cancel      -> job.cancelled        at once
    scheduled | retrying               -> attempt.due          at fire_at - lead
    finishing, succeeded or used up    -> job.finished         at once
    finishing, tries left              -> job.retry_scheduled  at once
    active schedule                    -> schedule.ticked      two seconds before its next run
    held, running, terminal, paused    -> nothing; but a held job that is scheduled can be cancelled

Nothing else drives the system, so recovery is: load the states, ask this module, go on. Obligations are monotone in time: what is
owed stays owed until a decision is folded.

Source: ARCHITECTURE.md, "Facts and decisions", "A job's life".
"""

from typing import Final

from libs.domain.cron import Cron, CronError, latest_at_or_before, next_after, parse
from libs.domain.job import JobState, JobStatus
from libs.domain.retry import next_attempt_at
from libs.domain.schedule import ScheduleState
from libs.events import (
    AttemptDue,
    Event,
    JobCancelled,
    JobFinished,
    JobRetryScheduled,
    ScheduleTicked,
)
from libs.events.ids import execution_id, tick_job_id

AT_ONCE: Final = 0
TICK_LEAD_MS: Final = 2_000  # a tick's job stands in the tables well before its instant
MISSED_COUNT_MAX: Final = 100  # missed ticks are counted up to here; an outage of years must not cost seconds

State = JobState | ScheduleState


def owed_at(state: State, *, lead_ms: int) -> int | None:
    """Return the instant from which a decision is owed for *state*; None when nothing is."""
    if isinstance(state, ScheduleState):
        if state.held or not state.is_active or state.next_run_at is None or _cron_of(state) is None:
            return None
        return max(state.next_run_at - TICK_LEAD_MS, AT_ONCE)
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


def decide(state: State, now: int, *, jitter: float, retry_base_s: float) -> Event:
    """
    Return the decision owed for *state*.

    Args:
        state: one for which `owed_at` is not None and has come.
        now: ms since 1970.
        jitter: fraction in [0, 1).
        retry_base_s: delay before the first retry.

    Raises:
        ValueError: nothing is owed.
    """
    if isinstance(state, ScheduleState):
        return _tick(state, now)
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
        fire_at = next_attempt_at(
            now, job.attempt, base_s=retry_base_s, jitter=jitter, retry_after_ms=job.retry_after_ms
        )
        return JobRetryScheduled(job_id=job.job_id, at=now, attempt=job.attempt + 1, fire_at=fire_at)
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


def _tick(schedule: ScheduleState, now: int) -> ScheduleTicked:
    cron = _cron_of(schedule)
    if cron is None or schedule.next_run_at is None:
        raise ValueError(f"nothing is owed for {schedule.schedule_id}")
    tick_at = schedule.next_run_at
    missed = 0
    if tick_at < now:
        # After an outage only the latest missed tick fires; the others are counted and left out.
        latest = latest_at_or_before(cron, now, tick_at)
        if latest is not None and latest > tick_at:
            missed = _count_ticks(cron, tick_at, latest)
            tick_at = latest
    return ScheduleTicked(
        schedule_id=schedule.schedule_id,
        at=now,
        tick_at=tick_at,
        job_id=tick_job_id(schedule.schedule_id, tick_at),
        next_run_at=next_after(cron, tick_at),
        missed_count=missed,
    )


def _count_ticks(cron: Cron, first_at: int, end_at: int) -> int:
    """Return how many ticks there are from *first_at*, itself one, up to but not at *end_at*."""
    count = 0
    at: int | None = first_at
    while at is not None and at < end_at and count < MISSED_COUNT_MAX:
        count += 1
        at = next_after(cron, at)
    return count


def _cron_of(schedule: ScheduleState) -> Cron | None:
    """A rule that this build cannot read spawns nothing; it must never stop its partition."""
    try:
        return parse(schedule.cron)
    except CronError:
        return None
