"""Timeline: what the API answers about the records of one schedule. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from libs.domain.instants import rfc3339
from libs.domain.job import JobState
from libs.domain.schedule import ScheduleState
from libs.events import Event, ScheduleTicked, Unknown, Unreadable
from libs.events.codec import kind_of

# What every entry would repeat, what GET on the schedule shows, and what may hold secrets.
_LEFT_OUT: Final = frozenset(
    {
        *("schedule_id", "account", "at", "spec", "spec_id", "change_id", "after_at", "idempotency_key", "is_tracked"),
        *("rule", "policy", "terms", "runs", "retry", "success_on", "key"),
    }
)
_INSTANTS: Final = frozenset({"until"})


def newest(state: ScheduleState, jobs: Iterable[JobState], count: int) -> list[int]:
    """
    Return the positions of the newest *count* records about *state*, oldest first.

    A record that spawned a job is the first one of that job; of the others the row keeps the newest. Of a schedule without `more`
    it keeps the last one that changed it.
    """
    found = {job.offsets[0] for job in jobs if job.offsets} | {state.changed_at}
    if state.more is not None:
        found |= set(state.more.offsets)
    return sorted(found)[-count:]


def entry(item: Event | Unknown | Unreadable, *, partition: int, position: int, at: int) -> dict[str, Any]:
    """
    Return one entry of a schedule's timeline.

    Args:
        position: the entry's number in this answer. The record's place in the log would tell how much others do.
        at: when the log took the record; shown for records that cannot be read.
    """
    shown: dict[str, Any] = {"type": "", "at": rfc3339(at), "position": position, "partition": partition}
    if isinstance(item, Unknown | Unreadable):
        return shown | {"type": item.type, "readable": False}
    shown |= {"type": kind_of(item).name, "at": rfc3339(item.at)}
    for name, value in msgspec.structs.asdict(item).items():
        if name in _LEFT_OUT or value is None or value == ():
            continue
        if type(value) is tuple:
            shown[name] = [rfc3339(each) for each in value]
        elif name.endswith("_at") or name in _INSTANTS:
            shown[name] = rfc3339(value)
        else:
            shown[name] = value
    if isinstance(item, ScheduleTicked) and item.action != "spawned":
        del shown["job_id"]  # there is no such job yet, or there never will be
    return shown
