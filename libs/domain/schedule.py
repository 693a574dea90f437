"""
Schedule: a cron rule that spawns jobs, as a fold of its events.

    active <--resumed/paused--> paused
    active | paused --deleted--> deleted

A tick is a decision: it spawns the job and moves `next_run_at` on, in one event. The next run is always read from the log, never
recomputed from history, so that a change of the cron library cannot rewrite the past.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

import msgspec

from libs.events import (
    Event,
    ScheduleCreated,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTicked,
    Unreadable,
)
from libs.events.codec import kind_of


class ScheduleStatus(IntEnum):
    """The numbers are stored in the tables and never change."""

    ACTIVE = 0
    PAUSED = 1
    DELETED = 2


# (status, stored name of the event) -> status it leads to. What is not here does not apply.
TRANSITIONS: Final[Mapping[tuple[ScheduleStatus, str], ScheduleStatus]] = {
    (ScheduleStatus.ACTIVE, "schedule.ticked"): ScheduleStatus.ACTIVE,
    (ScheduleStatus.ACTIVE, "schedule.paused"): ScheduleStatus.PAUSED,
    (ScheduleStatus.ACTIVE, "schedule.deleted"): ScheduleStatus.DELETED,
    (ScheduleStatus.PAUSED, "schedule.resumed"): ScheduleStatus.ACTIVE,
    (ScheduleStatus.PAUSED, "schedule.deleted"): ScheduleStatus.DELETED,
}


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What is known of a schedule.

    Args:
        cron: the rule, five fields, UTC.
        next_run_at: instant of the next tick; None when the rule never fires again.
        last_run_at: instant of the last tick that spawned a job.
        changed_at: position of the last event that changed it.
        held: a record of this schedule could not be read; it spawns nothing until it can.
    """

    schedule_id: str
    account: str
    status: ScheduleStatus = ScheduleStatus.ACTIVE
    cron: str
    max_retries: int = 0
    timeout_ms: int = 30_000
    has_webhook: bool = False
    held: bool = False
    created_at: int
    next_run_at: int | None
    last_run_at: int | None = None
    changed_at: int

    @property
    def is_active(self) -> bool:
        """Whether it spawns jobs."""
        return self.status == ScheduleStatus.ACTIVE


def create(event: ScheduleCreated, position: int) -> ScheduleState:
    """Return the first state of a schedule."""
    return ScheduleState(
        schedule_id=event.schedule_id,
        account=event.account,
        cron=event.cron,
        max_retries=event.max_retries,
        timeout_ms=event.spec.timeout_ms,
        has_webhook=event.spec.webhook_url is not None,
        created_at=event.at,
        next_run_at=event.next_run_at,
        changed_at=position,
    )


def evolve(state: ScheduleState, event: Event, position: int) -> ScheduleState:
    """
    Return the state after *event*, which stands at *position*; the same object when it does not apply.

    Admission is not checked here: only admitted decisions may be passed in.
    """
    status = TRANSITIONS.get((state.status, kind_of(event).name))
    if status is None:
        return state
    match event:
        case ScheduleTicked():
            if state.next_run_at is None or event.tick_at < state.next_run_at:
                return state
            if event.next_run_at is not None and event.next_run_at <= event.tick_at:
                return state
            return _with(state, position, next_run_at=event.next_run_at, last_run_at=event.tick_at)
        case ScheduleResumed():
            return _with(state, position, status=status, next_run_at=event.next_run_at)
        case SchedulePaused() | ScheduleDeleted():
            return _with(state, position, status=status, next_run_at=None)
        case _:  # pragma: no cover - TRANSITIONS names no other event
            return state


def hold(state: ScheduleState, _: Unreadable) -> ScheduleState:
    """Return the state after a record of this schedule that could not be read: it stops, unless it is deleted."""
    if state.held or state.status == ScheduleStatus.DELETED:
        return state
    return msgspec.structs.replace(state, held=True)


def _with(state: ScheduleState, position: int, **changes: object) -> ScheduleState:
    return msgspec.structs.replace(state, changed_at=position, **changes)
