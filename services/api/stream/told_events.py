"""
Told events: what the stream says of a record, as CloudEvents. Pure.

Whose job a record is about does not stand in each record. *Facts* say it: of records that have them, and of the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from libs.domain.endpoints.webhook_event import Attempt, of_attempt, of_autopause, of_end, of_tick
from libs.domain.instants import rfc3339
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Event,
    JobCancelled,
    JobFinished,
    JobRetryScheduled,
    JobScheduled,
    ScheduleAutopaused,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleTicked,
)

# The records that the stream reads; all others are passed over without being decoded.
RECORDS: Final = frozenset(
    {
        *("job.scheduled", "attempt.due", "attempt.finished", "job.retry_scheduled", "job.finished", "job.cancelled"),
        *("schedule.created", "schedule.defined", "schedule.ticked", "schedule.autopaused"),
    }
)
NO_LABELS: Final[Mapping[str, str]] = {}


class Facts(NamedTuple):
    """Of a job or a schedule: whose it is, the schedule that it belongs to, its labels."""

    account: str
    schedule_id: str | None = None
    labels: Mapping[str, str] = NO_LABELS


class Told(NamedTuple):
    """
    One event, as a stream tells it.

    Args:
        types: its names in `EVENT_TYPES`, the most exact one first.
        facts: by which streams choose.
        text: the CloudEvent, as JSON.
    """

    types: tuple[str, ...]
    facts: Facts
    text: bytes


def subject_of(event: Event) -> str | None:
    """Return the id of the job or schedule that *event* tells of; None if it tells of nothing."""
    match event:
        case ScheduleTicked():
            return event.schedule_id if event.missed_count or event.skipped else None
        case ScheduleCreated() | ScheduleDefined() | ScheduleAutopaused():
            return event.schedule_id
        case JobScheduled() | AttemptDue() | AttemptFinished() | JobRetryScheduled() | JobFinished() | JobCancelled():
            return event.job_id
        case _:
            return None


def account_of(event: Event) -> str | None:
    """Return whose *event* is, if that stands in it."""
    account: str | None = getattr(event, "account", None)
    return account


def facts_in(event: Event) -> Facts | None:
    """Return the facts that stand in *event*; None unless all of them do."""
    match event:
        case JobScheduled():
            return Facts(event.account, event.schedule_id, event.labels or NO_LABELS)
        case ScheduleDefined():
            return Facts(event.account, event.schedule_id, event.labels or NO_LABELS)
        case ScheduleCreated():
            return Facts(event.account, event.schedule_id)
        case _:
            return None


def told(event: Event, facts: Facts, new_id: Callable[[str], str]) -> list[Told]:
    """
    Return what a stream says of *event*.

    Args:
        facts: of the job or schedule that `subject_of` names.
        new_id: makes the event's id of what tells it from all others: a fact that stands in the log twice has one id.
    """
    return [
        Told(types, facts, _cloud_event(types[0], at, subject, data, new_id(f"{types[0]} {subject} {which}")))
        for types, at, subject, which, data in _said(event, facts)
    ]


_Said = tuple[tuple[str, ...], int, str, int, dict[str, Any]]  # types, instant, subject, which of its kind, data


def _said(event: Event, facts: Facts) -> list[_Said]:
    more: dict[str, Any] = {"schedule_id": facts.schedule_id, "labels": dict(facts.labels)}
    match event:
        case JobScheduled():
            data = {"job_id": event.job_id, "scheduled_at": rfc3339(event.fire_at)}
            return [(("job.scheduled",), event.at, event.job_id, 0, data | more)]
        case AttemptDue():
            due: dict[str, Any] = {
                "job_id": event.job_id,
                "execution_id": event.execution_id,
                "attempt_num": event.attempt,
                "scheduled_at": rfc3339(event.scheduled_at),
                "due_at": rfc3339(event.not_before),
            }
            return [(("attempt.due",), event.at, event.job_id, event.attempt, due | more)]
        case AttemptFinished():
            attempt = Attempt(
                event.job_id,
                event.attempt,
                event.ok,
                event.status_code,
                event.error,
                event.duration_ms,
                event.started_at,
            )
            said = of_attempt(attempt, at=event.at, schedule_id=facts.schedule_id, host=None)
            return [(said.names, event.at, event.job_id, event.attempt, dict(said.data) | more)]
        case JobRetryScheduled():
            again: dict[str, Any] = {
                "job_id": event.job_id,
                "attempt_num": event.attempt,
                "next_attempt_at": rfc3339(event.fire_at),
            }
            return [(("job.retry_scheduled",), event.at, event.job_id, event.attempt, again | more)]
        case JobFinished() | JobCancelled():
            said = of_end(event, schedule_id=facts.schedule_id, host=None)
            return [(said.names, event.at, event.job_id, 0, dict(said.data) | more)]
        case ScheduleCreated() | ScheduleDefined():
            data = {"schedule_id": event.schedule_id, "next_run_at": rfc3339(event.next_run_at)}
            return [(("schedule.created",), event.at, event.schedule_id, 0, data | {"labels": more["labels"]})]
        case ScheduleTicked():
            return [
                (each.names, event.at, event.schedule_id, event.tick_at, dict(each.data) | {"labels": more["labels"]})
                for each in of_tick(event)
            ]
        case ScheduleAutopaused():
            data = dict(of_autopause(event).data) | {"labels": more["labels"]}
            return [(("schedule.autopaused",), event.at, event.schedule_id, event.at, data)]
        case _:
            return []


def _cloud_event(name: str, at: int, subject: str, data: dict[str, Any], event_id: str) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": event_id,
            "type": f"sh.fliq.{name}.v1",
            "source": "/v1/jobs" if subject.startswith("job_") else "/v1/schedules",
            "subject": subject,
            "time": rfc3339(at),
            "datacontenttype": "application/json",
            "data": data,
        }
    )
