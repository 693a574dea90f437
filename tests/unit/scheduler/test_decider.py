"""The decider as a script: a record is read, then these decisions are owed."""

from __future__ import annotations

from collections.abc import Sequence

from libs.domain.job import JobState, JobStatus
from libs.domain.ledger import Applied, GapInLog, Ledger, Verdict
from libs.domain.obligations import AT_ONCE, TICK_LEAD_MS, State
from libs.domain.schedule import ScheduleState
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Claim,
    Event,
    JobCancelled,
    JobCancelRequested,
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
    Unreadable,
)
from libs.events.codec import kind_of
from libs.events.ids import execution_id, new_job_id, new_schedule_id, tick_job_id
from services.scheduler.decider import DECISIONS_MAX, Decider

NOW = 1_800_000_000_000
CLAIM = Claim(1, "a" * 16)
LEAD_MS = 75
HORIZON_MS = 120_000
JOB = new_job_id(NOW, 0, bytes(8))
SCHEDULE = new_schedule_id(NOW, 0, bytes(8))


class Bench:
    """A decider, and a log that is read to it one record at a time."""

    def __init__(self, *, credit: int = 1_000, states: Sequence[State] = (), lead: bool = True) -> None:
        self.now = NOW
        self.decider = Decider(
            Ledger(0), CLAIM, lead_ms=LEAD_MS, retry_base_s=30.0, credit=credit, horizon_at=NOW + HORIZON_MS
        )
        self.decider.load(states)
        if lead:
            self.read(OwnerClaimed(epoch=1, nonce=CLAIM.nonce, node="n", at=NOW))

    def read(self, item: Event | Unreadable, claim: Claim | None = CLAIM) -> Applied:
        """Read one more record; decisions bear our claim unless told otherwise."""
        is_decision = not isinstance(item, Unreadable) and kind_of(item).role == "decision"
        return self.decider.apply(
            self.decider.ledger.position + 1, item, str(claim) if is_decision and claim is not None else None
        )

    def decide(self, now: int | None = None, *, early_ms: int = 0) -> list[Event]:
        """Return what is owed at *now*."""
        return self.decider.decide(self.now if now is None else now, lambda: 0.5, early_ms=early_ms)


def asked(job_id: str = JOB, *, in_ms: int = 1_000, retries: int = 0, account: str = "acme") -> JobScheduled:
    """Return the request for a job."""
    return JobScheduled(
        job_id=job_id,
        account=account,
        at=NOW,
        spec=Spec(url="https://example.com/"),
        fire_at=NOW + in_ms,
        max_retries=retries,
    )


def finished(job_id: str = JOB, *, ok: bool, attempt: int = 1, retry_after_ms: int | None = None) -> AttemptFinished:
    """Return the result of an attempt."""
    return AttemptFinished(
        job_id=job_id,
        at=NOW,
        attempt=attempt,
        execution_id=execution_id(job_id, attempt),
        ok=ok,
        started_at=NOW,
        duration_ms=5,
        status_code=200 if ok else 500,
        retry_after_ms=retry_after_ms,
    )


def test_a_job_left_in_memory_beyond_the_horizon_fires_when_the_horizon_moves_on() -> None:
    """A job that was folded beyond the horizon and not yet evicted gets its timer when the horizon passes it."""
    bench = Bench()
    bench.read(asked(in_ms=HORIZON_MS + 60_000))
    assert bench.decider.timer_count == 0

    bench.decider.extend(NOW + 2 * HORIZON_MS)
    bench.decider.load([bench.decider.ledger.jobs[JOB]])  # what the tables answer is passed over: it is in memory

    assert bench.decider.next_decision_at() == NOW + HORIZON_MS + 60_000 - LEAD_MS
    assert [type(each) for each in bench.decide(NOW + HORIZON_MS + 60_000)] == [AttemptDue]
