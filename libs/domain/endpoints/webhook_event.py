"""
Webhook event: something of an account that its endpoints may be told of.

An attempt that failed has two names, `attempt.failed` and `attempt.finished`: an endpoint that asks for both is told once, under
the first of them.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from libs.domain.instants import rfc3339
from libs.domain.jobs.state import NO_LABELS
from libs.domain.responses.captured import Captured
from libs.events import JobCancelled, JobFinished, ScheduleAutopaused, ScheduleTicked
from libs.events.ids import execution_id

EVENTS: Final[Mapping[str, str]] = {
    "job.completed": "a job ended well",
    "job.failed": "a job failed, and is not tried again",
    "job.cancelled": "a job was cancelled",
    "attempt.failed": "an attempt of a job failed; the job may be tried again",
    "attempt.finished": "an attempt of a job ended, well or not",
    "schedule.missed": "ticks of a schedule were missed: they were due while Fliq could not make them",
    "schedule.skipped": "ticks of a schedule were left out, because a run was under way",
    "schedule.autopaused": "a schedule paused itself, because its runs failed",
    "endpoint.disabled": "Fliq has disabled another endpoint of the account",
}
# The log's words for how a job ended -> those of its webhook.
STATUS_WORDS: Final = {"completed": "completed", "failed": "failed", "job.cancelled": "cancelled"}
ALL: Final = "*"  # asks for every event, also for those of later versions
TEST: Final = "endpoint.test"  # sent when it is asked for, whatever the endpoint's events are

GONE: Final = "gone"  # the endpoint answered 410
FAILING: Final = "failing"  # it took nothing for days (health.py)


class Attempt(NamedTuple):
    """An attempt that ended: the *number*-th of its job. The first outcome that was recorded counts."""

    job_id: str
    number: int
    ok: bool
    status_code: int | None
    error: str | None
    duration_ms: int | None
    executed_at: int


class WebhookEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What is said of an event, and what a filter judges it by.

    Args:
        names: the event's names in `EVENTS`, the most exact one first.
        at: when it happened, ms since 1970.
        data: what a receiver is told, in the order in which it is sent.
        key: what tells it from others of the same instant; empty if job and attempt do.
        job_id: the job that it is about; None if it is about a schedule or an endpoint.
        attempt: the attempt that it is about; 0 if it is about none.
        schedule_id: the schedule that it is about, or that the job belongs to.
        host: the host that the job calls, in lower case, without the port.
        status_code: the status of the answer, if there was one.
        labels: of the job, or of the schedule.
        response: what was kept of the target's answer to the attempt, the last one of a job that ended; None if nothing was.
    """

    names: tuple[str, ...]
    at: int
    data: Mapping[str, Any]
    key: str = ""
    job_id: str | None = None
    attempt: int = 0
    schedule_id: str | None = None
    host: str | None = None
    status_code: int | None = None
    labels: Mapping[str, str] = NO_LABELS
    response: Captured | None = None


def of_end(
    event: JobFinished | JobCancelled,
    *,
    schedule_id: str | None,
    host: str | None,
    labels: Mapping[str, str] = NO_LABELS,
    response: Captured | None = None,
) -> WebhookEvent:
    """Return what is said of the end of a job."""
    if isinstance(event, JobCancelled):
        status, status_code, last_error, attempt = STATUS_WORDS["job.cancelled"], None, None, 0
    else:
        status, attempt = STATUS_WORDS[event.status], event.attempt
        status_code, last_error = event.status_code, event.last_error
    data = {
        "job_id": event.job_id,
        "status": status,
        "status_code": status_code,
        "last_error": last_error,
        "completed_at": rfc3339(event.at),
        "attempt_num": attempt,
    }
    return WebhookEvent(
        names=(f"job.{status}",),
        at=event.at,
        data=data,
        job_id=event.job_id,
        schedule_id=schedule_id,
        host=host,
        status_code=status_code,
        labels=labels,
        response=response,
    )


def of_attempt(
    attempt: Attempt,
    *,
    at: int,
    schedule_id: str | None,
    host: str | None,
    labels: Mapping[str, str] = NO_LABELS,
    response: Captured | None = None,
) -> WebhookEvent:
    """Return what is said of an attempt that ended; *at* is when it was decided what follows."""
    data = {
        "job_id": attempt.job_id,
        "execution_id": execution_id(attempt.job_id, attempt.number),
        "attempt_num": attempt.number,
        "status": "success" if attempt.ok else "failed",
        "status_code": attempt.status_code,
        "error": None if attempt.ok else attempt.error,
        "duration_ms": attempt.duration_ms,
        "executed_at": rfc3339(attempt.executed_at),
    }
    return WebhookEvent(
        names=("attempt.finished",) if attempt.ok else ("attempt.failed", "attempt.finished"),
        at=at,
        data=data,
        job_id=attempt.job_id,
        attempt=attempt.number,
        schedule_id=schedule_id,
        host=host,
        status_code=attempt.status_code,
        labels=labels,
        response=response,
    )


def of_tick(event: ScheduleTicked, labels: Mapping[str, str] = NO_LABELS) -> list[WebhookEvent]:
    """Return what is said of a tick of a schedule with *labels*: nothing if it is like any other."""
    said = []
    if event.missed_count:
        missed = {"missed_count": event.missed_count, "missed": [rfc3339(at) for at in event.missed]}
        said.append(_of_slots("schedule.missed", event, missed, labels))
    if event.skipped:
        skipped = {"reason": event.reason, "skipped": [rfc3339(at) for at in event.skipped]}
        said.append(_of_slots("schedule.skipped", event, skipped, labels))
    return said


def _of_slots(name: str, event: ScheduleTicked, data: Mapping[str, Any], labels: Mapping[str, str]) -> WebhookEvent:
    """*data* says of which slots it is."""
    return WebhookEvent(
        names=(name,),
        at=event.at,
        data={"schedule_id": event.schedule_id, **data, "decided_at": rfc3339(event.at)},
        key=f"{name} {event.schedule_id} {event.tick_at}",
        schedule_id=event.schedule_id,
        labels=labels,
    )


def of_autopause(event: ScheduleAutopaused, labels: Mapping[str, str] = NO_LABELS) -> WebhookEvent:
    """Return what is said of a schedule with *labels* that paused itself."""
    name = "schedule.autopaused"
    data = {"schedule_id": event.schedule_id, "failures": event.failures, "paused_at": rfc3339(event.at)}
    return WebhookEvent(
        names=(name,),
        at=event.at,
        data=data,
        key=f"{name} {event.schedule_id}",
        schedule_id=event.schedule_id,
        labels=labels,
    )


def of_disabling(endpoint_id: str, url: str, reason: str, at: int) -> WebhookEvent:
    """Return what the other endpoints of an account are told when Fliq disables one; *reason* is `GONE` or `FAILING`."""
    data = {"endpoint_id": endpoint_id, "url": url, "reason": reason, "disabled_at": rfc3339(at)}
    return WebhookEvent(names=("endpoint.disabled",), at=at, data=data, key=f"endpoint.disabled {endpoint_id}")


def of_test(endpoint_id: str, at: int) -> WebhookEvent:
    """Return the event that an endpoint is sent for a test."""
    data = {"endpoint_id": endpoint_id, "sent_at": rfc3339(at)}
    return WebhookEvent(names=(TEST,), at=at, data=data, key=f"{TEST} {endpoint_id}")
