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
    OwnerClaimed,
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
from libs.events.ids import new_job_id, new_schedule_id, tick_job_id
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
        self.read(OwnerClaimed(epoch=1, nonce=CLAIM.nonce, node="n", at=NOW))

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
    return JobFinished(job_id=JOB, account="acme", at=NOW, status=status, attempt=attempt)  # type: ignore[arg-type]


def retried(attempt: int) -> JobRetryScheduled:
    """Return the decision to try again."""
    return JobRetryScheduled(job_id=JOB, at=NOW, attempt=attempt, fire_at=NOW + 2 * MINUTE)


def cancelled() -> JobCancelled:
    """Return the decision that the job never fires."""
    return JobCancelled(job_id=JOB, account="acme", at=NOW)


def created() -> ScheduleCreated:
    """Return the request for a schedule that runs every minute."""
    return events.created(
        SCHEDULE, NOW, spec=Spec(url="https://example.com/", webhook_url="https://example.com/hook"), max_retries=2
    )


def ticked(minute: int, next_minute: int | None = None) -> ScheduleTicked:
    """Return the tick of a minute after *NOW*."""
    tick_at = NOW + minute * MINUTE
    return ScheduleTicked(
        schedule_id=SCHEDULE,
        at=tick_at,
        tick_at=tick_at,
        job_id=tick_job_id(SCHEDULE, tick_at),
        next_run_at=NOW + (next_minute if next_minute is not None else minute + 1) * MINUTE,
    )


PAUSED = SchedulePaused(schedule_id=SCHEDULE, at=NOW)
DELETED = ScheduleDeleted(schedule_id=SCHEDULE, at=NOW)


def resumed(minute: int) -> ScheduleResumed:
    """Return the fact that the schedule goes on at a minute after *NOW*."""
    return ScheduleResumed(schedule_id=SCHEDULE, at=NOW, next_run_at=NOW + minute * MINUTE)
