"""Obligations: what is owed now, later, or not at all, as a table; and what the decision says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from libs.domain.job import JobState, JobStatus
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.domain.schedules.optional_state import ScheduleMore
from libs.domain.schedules.tick_decision import MISSED_COUNT_MAX
from libs.domain.state_kind import AT_ONCE
from libs.domain.state_registry import State, decide, owed_at
from libs.events import AttemptDue, JobCancelled, JobFinished, JobRetryScheduled, ScheduleRule, ScheduleTicked
from libs.events.ids import execution_id, new_job_id, new_schedule_id, tick_job_id

NOW = 1_800_000_000_000
MINUTE = 60_000
LEAD_MS = 75
JOB_ID = new_job_id(NOW, 0, bytes(8))
SCHEDULE_ID = new_schedule_id(NOW, 0, bytes(8))
JOB = JobState(job_id=JOB_ID, account="acme", scheduled_at=NOW, fire_at=NOW + 500, created_at=NOW)
SCHEDULE = ScheduleState(
    schedule_id=SCHEDULE_ID, account="acme", cron="* * * * *", created_at=NOW, next_run_at=NOW + MINUTE, changed_at=0
)


def job(status: JobStatus, **changes: Any) -> JobState:
    """Return a job in *status*."""
    return msgspec.structs.replace(JOB, status=status, **changes)


def schedule(**changes: Any) -> ScheduleState:
    """Return a schedule that runs every minute."""
    return msgspec.structs.replace(SCHEDULE, **changes)


NOTHING = None
DUE_AT = NOW + 500 - LEAD_MS
TICK_AT = NOW + MINUTE - LEAD_MS

TABLE: list[tuple[State, int | None]] = [
    (job(JobStatus.SCHEDULED), DUE_AT),
    (job(JobStatus.SCHEDULED, cancel_requested=True), AT_ONCE),
    (job(JobStatus.SCHEDULED, fire_at=10), AT_ONCE),
    (job(JobStatus.RETRYING, attempt=1), DUE_AT),
    (job(JobStatus.RETRYING, attempt=1, cancel_requested=True), AT_ONCE),
    (job(JobStatus.RUNNING, attempt=1, cancel_requested=True), AT_ONCE),
    (job(JobStatus.FINISHING, attempt=1, last_ok=True), AT_ONCE),
    (job(JobStatus.FINISHING, attempt=1, last_ok=False, max_retries=3), AT_ONCE),
    (job(JobStatus.RUNNING, attempt=1), NOTHING),
    (job(JobStatus.COMPLETED, attempt=1), NOTHING),
    (job(JobStatus.FAILED, attempt=1), NOTHING),
    (job(JobStatus.CANCELLED), NOTHING),
    *[(job(status, attempt=1, held=True), NOTHING) for status in JobStatus],
    (job(JobStatus.SCHEDULED, held=True, cancel_requested=True), AT_ONCE),
    (schedule(), TICK_AT),
    (schedule(next_run_at=10), AT_ONCE),
    (schedule(next_run_at=None), NOTHING),
    (schedule(status=ScheduleStatus.PAUSED), NOTHING),
    (schedule(status=ScheduleStatus.DELETED), NOTHING),
    (schedule(held=True), NOTHING),
]


@pytest.mark.parametrize(("state", "expected"), TABLE)
def test_what_is_owed_and_when(state: State, expected: int | None) -> None:
    """Nothing, at once, or from an instant on."""
    assert owed_at(state, lead_ms=LEAD_MS) == expected


def choose(state: State, now: int = NOW) -> object:
    """Return the decision for *state*."""
    return decide(state, now, jitter=0.5, retry_base_s=30.0)


@pytest.mark.parametrize(
    "state",
    [state for state, at in TABLE if at is None and not state.held and not isinstance(state, ScheduleState)]
    + [schedule(next_run_at=None)],
)
def test_where_nothing_is_owed_nothing_is_decided(state: State) -> None:
    """Asking all the same is a defect of the caller."""
    with pytest.raises(ValueError, match="nothing is owed"):
        choose(state)


def test_a_due_carries_what_the_dispatcher_needs() -> None:
    """The next attempt, at its own instant, with the spec's place."""
    state = job(JobStatus.RETRYING, attempt=2, schedule_id=SCHEDULE_ID, timeout_ms=5_000)

    assert choose(state, NOW) == AttemptDue(
        job_id=JOB_ID,
        account="acme",
        at=NOW,
        attempt=3,
        execution_id=execution_id(JOB_ID, 3),
        not_before=NOW + 500,
        scheduled_at=NOW,
        timeout_ms=5_000,
        spec_id=SCHEDULE_ID,
        schedule_id=SCHEDULE_ID,
    )


def test_a_cancel_wins_over_a_due() -> None:
    """A job that waits and is to be cancelled is cancelled, also when its instant has come."""
    state = job(JobStatus.SCHEDULED, cancel_requested=True, has_webhook=True, fire_at=NOW - 1)

    assert choose(state) == JobCancelled(job_id=JOB_ID, account="acme", at=NOW, has_webhook=True, spec_id=JOB_ID)


@pytest.mark.parametrize(
    ("ok", "attempt", "max_retries", "expected"),
    [
        (True, 1, 0, "completed"),
        (True, 1, 5, "completed"),
        (True, 6, 5, "completed"),
        (False, 1, 0, "failed"),
        (False, 6, 5, "failed"),
        (False, 1, 1, "retry"),
        (False, 5, 5, "retry"),
        (None, 1, 1, "retry"),
    ],
)
def test_what_follows_a_result(ok: bool | None, attempt: int, max_retries: int, expected: str) -> None:
    """Success ends a job; failure ends it when the tries are used up, and else is tried again."""
    state = job(
        JobStatus.FINISHING,
        last_ok=ok,
        attempt=attempt,
        max_retries=max_retries,
        last_status_code=500,
        last_error="no",
        has_webhook=True,
    )

    decision = choose(state)

    if expected == "retry":
        assert isinstance(decision, JobRetryScheduled)
        assert decision.attempt == attempt + 1
        assert decision.fire_at == NOW + 30_000 * 2 ** (attempt - 1)
    else:
        assert decision == JobFinished(
            job_id=JOB_ID,
            account="acme",
            at=NOW,
            status=expected,  # type: ignore[arg-type]
            attempt=attempt,
            status_code=500,
            last_error="no",
            has_webhook=True,
            spec_id=JOB_ID,
        )


@pytest.mark.parametrize(
    ("now", "tick_minute", "missed"),
    [
        (NOW + MINUTE - LEAD_MS, 1, 0),  # ahead of its instant
        (NOW + MINUTE, 1, 0),
        (NOW + 2 * MINUTE - 1, 1, 0),  # late, and nothing missed yet
        (NOW + 2 * MINUTE, 2, 1),
        (NOW + 2 * MINUTE + 1, 2, 1),
        (NOW + 61 * MINUTE, 61, 60),
        (NOW + 1_000_000 * MINUTE, 1_000_000, MISSED_COUNT_MAX),  # years later: bounded work, one tick
    ],
)
def test_of_missed_ticks_the_latest_is_made(now: int, tick_minute: int, missed: int) -> None:
    """One tick, the latest that is not in the future; what it skips is counted, up to a bound."""
    tick_at = NOW + tick_minute * MINUTE

    assert choose(SCHEDULE, now) == ScheduleTicked(
        schedule_id=SCHEDULE_ID,
        at=now,
        tick_at=tick_at,
        job_id=tick_job_id(SCHEDULE_ID, tick_at),
        next_run_at=tick_at + MINUTE,
        missed_count=missed,
    )


def test_the_recorded_instant_is_made_even_if_the_rule_does_not_name_it() -> None:
    """The first run is what the log says, not what a rule read differently today would say."""
    odd = schedule(next_run_at=NOW + 30_000)

    decision = choose(odd, NOW + 40_000)

    assert isinstance(decision, ScheduleTicked)
    assert (decision.tick_at, decision.next_run_at, decision.missed_count) == (NOW + 30_000, NOW + MINUTE, 0)


def test_a_rule_that_cannot_be_read_here_gets_no_decision() -> None:
    """A cron, or a time zone, of a newer build: its schedule waits, and the partition goes on."""
    elsewhere = ScheduleMore(rule=ScheduleRule(cron="* * * * *", zone="Mars/Olympus"))

    assert choose(schedule(cron="@daily"), NOW + MINUTE) is None
    assert choose(schedule(cron="", more=elsewhere), NOW + MINUTE) is None


def test_a_rule_that_never_fires_again_ends() -> None:
    """A tick without a successor within five years has none."""
    leap = schedule(cron="0 0 29 2 */7", next_run_at=4_100_000_000_000)

    decision = choose(leap, 4_100_000_000_000)

    assert isinstance(decision, ScheduleTicked)
    assert decision.next_run_at is None
