"""
Events of a job and a schedule with everything in them that a test does not care about.

The second argument is every instant in the event, unless *changes* say otherwise.
"""

from __future__ import annotations

from typing import Any

from libs.events import (
    AttemptDue,
    AttemptFinished,
    Claim,
    JobCancelled,
    JobFinished,
    JobRetryScheduled,
    JobScheduled,
    OwnerClaimed,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleRule,
    ScheduleTicked,
    Spec,
)
from libs.events.ids import execution_id, tick_job_id

MINUTE_MS = 60_000


def asked(job_id: str, at: int, /, **changes: Any) -> JobScheduled:
    """Return the request for a job that is due at once."""
    fields = {"job_id": job_id, "account": "acme", "at": at, "spec": Spec(url="https://example.com/"), "fire_at": at}
    return JobScheduled(**(fields | changes))


def due(job_id: str, at: int, attempt: int = 1, /, **changes: Any) -> AttemptDue:
    """Return the decision that an attempt is due."""
    fields = _of_attempt(job_id, at, attempt) | {"account": "acme", "spec_id": job_id}
    return AttemptDue(**(fields | {"not_before": at, "scheduled_at": at, "timeout_ms": 30_000} | changes))


def finished(job_id: str, at: int, attempt: int = 1, /, **changes: Any) -> AttemptFinished:
    """Return the result of an attempt; it went well and took 1 ms."""
    fields = _of_attempt(job_id, at, attempt) | {"ok": True, "started_at": at, "duration_ms": 1}
    return AttemptFinished(**(fields | changes))


def retried(job_id: str, at: int, attempt: int = 2, /, **changes: Any) -> JobRetryScheduled:
    """Return the decision to try again at once, as try number *attempt*."""
    return JobRetryScheduled(**({"job_id": job_id, "at": at, "attempt": attempt, "fire_at": at} | changes))


def cancelled(job_id: str, at: int, /, **changes: Any) -> JobCancelled:
    """Return the decision that a job never fires."""
    return JobCancelled(**({"job_id": job_id, "account": "acme", "at": at} | changes))


def ended(job_id: str, at: int, attempt: int = 1, /, **changes: Any) -> JobFinished:
    """Return the decision that a job reached its end; it went well."""
    fields = {"job_id": job_id, "account": "acme", "at": at, "status": "completed", "attempt": attempt}
    return JobFinished(**(fields | changes))


def created(schedule_id: str, at: int, /, **changes: Any) -> ScheduleCreated:
    """Return the request for a schedule that runs every minute, the first time a minute after *at*."""
    fields = {"schedule_id": schedule_id, "account": "acme", "at": at, "next_run_at": at + MINUTE_MS}
    return ScheduleCreated(**(fields | {"spec": Spec(url="https://example.com/"), "cron": "* * * * *"} | changes))


def defined(schedule_id: str, at: int, /, **changes: Any) -> ScheduleDefined:
    """Return the request for a schedule that runs every 90 s, the first time 90 s after *at*."""
    fields = {"schedule_id": schedule_id, "account": "acme", "at": at, "next_run_at": at + 90_000}
    rule = ScheduleRule(every_s=90, anchor_at=at)
    return ScheduleDefined(**(fields | {"spec": Spec(url="https://example.com/"), "rule": rule} | changes))


def ticked(schedule_id: str, tick_at: int, /, **changes: Any) -> ScheduleTicked:
    """Return the tick at *tick_at* of a schedule that runs every minute."""
    fields = {"schedule_id": schedule_id, "at": tick_at, "tick_at": tick_at, "next_run_at": tick_at + MINUTE_MS}
    return ScheduleTicked(**(fields | {"job_id": tick_job_id(schedule_id, tick_at)} | changes))


def claimed(claim: Claim, at: int, /, *, node: str = "n") -> OwnerClaimed:
    """Return the record of *claim*."""
    return OwnerClaimed(epoch=claim.epoch, nonce=claim.nonce, node=node, at=at)


def _of_attempt(job_id: str, at: int, attempt: int) -> dict[str, Any]:
    return {"job_id": job_id, "at": at, "attempt": attempt, "execution_id": execution_id(job_id, attempt)}
