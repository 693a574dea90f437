"""
Schedule: a rule that spawns jobs, as a fold of its events, and what its partition's owner owes it.

    active <--resumed/paused--> paused
    active --changed | realigned--> active, paused --changed--> paused
    active --autopaused--> paused
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

Of jobs that it spawned, a schedule is told what it needs to know (libs/domain/schedules/runs.py): that they ended.

What is owed (`owed_at`, `decide`): what runs.py says; and an active schedule's tick, at its next run - lead, as the due
event of a job is. That of the spawned job follows at once. So a pause or deletion that is answered before the lead stops the call
(ADR 0015). Nothing is owed for a schedule that is paused, deleted or held. schedules/tick_decision.py says which tick it is.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from libs.domain.calendar.recorded_rule import ZoneLookup
from libs.domain.schedules import runs
from libs.domain.schedules.optional_state import CHANGES_KEPT, ScheduleMore, since
from libs.domain.schedules.realign import realigned
from libs.domain.schedules.state import ScheduleState
from libs.domain.schedules.status import MEANINGS, TRANSITIONS, ScheduleStatus
from libs.domain.schedules.tick_decision import local_time, rule_of_schedule, tick
from libs.domain.state_kind import AT_ONCE, StateKind
from libs.events import (
    Event,
    JobCancelled,
    JobFinished,
    JobScheduled,
    ScheduleAutopaused,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleRealigned,
    ScheduleResumed,
    ScheduleRunStopped,
    ScheduleSpawned,
    ScheduleTicked,
    Unreadable,
)
from libs.events.codec import kind_of
from libs.events.ids import changed_spec_id

__all__ = [
    "KIND",
    "MEANINGS",
    "TRANSITIONS",
    "ScheduleState",
    "ScheduleStatus",
    "create",
    "decide",
    "evolve",
    "hold",
    "is_overtaken",
    "owed_at",
]


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
            runs=event.runs,
            labels=event.labels,
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
    changed = _evolved(state, event, position)
    return changed if changed is state or changed.more is None else runs.settled(changed, event, position)


def _evolved(state: ScheduleState, event: Event, position: int) -> ScheduleState:
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
            more = runs.resumed(_moved(more, event))
            more = None if more is None else since(more, min(event.at, (event.next_tick_at or event.next_run_at) - 1))
            return _with(state, position, status=status, next_run_at=event.next_run_at, more=more)
        case SchedulePaused():
            return _paused(state, event, position)
        case ScheduleChanged():
            return _changed(state, event, position)
        case ScheduleDeleted():
            return _with(state, position, status=status, next_run_at=None)
        case ScheduleSpawned() | ScheduleRunStopped() | ScheduleAutopaused():
            return _of_runs(state, event, position)
        case JobScheduled() | JobFinished() | JobCancelled():
            more = state.more
            more = runs.run_asked(more, event) if isinstance(event, JobScheduled) else runs.run_ended(more, event)
            # The last change of the schedule itself stays what it was: `is_overtaken` asks for it.
            return state if more is state.more else msgspec.structs.replace(state, more=more)
        case _:  # pragma: no cover - TRANSITIONS names no other event
            return state


def hold(state: ScheduleState, _: Unreadable) -> ScheduleState:
    """Return the state after a record of this schedule that could not be read: the schedule stops, unless it is deleted."""
    if state.held or state.status == ScheduleStatus.DELETED:
        return state
    return msgspec.structs.replace(state, held=True)


def owed_at(state: ScheduleState, lead_ms: int) -> int | None:
    """Return the instant from which something is owed, a tick *lead_ms* early; None when nothing is."""
    if state.held or not state.is_active:
        return None
    tick_owed_at = None if state.next_run_at is None else max(state.next_run_at - lead_ms, AT_ONCE)
    run_owed_at = runs.owed_at(state) if state.owes_now else None
    if run_owed_at is None or tick_owed_at is None:
        return tick_owed_at if run_owed_at is None else run_owed_at
    return min(run_owed_at, tick_owed_at)


def decide(
    schedule: ScheduleState, now: int, jitter: float, retry_base_s: float, zones: ZoneLookup
) -> ScheduleTicked | ScheduleRealigned | runs.RunDecision | None:
    """Return what is owed for *schedule*; see `libs.domain.state_registry.decide`."""
    owed = runs.decision(schedule, now) if schedule.owes_now else None
    if owed is not None:
        rule = rule_of_schedule(schedule, zones) if isinstance(owed, ScheduleSpawned) else None
        if rule is None or not isinstance(owed, ScheduleSpawned):
            return owed
        return msgspec.structs.replace(owed, local_time=local_time(rule, owed.tick_at))
    return realigned(schedule, now, zones) or tick(schedule, now, jitter, retry_base_s, zones)


def is_overtaken(event: ScheduleTicked | ScheduleRealigned | runs.RunDecision, states: Mapping[str, Any]) -> bool:
    """
    Say whether *event*, which does not apply, is void, not a breach: its owner decided it before it read the last change.

    A pause that a change or a success overtook is void, and so is the stop of a run that ended, unless it was made twice. A tick
    that waited and spawned no job was dropped meanwhile.

    A tick is void if the schedule does not tick any more. If it does, look at the last change. If that was the tick that created
    this job, this tick is a duplicate: a breach. Otherwise a pause and a resume came first, and this tick is void.
    """
    schedule = states.get(event.schedule_id)
    if schedule is None:
        return False
    if isinstance(event, ScheduleAutopaused | ScheduleRealigned):
        return True
    if isinstance(event, ScheduleRunStopped):
        return schedule.more is None or event.job_id not in schedule.more.stopping
    job = states.get(event.job_id)
    if isinstance(event, ScheduleSpawned):
        return job is None
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
        return _with(state, position, status=ScheduleStatus.PAUSED, next_run_at=None, more=runs.paused(state.more))
    more = msgspec.structs.replace(_more_of(state), note=event.note, paused_until=event.until)
    if event.until is None:
        if state.status == ScheduleStatus.PAUSED and more == state.more:
            return state
        return _with(state, position, status=ScheduleStatus.PAUSED, next_run_at=None, more=runs.paused(more), cron="")
    expected = state.last_slot_at
    tick_at = event.next_tick_at or event.next_run_at
    if event.version != state.version or tick_at is None or tick_at <= expected:
        return state
    moved = runs.paused(msgspec.structs.replace(more, next_tick_at=event.next_tick_at, zone_data=event.zone_data))
    moved = None if moved is None else since(moved, event.until - 1)
    return _with(state, position, status=ScheduleStatus.ACTIVE, next_run_at=event.next_run_at, more=moved, cron="")


def _changed(state: ScheduleState, event: ScheduleChanged, position: int) -> ScheduleState:
    if event.version != state.version + 1:
        return state
    if event.after_at is not None and state.last_slot_at > event.after_at:
        return state  # a tick was made meanwhile: the next run that the event names may be that tick once more
    more = runs.policy_changed(_more_of(state), event.runs)
    more = msgspec.structs.replace(
        more,
        rule=event.rule,
        version=event.version,
        max_runs=event.max_runs,
        policy=event.policy,
        terms=event.terms,
        labels=event.labels,
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


def _of_runs(state: ScheduleState, event: runs.RunDecision, position: int) -> ScheduleState:
    """Return the state after a decision about its runs; the same object if something overtook that."""
    more = state.more
    if more is None:
        return state
    if isinstance(event, ScheduleAutopaused):
        if not runs.is_to_pause(more, event):
            return state
        note = f"paused after {event.failures} failed runs in a row"
        more = msgspec.structs.replace(more, note=note, paused_until=None)
        return _with(state, position, status=ScheduleStatus.PAUSED, next_run_at=None, more=runs.paused(more))
    if isinstance(event, ScheduleRunStopped):
        stopping = runs.run_stopped(more, event)
        return state if stopping is None else _with(state, position, more=stopping)
    spawned = runs.after_spawn(more, event)
    if spawned is None:
        return state
    return _with(state, position, last_run_at=max(state.last_run_at or 0, event.tick_at), more=spawned)


def _ticked(more: ScheduleMore | None, event: ScheduleTicked) -> ScheduleMore | None:
    if (moved := _moved(more, event)) is None:
        return None
    moved = runs.after_tick(moved, event)
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
        ScheduleSpawned,
        ScheduleRunStopped,
        ScheduleAutopaused,
        JobScheduled,
        JobFinished,
        JobCancelled,
    ),
    create=_first_state,
    evolve=evolve,
    hold=hold,
    owed_at=owed_at,
    decide=decide,
    timer="next_run_at",
    notes=(
        "A tick (`schedule.ticked`) spawns the job and moves `next_run_at` on in one event. After an outage the policy",
        "`misfire` says which missed ticks are made up for; by default the latest alone.",
    ),
    is_overtaken=is_overtaken,
)
