"""The records that the tests of the ledger read to it, and the reader."""

from __future__ import annotations

from libs.domain.ledger import Applied, Ledger
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Claim,
    Event,
    JobCancelled,
    JobFinished,
    JobRetryScheduled,
    JobScheduled,
    ScheduleCreated,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTicked,
    Spec,
    Unknown,
    Unreadable,
)
from libs.events.codec import kind_of
from libs.events.ids import new_job_id, new_schedule_id
from tests.fakes import events

NOW = 1_800_000_000_000
MINUTE = 60_000
CLAIM = Claim(1, "a" * 16)
OTHER = Claim(1, "b" * 16)
JOB = new_job_id(NOW, 0, bytes(8))
SCHEDULE = new_schedule_id(NOW, 0, bytes(8))


class Reader:
    """Reads records to a ledger, decisions under *CLAIM* unless told otherwise."""

    def __init__(self) -> None:
        self.ledger = Ledger(0)
        self.read(events.claimed(CLAIM, NOW))

    def read(self, item: Event | Unknown | Unreadable, claim: Claim | None = CLAIM) -> Applied:
        """Read one more record."""
        is_decision = not isinstance(item, Unknown | Unreadable) and kind_of(item).role == "decision"
        return self.ledger.apply(self.ledger.position + 1, item, str(claim) if is_decision and claim else None)

    def verdicts(self, *items: Event | Unknown | Unreadable) -> list[str]:
        """Return what each of *items* did."""
        return [self.read(item).verdict.value for item in items]


def asked(job_id: str = JOB, **changes: object) -> JobScheduled:
    """Return the request for a job."""
    return events.asked(job_id, NOW, **({"fire_at": NOW + MINUTE} | changes))


def due(attempt: int = 1) -> AttemptDue:
    """Return the decision that an attempt is due."""
    return events.due(JOB, NOW + MINUTE, attempt, at=NOW)


def finished(attempt: int = 1, *, ok: bool = True) -> AttemptFinished:
    """Return the result of an attempt."""
    return events.finished(JOB, NOW, attempt, ok=ok)


def ended(status: str = "completed", attempt: int = 1) -> JobFinished:
    """Return the decision that the job reached its end."""
    return events.ended(JOB, NOW, attempt, status=status)


def retried(attempt: int) -> JobRetryScheduled:
    """Return the decision to try again."""
    return events.retried(JOB, NOW, attempt, fire_at=NOW + 2 * MINUTE)


def cancelled() -> JobCancelled:
    """Return the decision that the job never fires."""
    return events.cancelled(JOB, NOW)


def created() -> ScheduleCreated:
    """Return the request for a schedule that runs every minute."""
    return events.created(
        SCHEDULE, NOW, spec=Spec(url="https://example.com/", webhook_url="https://example.com/hook"), max_retries=2
    )


def ticked(minute: int, next_minute: int | None = None) -> ScheduleTicked:
    """Return the tick of a minute after *NOW*."""
    next_run_at = NOW + (next_minute if next_minute is not None else minute + 1) * MINUTE
    return events.ticked(SCHEDULE, NOW + minute * MINUTE, next_run_at=next_run_at)


PAUSED = SchedulePaused(schedule_id=SCHEDULE, at=NOW)
DELETED = ScheduleDeleted(schedule_id=SCHEDULE, at=NOW)


def resumed(minute: int) -> ScheduleResumed:
    """Return the fact that the schedule goes on at a minute after *NOW*."""
    return ScheduleResumed(schedule_id=SCHEDULE, at=NOW, next_run_at=NOW + minute * MINUTE)
