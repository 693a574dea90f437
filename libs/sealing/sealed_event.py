"""Sealed event: finds the spec in an event, and the id under which the fold will keep it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from libs.events import (
    JobChangeRequested,
    JobMergeRequested,
    JobScheduled,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    Spec,
)
from libs.events.ids import changed_spec_id
from libs.sealing.sealed_spec import clear_part

E = TypeVar("E", bound=msgspec.Struct)


def sealed_event(event: E, seal: Callable[[Spec, str], Spec]) -> E:
    """
    Return *event* with its spec sealed; an event without one is returned as it is.

    Of a spec that is kept already, under the id of another job or a schedule, only what may stand in clear is left.

    Args:
        seal: (spec, the id under which it is kept) -> the sealed spec.
    """
    if isinstance(event, JobScheduled):
        spec = seal(event.spec, event.job_id) if event.spec_id is None else clear_part(event.spec)
    elif isinstance(event, ScheduleCreated | ScheduleDefined):
        spec = seal(event.spec, event.schedule_id)
    elif isinstance(event, ScheduleChanged) and event.spec is not None:
        spec = seal(event.spec, changed_spec_id(event.schedule_id, event.version))
    elif isinstance(event, JobChangeRequested | JobMergeRequested) and event.spec is not None:
        assert event.new_spec_id is not None  # noqa: S101 - a request that brings a spec says where it is kept
        spec = seal(event.spec, event.new_spec_id)
    else:
        return event
    return msgspec.structs.replace(event, spec=spec)
