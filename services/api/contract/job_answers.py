"""
Job answers: jobs as the JSON that the contract documents. Pure. Schedules are in schedules/schedule_answers.py.

`PUBLIC_STATUS` is the one table of the API that translates the internal status; the list filter reads it backwards.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from libs.domain.instants import rfc3339
from libs.domain.job import JobState, JobStatus
from libs.events import (
    AttemptFinished,
    Event,
    JobCancelled,
    JobFinished,
    JobScheduled,
    ScheduleTicked,
    Spec,
    Unknown,
    Unreadable,
)
from libs.events.codec import kind_of
from libs.events.ids import execution_id
from libs.store.projection.changes import ExecutionRow
from services.api.contract.fields.capture_fields import shown_capture
from services.api.contract.fields.retry_fields import shown_policy

PUBLIC_STATUS: Final[Mapping[JobStatus, str]] = {
    JobStatus.SCHEDULED: "scheduled",
    JobStatus.RUNNING: "running",
    JobStatus.FINISHING: "running",
    JobStatus.RETRYING: "running",
    JobStatus.COMPLETED: "success",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}
STATUSES_OF: Final[Mapping[str, tuple[JobStatus, ...]]] = {
    word: tuple(status for status, public in PUBLIC_STATUS.items() if public == word)
    for word in dict.fromkeys(PUBLIC_STATUS.values())
}
_FINISHED_STATUS: Final = {
    "completed": PUBLIC_STATUS[JobStatus.COMPLETED],
    "failed": PUBLIC_STATUS[JobStatus.FAILED],
}
# A timeline leaves out fields that every entry would repeat, and fields that may hold secrets (GET on the job shows them).
_OF_SCHEDULE: Final = (
    "next_run_at",
    "missed_count",
    "next_tick_at",
    "zone_data",
    "version",
    "action",
    "trigger",
    "missed",
    "reason",
    "skipped",
)
_ONLY_IF_GIVEN: Final = frozenset(
    {
        *("retry", "success_on", "expires_at", "too_late_at", "previous_status_code", "max_attempts"),
        *("outcome", "resent", "ended_by", "fire_at", "tick_at", "trigger", "local_time", "labels"),
    }
)
# What the outcome of a try means for the job, in words.
_NOTES: Final[Mapping[str, str]] = {
    "free": "not charged: the target asked to wait",
    "snoozed": "not charged: the target put the job off",
    "stopped": "the target said that no other attempt may follow",
    "not_retryable": "retry_on does not list this failure",
    "too_late": "not called: no attempt may start any more",
}
_NOT_IN_TIMELINE: Final = frozenset(
    {
        *(
            "job_id",
            "account",
            "at",
            "spec",
            "spec_id",
            "idempotency_key",
            "waiting_key",
            "singleton_key",
            "is_tracked",
        ),
        "response",
    }
)


def created_job(
    job_id: str,
    spec: Spec,
    *,
    fire_at: int,
    max_retries: int,
    created_at: int,
    status: JobStatus = JobStatus.SCHEDULED,
) -> dict[str, Any]:
    """Return the 201's seven fields, made from the request: the job as it was created, whatever became of it since."""
    return {
        "id": job_id,
        "url": spec.url,
        "http_method": spec.method,
        "scheduled_at": rfc3339(fire_at),
        "max_retries": max_retries,
        "status": PUBLIC_STATUS[status],
        "created_at": rfc3339(created_at),
    }


def existing_job(state: JobState, spec: Spec) -> dict[str, Any]:
    """Return the same seven fields of a job that a request found, as it is now."""
    return created_job(
        state.job_id,
        spec,
        fire_at=state.scheduled_at,
        max_retries=state.max_retries,
        created_at=state.created_at,
        status=state.status,
    )


def job(state: JobState, spec: Spec, now: int, *, with_payload: bool, waits_until: int | None = None) -> dict[str, Any]:
    """
    Return the job object of `GET /v1/jobs/{job_id}`, as of *now* in ms since 1970.

    Args:
        with_payload: show headers and bodies, too.
        waits_until: the midnight until which it waits because the account's day is used up; None if it does not.
    """
    shown = job_item(state, spec, now)
    if waits_until is not None:
        shown["waiting_for"] = {"blocked_on": "daily_limit", "not_before": rfc3339(waits_until)}
    return shown | (_payload(spec) if with_payload else {})


def job_item(state: JobState, spec: Spec, now: int) -> dict[str, Any]:
    """Return the same without headers, body and webhook_headers, as lists show it."""
    # An attempt is due a little ahead of its instant: until that has come, nothing has started.
    has_started = state.started_at is not None and state.started_at <= now
    return {
        "id": state.job_id,
        "url": spec.url,
        "http_method": spec.method,
        "scheduled_at": rfc3339(state.scheduled_at),
        "max_retries": state.max_retries,
        "status": PUBLIC_STATUS[state.status],
        "created_at": rfc3339(state.created_at),
        "execution_count": state.attempt,
        "idempotency_key": state.idempotency_key,
        "webhook_url": spec.webhook_url,
        "schedule_id": state.schedule_id,
        "next_attempt_at": rfc3339(state.fire_at) if state.is_waiting and not state.held else None,
        "started_at": _instant(state.started_at) if has_started else None,
        "completed_at": _instant(state.completed_at),
        "last_status_code": state.last_status_code,
        "last_error": state.last_error,
    } | _more_of(state, spec)


def entity_tag(state: JobState) -> str:
    """Return the `ETag` of a job: its version."""
    return f'"v{state.version}"'


def _more_of(state: JobState, spec: Spec) -> dict[str, Any]:
    """Return the fields of a job that a plain one does not have, and why it ended."""
    shown: dict[str, Any] = shown_capture(spec.capture)
    if spec.webhook_retry is not None:
        shown["webhook_retry"] = shown_policy(spec.webhook_retry)
    more = state.more
    if more is not None and (more.retry, more.success_on, more.expires_at) != (None, None, None):
        shown["retry"] = shown_policy(more.retry)
        shown["success_on"] = list(more.success_on or ("2xx",))
        shown["expires_at"] = _instant(more.expires_at)
    if more is not None:
        for name in ("waiting_key", "singleton_key"):
            if (key := getattr(more, name)) is not None:
                shown[name] = key
    if state.labels:
        shown["labels"] = dict(state.labels)
    if state.ended_by is not None:
        shown["ended_by"] = state.ended_by
    return shown


def executions(job_id: str, rows: Iterable[ExecutionRow]) -> list[dict[str, Any]]:
    """Return the execution objects of a job's attempts; the fields of an outcome that is not known yet are null."""
    return [
        {
            "id": execution_id(job_id, row.attempt),
            "attempt_num": row.attempt,
            "status": None if row.ok is None else _execution_status(row.ok),
            "status_code": row.status_code,
            "duration_ms": row.duration_ms,
            "executed_at": rfc3339(row.executed_at),
            "error": None if row.ok else row.error,
        }
        | ({} if row.error_detail is None else {"error_detail": row.error_detail})
        | ({"resent": True} if row.resent else {})
        for row in rows
    ]


def trimmed(state: JobState, rows: Iterable[ExecutionRow]) -> dict[str, Any]:
    """Return what is known of a job whose first records are not in the log any more, beside those that are."""
    return {
        "trimmed": True,
        "status": PUBLIC_STATUS[state.status],
        "completed_at": _instant(state.completed_at),
        "executions": executions(state.job_id, rows),
    }


def timeline_entry(item: Event | Unknown | Unreadable, *, partition: int, position: int, at: int) -> dict[str, Any]:
    """
    Return one entry of a job's timeline.

    Args:
        position: the entry's number in this timeline. The record's place in the log would tell how much others do.
        at: when the log took the record; shown for records that cannot be read.
    """
    entry: dict[str, Any] = {"type": "", "at": rfc3339(at), "position": position, "partition": partition}
    if isinstance(item, Unknown | Unreadable):
        entry["type"] = item.type
        entry["readable"] = False
        return entry
    entry["type"] = kind_of(item).name
    entry["at"] = rfc3339(item.at)
    for name, value in msgspec.structs.asdict(item).items():
        if name in _NOT_IN_TIMELINE or (name in _ONLY_IF_GIVEN and (value is None or value is False)):
            continue
        if name == "retry":
            entry[name] = shown_policy(value)
        elif name.endswith("_at") or name in ("not_before", "until"):
            entry[name] = _instant(value)
        elif name == "status":
            entry[name] = _FINISHED_STATUS[value]
        else:
            entry[name] = value
    if isinstance(item, AttemptFinished) and item.outcome is not None:
        entry["note"] = _NOTES.get(item.outcome, item.outcome)
    if isinstance(item, JobScheduled | JobFinished | JobCancelled) and item.schedule_id is None:
        del entry["schedule_id"]
    if isinstance(item, ScheduleTicked):
        for name in _OF_SCHEDULE:  # the schedule's business, not this job's
            entry.pop(name, None)
    return entry


def _payload(spec: Spec) -> dict[str, Any]:
    return {"headers": spec.headers, "body": spec.body, "webhook_headers": spec.webhook_headers}


def _execution_status(ok: bool) -> str:
    return PUBLIC_STATUS[JobStatus.COMPLETED if ok else JobStatus.FAILED]


def _instant(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
