"""
Schedule: a rule that spawns jobs, as a fold of its events, and what its partition's owner owes it.

    active <--resumed/paused--> paused
    active --changed | realigned--> active, paused --changed--> paused
    active | paused --deleted--> deleted

A tick is a decision: it spawns the job and moves `next_run_at` on, in one event. The next run is always read from the log,
never recomputed from history, so that neither a change of the evaluator nor one of the zone data can rewrite the past. The fold
needs no zone data at all.

A rule of five fields in UTC, as the first builds know it, stands in `cron`. Every other rule stands in `more`, and `cron` is empty:
an older build cannot read that, so it never ticks such a schedule by another rule than its own.

A pause with an end moves `next_run_at` to the first run from that end on, and the schedule stays active: so it goes on by itself,
and nobody has to wake it.

A change makes the next version (`ScheduleChanged`). A tick, a resume and a pause with an end that were decided by another version
are void: of a change and a tick that cross, the one that stands first in the log counts.

What is owed (`owed_at`, `decide`): an active schedule's tick, at its next run - lead, as the due event of a job is. That of the
spawned job follows at once. So a pause or deletion that is answered before the lead stops the call (ADR 0015). Nothing is owed
for a schedule that is paused, deleted or held. Which tick it is says libs/domain/schedule_ticks.py.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

import msgspec

from libs.domain.calendar.recorded_rule import ZoneLookup
from libs.domain.schedule_ticks import tick
from libs.domain.schedules.more import CHANGES_KEPT, ScheduleMore, since
from libs.domain.schedules.realign import realigned
from libs.domain.state_kind import AT_ONCE, StateKind
from libs.events import (
    Event,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleRealigned,
    ScheduleResumed,
    ScheduleRule,
    ScheduleTicked,
    Unreadable,
)
from libs.events.codec import kind_of
from libs.events.ids import changed_spec_id


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
    (ScheduleStatus.ACTIVE, "schedule.realigned"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "schedule.changed"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "schedule.paused"): (ScheduleStatus.PAUSED, ScheduleStatus.ACTIVE),
    (ScheduleStatus.ACTIVE, "schedule.resumed"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "schedule.deleted"): (ScheduleStatus.DELETED,),
    (ScheduleStatus.PAUSED, "schedule.changed"): (ScheduleStatus.PAUSED,),
    (ScheduleStatus.PAUSED, "schedule.paused"): (ScheduleStatus.PAUSED, ScheduleStatus.ACTIVE),
    (ScheduleStatus.PAUSED, "schedule.resumed"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.PAUSED, "schedule.deleted"): (ScheduleStatus.DELETED,),
}


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What is known of a schedule.

    Args:
        cron: the rule, five fields, UTC; empty if it stands in *more*.
        next_run_at: when the next call is made; None while it is paused, and after the last tick.
        last_run_at: instant of the last tick that spawned a job.
        changed_at: position of the last event that changed it.
        held: a record of this schedule could not be read; it spawns nothing until it can.
        more: what else was asked for; None for a schedule of `schedule.created`.
        changed_spec_id: the id under which the spec of its next jobs is kept, if a change brought it.
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
    more: ScheduleMore | None = None
    changed_spec_id: str | None = None

    @property
    def rule(self) -> ScheduleRule:
        """When it ticks."""
        return ScheduleRule(cron=self.cron) if self.more is None else self.more.rule

    @property
    def spec_id(self) -> str:
        """The id under which the spec of its next jobs is kept."""
        return self.changed_spec_id or self.schedule_id

    def is_paused_at(self, now: int) -> bool:
        """Whether it spawns nothing until it is resumed, or until an instant after *now*."""
        until = None if self.more is None else self.more.paused_until
        return self.status == ScheduleStatus.PAUSED or (self.is_active and until is not None and until > now)

    @property
    def is_active(self) -> bool:
        """Whether it spawns jobs."""
        return self.status == ScheduleStatus.ACTIVE

    @property
    def version(self) -> int:
        """1, and one more with each change; 0 for a schedule of `schedule.created` that was never changed."""
        return 0 if self.more is None else self.more.version

    @property
    def next_tick_at(self) -> int | None:
        """The next tick: that of `next_run_at`, and earlier than it if the calls are spread."""
        if self.next_run_at is None or self.more is None or self.more.next_tick_at is None:
            return self.next_run_at
        return self.more.next_tick_at

    @property
    def since_at(self) -> int:
        """The instant after which the next tick is looked for."""
        since_at = self.created_at if self.last_run_at is None else self.last_run_at
        return since_at if self.more is None else max(since_at, self.more.since_at or 0)


def create(event: ScheduleCreated | ScheduleDefined, position: int) -> ScheduleState:
    """Return the first state of a schedule."""
    more = None
    if isinstance(event, ScheduleDefined):
        more = ScheduleMore(
            rule=event.rule,
            next_tick_at=event.next_tick_at,
            zone_data=event.zone_data,
            max_runs=event.max_runs,
            key=event.key,
            policy=event.policy,
            terms=event.terms,
        )
    return ScheduleState(
        schedule_id=event.schedule_id,
        account=event.account,
        cron=event.cron if isinstance(event, ScheduleCreated) else "",
        more=more,
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
            expected = state.next_tick_at
            if expected is None or event.tick_at < expected or event.version != state.version:
                return state
            if event.next_run_at is not None and event.next_run_at <= event.tick_at:
                return state
            more = _ticked(state.more, event)
            last_run_at = event.tick_at if event.action == "spawned" else state.last_run_at
            return _with(state, position, next_run_at=event.next_run_at, last_run_at=last_run_at, more=more)
        case ScheduleRealigned():
            more = state.more
            if more is None or event.version != state.version or event.was_tick_at != state.next_tick_at:
                return state
            more = msgspec.structs.replace(more, next_tick_at=event.next_tick_at, zone_data=event.zone_data)
            return _with(state, position, next_run_at=event.next_run_at, more=more)
        case ScheduleResumed():
            more = state.more
            is_paused = state.status == ScheduleStatus.PAUSED or (more is not None and more.paused_until is not None)
            if event.version != state.version or not is_paused:
                return state
            more = _moved(more, event)
            more = None if more is None else since(more, min(event.at, (event.next_tick_at or event.next_run_at) - 1))
            return _with(state, position, status=status, next_run_at=event.next_run_at, more=more)
        case SchedulePaused():
            return _paused(state, event, position)
        case ScheduleChanged():
            return _changed(state, event, position)
        case ScheduleDeleted():
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
    if state.held or not state.is_active or state.next_run_at is None:
        return None
    return max(state.next_run_at - lead_ms, AT_ONCE)


def decide(
    schedule: ScheduleState, now: int, jitter: float, retry_base_s: float, zones: ZoneLookup
) -> ScheduleTicked | ScheduleRealigned | None:
    """Return what is owed: the tick, or that it is at another instant; see `libs.domain.state_registry.decide`."""
    return realigned(schedule, now, zones) or tick(schedule, now, jitter, retry_base_s, zones)


def is_overtaken(tick: ScheduleTicked | ScheduleRealigned, states: Mapping[str, Any]) -> bool:
    """
    Say whether *tick*, which does not apply, is void, not a breach: its owner decided it before it read the last change.

    This is so if the schedule does not tick any more. If it does, look at the last change. If that was the tick that created
    this job, this tick is a duplicate: a breach. Otherwise a pause and a resume came first, and this tick is void.
    """
    schedule = states.get(tick.schedule_id)
    if schedule is None:
        return False
    if isinstance(tick, ScheduleRealigned):
        return True
    job = states.get(tick.job_id)
    return not schedule.is_active or job is None or job.offsets[:1] != (schedule.changed_at,)


def _first_state(event: Event, position: int, _: object) -> ScheduleState | None:
    return create(event, position) if isinstance(event, ScheduleCreated | ScheduleDefined) else None


def _moved(more: ScheduleMore | None, event: ScheduleTicked | ScheduleResumed) -> ScheduleMore | None:
    if more is None:
        return None
    return msgspec.structs.replace(
        more, next_tick_at=event.next_tick_at, zone_data=event.zone_data, paused_until=None, note=None
    )


def _more_of(state: ScheduleState) -> ScheduleMore:
    """Return what is known besides; of a schedule of `schedule.created` it begins with this event, which makes version 1."""
    return state.more or ScheduleMore(rule=state.rule)


def _paused(state: ScheduleState, event: SchedulePaused, position: int) -> ScheduleState:
    is_plain = event == SchedulePaused(schedule_id=event.schedule_id, at=event.at)  # as older builds write and read it
    if is_plain:
        if state.status == ScheduleStatus.PAUSED:
            return state
        return _with(state, position, status=ScheduleStatus.PAUSED, next_run_at=None)
    more = msgspec.structs.replace(_more_of(state), note=event.note, paused_until=event.until)
    if event.until is None:
        if state.status == ScheduleStatus.PAUSED and more == state.more:
            return state
        return _with(state, position, status=ScheduleStatus.PAUSED, next_run_at=None, more=more, cron="")
    expected = state.last_run_at or 0
    tick_at = event.next_tick_at or event.next_run_at
    if event.version != state.version or tick_at is None or tick_at <= expected:
        return state
    more = msgspec.structs.replace(more, next_tick_at=event.next_tick_at, zone_data=event.zone_data)
    more = since(more, event.until - 1)
    return _with(state, position, status=ScheduleStatus.ACTIVE, next_run_at=event.next_run_at, more=more, cron="")


def _changed(state: ScheduleState, event: ScheduleChanged, position: int) -> ScheduleState:
    if event.version != state.version + 1:
        return state
    if event.after_at is not None and (state.last_run_at or 0) > event.after_at:
        return state  # a tick was made meanwhile: the next run that the event names may be that tick once more
    more = _more_of(state)
    more = msgspec.structs.replace(
        more,
        rule=event.rule,
        version=event.version,
        max_runs=event.max_runs,
        policy=event.policy,
        terms=event.terms,
        change_ids=(*more.change_ids, event.change_id)[-CHANGES_KEPT:],
    )
    changes: dict[str, object] = {"cron": "", "max_retries": event.max_retries}
    if event.after_at is not None:
        more = msgspec.structs.replace(more, next_tick_at=event.next_tick_at, zone_data=event.zone_data)
        more = since(more, max(event.after_at, (more.paused_until or 1) - 1))
        changes["next_run_at"] = None if state.status == ScheduleStatus.PAUSED else event.next_run_at
    if event.spec is not None:
        changes["timeout_ms"] = event.spec.timeout_ms
        changes["has_webhook"] = event.spec.webhook_url is not None
        changes["changed_spec_id"] = changed_spec_id(state.schedule_id, event.version)
    return _with(state, position, more=more, **changes)


def _ticked(more: ScheduleMore | None, event: ScheduleTicked) -> ScheduleMore | None:
    if (moved := _moved(more, event)) is None:
        return None
    return msgspec.structs.replace(
        moved,
        run_count=moved.run_count + (event.action == "spawned"),
        missed_count=moved.missed_count + event.missed_count,
        since_at=None if event.action == "spawned" else since(moved, event.tick_at).since_at,
        is_catching_up=event.trigger == "catchup" and event.next_run_at is not None and event.next_run_at <= event.at,
    )


def _with(state: ScheduleState, position: int, **changes: object) -> ScheduleState:
    return msgspec.structs.replace(state, changed_at=position, **changes)


KIND: Final = StateKind(
    name="schedule",
    state=ScheduleState,
    statuses=MEANINGS,
    transitions=TRANSITIONS,
    key="schedule_id",
    id_kind="sched",
    events=(
        ScheduleCreated,
        ScheduleDefined,
        ScheduleChanged,
        SchedulePaused,
        ScheduleResumed,
        ScheduleDeleted,
        ScheduleTicked,
        ScheduleRealigned,
    ),
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
