"""
Schedule: a cron rule that spawns jobs, as a fold of its events, and what its partition's owner owes it.

    active <--resumed/paused--> paused
    active | paused --deleted--> deleted

A tick is a decision: it spawns the job and moves `next_run_at` on, in one event. The next run is always read from the log,
never recomputed from history, so that a change of the cron evaluator cannot rewrite the past.

What is owed (`owed_at`, `decide`): an active schedule's tick, at its next run - lead, as the due event of a job is. That of the
spawned job follows at once. So a pause or deletion that is answered before the lead stops the call (ADR 0015). Nothing is owed
for a schedule that is paused, deleted or held.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

import msgspec

from libs.domain.calendar.cron import Cron, latest_at_or_before, next_after
from libs.domain.calendar.cron_text import CronError, parse
from libs.domain.state_kind import AT_ONCE, StateKind
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
from libs.events.ids import tick_job_id

MISSED_COUNT_MAX: Final = 100  # missed ticks are counted up to here, so that an outage of years does not cost seconds


class ScheduleStatus(IntEnum):
    """The numbers are stored in the tables and never change."""

    ACTIVE = 0
    PAUSED = 1
    DELETED = 2


MEANINGS: Final[Mapping[ScheduleStatus, str]] = {
    ScheduleStatus.ACTIVE: "spawns a job at every tick",
    ScheduleStatus.PAUSED: "spawns nothing until it is resumed; what it misses is not made up for",
    ScheduleStatus.DELETED: "gone: the API answers 404; its jobs stay",
}

# (status, stored name of the event) -> statuses it may lead to. What is not here does not apply.
TRANSITIONS: Final[Mapping[tuple[ScheduleStatus, str], tuple[ScheduleStatus, ...]]] = {
    (ScheduleStatus.ACTIVE, "schedule.ticked"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "schedule.paused"): (ScheduleStatus.PAUSED,),
    (ScheduleStatus.ACTIVE, "schedule.deleted"): (ScheduleStatus.DELETED,),
    (ScheduleStatus.PAUSED, "schedule.resumed"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.PAUSED, "schedule.deleted"): (ScheduleStatus.DELETED,),
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
    leads_to = TRANSITIONS.get((state.status, kind_of(event).name))
    if leads_to is None:
        return state
    status = leads_to[0]
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
    """Return the state after a record of this schedule that could not be read: the schedule stops, unless it is deleted."""
    if state.held or state.status == ScheduleStatus.DELETED:
        return state
    return msgspec.structs.replace(state, held=True)


def owed_at(state: ScheduleState, lead_ms: int) -> int | None:
    """Return the instant from which the next tick is owed, *lead_ms* early; None when none is."""
    if state.held or not state.is_active or state.next_run_at is None or _cron_of(state) is None:
        return None
    return max(state.next_run_at - lead_ms, AT_ONCE)


def decide(schedule: ScheduleState, now: int, jitter: float, retry_base_s: float) -> ScheduleTicked:
    """
    Return the tick that is owed for *schedule*; see `libs.domain.state_registry.decide`.

    Raises:
        ValueError: nothing is owed.
    """
    cron = _cron_of(schedule)
    if cron is None or schedule.next_run_at is None:
        raise ValueError(f"nothing is owed for {schedule.schedule_id}")
    tick_at = schedule.next_run_at
    missed = 0
    if tick_at < now:
        # After an outage only the latest missed tick fires; the others are counted and left out.
        latest = latest_at_or_before(cron, now, tick_at)
        if latest is not None and latest > tick_at:
            missed = _count_ticks(cron, tick_at, latest)
            tick_at = latest
    return ScheduleTicked(
        schedule_id=schedule.schedule_id,
        at=now,
        tick_at=tick_at,
        job_id=tick_job_id(schedule.schedule_id, tick_at),
        next_run_at=next_after(cron, tick_at),
        missed_count=missed,
    )


def _count_ticks(cron: Cron, first_at: int, end_at: int) -> int:
    """Return how many ticks there are from *first_at*, itself one, up to but not at *end_at*."""
    count = 0
    at: int | None = first_at
    while at is not None and at < end_at and count < MISSED_COUNT_MAX:
        count += 1
        at = next_after(cron, at)
    return count


def _cron_of(schedule: ScheduleState) -> Cron | None:
    """Return the parsed rule; None if this build cannot read it: such a schedule must not stop its partition."""
    try:
        return parse(schedule.cron)
    except CronError:
        return None


def is_overtaken(tick: ScheduleTicked, states: Mapping[str, Any]) -> bool:
    """
    Say whether *tick*, which does not apply, is void, not a breach: its owner decided it before it read the last change.

    This is so if the schedule does not tick any more. If it does, look at the last change. If that was the tick that created
    this job, this tick is a duplicate: a breach. Otherwise a pause and a resume came first, and this tick is void.
    """
    schedule, job = states.get(tick.schedule_id), states.get(tick.job_id)
    if schedule is None:
        return False
    return not schedule.is_active or job is None or job.offsets[:1] != (schedule.changed_at,)


def _first_state(event: Event, position: int, _: object) -> ScheduleState | None:
    return create(event, position) if isinstance(event, ScheduleCreated) else None


def _with(state: ScheduleState, position: int, **changes: object) -> ScheduleState:
    return msgspec.structs.replace(state, changed_at=position, **changes)


KIND: Final = StateKind(
    name="schedule",
    state=ScheduleState,
    statuses=MEANINGS,
    transitions=TRANSITIONS,
    key="schedule_id",
    id_kind="sched",
    events=(ScheduleCreated, SchedulePaused, ScheduleResumed, ScheduleDeleted, ScheduleTicked),
    create=_first_state,
    evolve=evolve,
    hold=hold,
    owed_at=owed_at,
    decide=decide,
    timer="next_run_at",
    notes=(
        "A tick (`schedule.ticked`) spawns the job and moves `next_run_at` on in one event. After an outage only the latest",
        "missed tick is made up for.",
    ),
    is_overtaken=is_overtaken,
)
