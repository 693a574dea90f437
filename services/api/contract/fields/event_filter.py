"""Event filter: which events of the account a stream tells. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from libs.domain.endpoints.webhook_event import EVENTS
from libs.events.ids import is_id
from services.api.contract.api_error import bad
from services.api.contract.fields.list_filters import labels_of

# What a stream tells of, by the names that stand in the types of its CloudEvents.
EVENT_TYPES: Final[Mapping[str, str]] = {
    "job.scheduled": "a job was created by a request",
    "attempt.due": "an attempt of a job is due, and its call leaves",
    "attempt.failed": EVENTS["attempt.failed"],
    "attempt.finished": EVENTS["attempt.finished"],
    "job.retry_scheduled": "the next attempt of a job is planned",
    "job.completed": EVENTS["job.completed"],
    "job.failed": EVENTS["job.failed"],
    "job.cancelled": EVENTS["job.cancelled"],
    "schedule.created": "a schedule was created",
    "schedule.missed": EVENTS["schedule.missed"],
    "schedule.skipped": EVENTS["schedule.skipped"],
    "schedule.autopaused": EVENTS["schedule.autopaused"],
}


class EventFilter(NamedTuple):
    """
    What is wanted.

    Args:
        types: any of them; empty for all.
        labels: all of them.
        schedule_id: of this schedule and its jobs alone; None: of any, or of none.
    """

    types: frozenset[str]
    labels: tuple[tuple[str, str], ...]
    schedule_id: str | None

    def takes(self, types: tuple[str, ...], schedule_id: str | None, labels: Mapping[str, str]) -> bool:
        """Whether an event of *types*, of a job or schedule with these facts, is wanted."""
        return (
            (not self.types or not self.types.isdisjoint(types))
            and self.schedule_id in (None, schedule_id)
            and all(labels.get(name) == value for name, value in self.labels)
        )


def event_filter(query: Any) -> EventFilter:
    """
    Return what *query*, a MultiDict, asks for.

    Raises:
        ApiError: 400 for a parameter that is wrong.
    """
    names = query["types"].split(",") if "types" in query else []
    for name in names:
        if name not in EVENT_TYPES:
            raise bad("invalid_parameter", f"types must be some of {', '.join(EVENT_TYPES)}, with commas between them")
    schedule_id = query.get("schedule_id")
    if schedule_id is not None and not is_id(schedule_id, "sched"):
        raise bad("invalid_parameter", "schedule_id must be the id of a schedule")
    return EventFilter(frozenset(names), labels_of(query), schedule_id)
