"""A decider on a harness: what is read to it in the tests of this room, and what it decides then."""

from __future__ import annotations

from collections.abc import Sequence

from libs.domain.ledger import Applied, Ledger
from libs.domain.state_registry import State
from libs.events import (
    AttemptFinished,
    Claim,
    Event,
    JobCancelRequested,
    JobScheduled,
    OwnerClaimed,
    ScheduleCreated,
    Unknown,
    Unreadable,
)
from libs.events.codec import kind_of
from libs.events.ids import new_job_id, new_schedule_id
from services.scheduler.decider import Decider
from tests.fakes import events

NOW = 1_800_000_000_000
MINUTE = 60_000
CLAIM = Claim(2, "a" * 16)
LEAD_MS = 75
HORIZON_MS = 120_000
JOB = new_job_id(NOW, 0, bytes(8))
SCHEDULE = new_schedule_id(NOW, 0, bytes(8))
OURS = OwnerClaimed(epoch=2, nonce=CLAIM.nonce, node="n", at=NOW)


class Harness:
    """A decider, and a log that is read to it one record at a time."""

    def __init__(
        self,
        *,
        concurrency: int = 1_000,
        states: Sequence[State] = (),
        decide: bool = True,
        gather_ms: int = 1,
        lead_ms: int = LEAD_MS,
    ) -> None:
        self.decider = Decider(
            Ledger(0),
            CLAIM,
            lead_ms=lead_ms,
            retry_base_s=30.0,
            concurrency=concurrency,
            horizon_at=NOW + HORIZON_MS,
            gather_ms=gather_ms,
        )
        self.decider.load(states)
        if decide:
            self.read(OURS)

    def read(self, *items: Event | Unknown | Unreadable, claim: Claim = CLAIM) -> Applied:
        """Read more records, decisions under *claim*; return what the last one did."""
        for item in items:
            is_decision = not isinstance(item, Unreadable | Unknown) and kind_of(item).role == "decision"
            applied = self.decider.apply(self.decider.ledger.position + 1, item, str(claim) if is_decision else None)
        return applied

    def decide(self, now: int = NOW, *, early_ms: int = 0) -> list[Event]:
        """Return what is owed at *now*."""
        return self.decider.decide(now, lambda: 0.5, early_ms=early_ms)

    def kinds(self, now: int = NOW) -> list[str]:
        """Return the names of what is owed at *now*."""
        return [kind_of(each).name for each in self.decide(now)]

    def run(self, now: int = NOW) -> list[str]:
        """Decide and read back until nothing more is owed at *now*; return the names of all decisions."""
        names: list[str] = []
        while decisions := self.decide(now):
            names += [kind_of(each).name for each in decisions]
            self.read(*decisions)
        return names


def job(number: int) -> str:
    """Return the id of the *number*-th job."""
    return new_job_id(NOW, 0, number.to_bytes(8, "big"))


def asked(job_id: str = JOB, *, in_ms: int = 1_000, retries: int = 0, account: str = "acme") -> JobScheduled:
    """Return the request for a job."""
    return events.asked(job_id, NOW, account=account, fire_at=NOW + in_ms, max_retries=retries)


def cancel(job_id: str = JOB) -> JobCancelRequested:
    """Return the request to cancel a job."""
    return JobCancelRequested(job_id=job_id, at=NOW)


def finished(job_id: str = JOB, *, ok: bool, attempt: int = 1, retry_after_ms: int | None = None) -> AttemptFinished:
    """Return the result of an attempt."""
    return events.finished(
        job_id, NOW, attempt, ok=ok, duration_ms=5, status_code=200 if ok else 500, retry_after_ms=retry_after_ms
    )


def created(*, cron: str = "* * * * *", in_ms: int = MINUTE) -> ScheduleCreated:
    """Return the request for a schedule."""
    return events.created(SCHEDULE, NOW, cron=cron, next_run_at=NOW + in_ms)
