"""
Schedule runs: which ticks wait or are left out while a run is under way, and when a schedule pauses itself. Pure.

A *run* is a job of the schedule. It is under way until its end, retries included. A tick while one is:

    allow        spawns its job all the same
    skip         is skipped
    buffer_one   waits; the tick that waited before is skipped
    buffer_all   waits behind those that wait; if `buffer_max` wait, it is skipped
    replace      waits as with buffer_one, and the runs under way are stopped

Once a run has ended with a call that timed out, its target may still be at it: it counts for `grace_s` seconds more.

How a schedule learns of an end: the jobs of a schedule with such a policy are *tracked*. The last decision about a tracked job
(`job.finished`, `job.cancelled`) names the schedule and is folded into both, so no crash can come between the two.

What is owed, at once or at the end of a grace, in this order:

    so many failed runs in a row as `pause_after_failures`   -> schedule.autopaused
    a tick waits, and no run is under way                    -> schedule.spawned
    a tick waits, and overlap is `replace`                   -> schedule.run_stopped, one for each run under way

A pause drops the ticks that wait. A run that a caller asked for always starts; once it is under way, it counts. The jobs of a
back-fill do not: they are not tracked, and a tick whose slot has such a job begins no run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from libs.domain.schedules.optional_state import RECORDS_KEPT, ScheduleMore
from libs.domain.state_kind import AT_ONCE
from libs.events import (
    Event,
    JobCancelled,
    JobFinished,
    JobScheduled,
    RunPolicy,
    ScheduleAutopaused,
    ScheduleRunStopped,
    ScheduleSpawned,
    ScheduleTicked,
)
from libs.events.fields import MAX_INSTANT
from libs.events.ids import tick_job_id

if TYPE_CHECKING:
    from libs.domain.schedules.state import ScheduleState

ACTIVE_MAX: Final = 100  # runs under way that a schedule knows of; those that callers start beyond it do not count
_ALLOW: Final = RunPolicy()
_TIMEOUT: Final = "timeout"  # the error of a job whose last call did not end in time
_BY_CALLERS: Final = frozenset({"stopped", "replaced"})  # such an end says nothing about the target

RunDecision = ScheduleAutopaused | ScheduleSpawned | ScheduleRunStopped


class Placed(NamedTuple):
    """What becomes of a tick, and the ticks that are left out by it."""

    action: Literal["spawned", "skipped", "buffered"]
    reason: Literal["overlap", "buffer_full"] | None
    skipped: tuple[int, ...]


SPAWNED: Final = Placed("spawned", None, ())


def placed(more: ScheduleMore, tick_at: int, now: int) -> Placed:
    """Return what becomes of the tick at *tick_at*, decided at *now*, which would spawn its job if no run were under way."""
    overlap = _policy(more).overlap
    is_free = not more.active and not more.buffered and max(tick_at, now) >= (more.grace_until or 0)
    if overlap == "allow" or is_free:
        return SPAWNED
    if overlap == "skip":
        return Placed("skipped", "overlap", (tick_at,))
    if overlap == "buffer_all":
        if len(more.buffered) >= _policy(more).buffer_max:
            return Placed("skipped", "buffer_full", (tick_at,))
        return Placed("buffered", "overlap", ())
    return Placed("buffered", "overlap", more.buffered)


def owed_at(schedule: ScheduleState) -> int | None:
    """Return the instant from which `decision` has something to say: at once or the end of a grace; None if it has nothing."""
    if decision(schedule, AT_ONCE) is not None:
        return AT_ONCE
    return schedule.more.grace_until if schedule.more is not None and decision(schedule, MAX_INSTANT) else None


def decision(schedule: ScheduleState, now: int) -> RunDecision | None:
    """Return what is owed for *schedule* at *now*; None if nothing is."""
    more, schedule_id = schedule.more, schedule.schedule_id
    if more is None or not schedule.is_active:
        return None
    limit = _policy(more).pause_after_failures
    if limit and more.failures_in_row >= limit:
        return ScheduleAutopaused(
            schedule_id=schedule_id,
            account=schedule.account,
            at=now,
            failures=more.failures_in_row,
            version=more.version,
        )
    if not more.buffered or (not more.active and now < (more.grace_until or 0)):
        return None
    if not more.active:
        tick_at = more.buffered[0]
        return ScheduleSpawned(
            schedule_id=schedule_id,
            at=now,
            tick_at=tick_at,
            job_id=tick_job_id(schedule_id, tick_at),
            fire_at=max(now, tick_at),
        )
    running = next((job_id for job_id in more.active if job_id not in more.stopping), None)
    if _policy(more).overlap != "replace" or running is None:
        return None
    return ScheduleRunStopped(schedule_id=schedule_id, at=now, job_id=running)


def after_tick(more: ScheduleMore, event: ScheduleTicked) -> ScheduleMore:
    """Return what is known after a tick, as far as runs go."""
    if event.action == "spawned":
        return run_began(more, event.job_id)
    waiting = more.buffered
    if event.action == "buffered":
        waiting = (*(tick_at for tick_at in waiting if tick_at not in event.skipped), event.tick_at)
    return msgspec.structs.replace(
        more,
        buffered=waiting,
        last_slot_at=event.tick_at,
        skipped_count=more.skipped_count + len(event.skipped),
    )


def after_spawn(more: ScheduleMore, event: ScheduleSpawned) -> ScheduleMore | None:
    """Return what is known after a tick that waited has spawned its job; None if it does not wait."""
    if event.tick_at not in more.buffered:
        return None
    waiting = tuple(tick_at for tick_at in more.buffered if tick_at != event.tick_at)
    more = msgspec.structs.replace(more, buffered=waiting, run_count=more.run_count + 1, grace_until=None)
    return run_began(more, event.job_id)


def run_asked(more: ScheduleMore | None, event: JobScheduled) -> ScheduleMore | None:
    """Return what is known after a caller started a run."""
    return more if more is None or not event.is_tracked else run_began(more, event.job_id)


def run_began(more: ScheduleMore, job_id: str) -> ScheduleMore:
    """Return what is known after *job_id* was spawned; the same object if nobody asks for runs under way."""
    if _policy(more).overlap == "allow" or len(more.active) >= ACTIVE_MAX or job_id in more.active:
        return more
    return msgspec.structs.replace(more, active=(*more.active, job_id))


def began_nothing(state: ScheduleState, event: ScheduleTicked | ScheduleSpawned, position: int) -> ScheduleState:
    """Return *state* after *event* made no run that will tell of its end; the same object if it was not taken for one."""
    more = state.more
    if more is None or event.job_id not in more.active:
        return state
    more = msgspec.structs.replace(
        more, active=_without(more.active, event.job_id), stopping=_without(more.stopping, event.job_id)
    )
    return settled(msgspec.structs.replace(state, more=more), event, position)


def run_stopped(more: ScheduleMore | None, event: ScheduleRunStopped) -> ScheduleMore | None:
    """Return what is known after a run was asked to end; None if it has ended, or if no tick waits for that any more."""
    if more is None or event.job_id not in more.active or event.job_id in more.stopping or not more.buffered:
        return None
    return msgspec.structs.replace(more, stopping=(*more.stopping, event.job_id))


def run_ended(more: ScheduleMore | None, event: JobFinished | JobCancelled) -> ScheduleMore | None:
    """Return what is known after a run ended; the same object if that says nothing."""
    if more is None:
        return None
    failures = more.failures_in_row
    if isinstance(event, JobFinished) and _policy(more).pause_after_failures:
        if event.status == "completed":
            failures = 0
        elif event.ended_by not in _BY_CALLERS:
            failures += 1
    if failures == more.failures_in_row and event.job_id not in more.active:
        return more
    return msgspec.structs.replace(
        more,
        failures_in_row=failures,
        grace_until=_grace_until(more, event),
        active=_without(more.active, event.job_id),
        stopping=_without(more.stopping, event.job_id),
    )


def _grace_until(more: ScheduleMore, event: JobFinished | JobCancelled) -> int | None:
    is_timeout = isinstance(event, JobFinished) and event.last_error == _TIMEOUT and event.job_id in more.active
    if not is_timeout or not _policy(more).grace_s:
        return more.grace_until
    return max(more.grace_until or 0, event.at + _policy(more).grace_s * 1_000)


def is_to_pause(more: ScheduleMore | None, event: ScheduleAutopaused) -> bool:
    """Say whether as many runs failed in a row as the schedule allows, by the version that *event* names."""
    if more is None or more.version != event.version:
        return False
    limit = _policy(more).pause_after_failures
    return limit > 0 and more.failures_in_row >= limit


def paused(more: ScheduleMore | None) -> ScheduleMore | None:
    """Return what is known after a pause: no tick waits any more."""
    if more is None or not more.buffered:
        return more
    return msgspec.structs.replace(more, buffered=(), skipped_count=more.skipped_count + len(more.buffered))


def resumed(more: ScheduleMore | None) -> ScheduleMore | None:
    """Return what is known after the schedule was resumed: failures are counted anew."""
    if more is None or not more.failures_in_row:
        return more
    return msgspec.structs.replace(more, failures_in_row=0)


def policy_changed(more: ScheduleMore, runs: RunPolicy | None) -> ScheduleMore:
    """Return what is known after a change to *runs*; a run that is not tracked stays unknown."""
    if runs == more.runs:
        return more
    changed = msgspec.structs.replace(more, runs=runs, failures_in_row=0)
    if not _policy(changed).grace_s:
        changed = msgspec.structs.replace(changed, grace_until=None)
    if _policy(changed).overlap != "allow":
        return changed
    return msgspec.structs.replace(changed, active=(), stopping=())


def settled(state: ScheduleState, event: Event, position: int) -> ScheduleState:
    """Return *state* with what follows from it: whether something is owed (`owed_at`), and where *event* stands."""
    more = state.more
    if more is None:
        return state
    owes_now = decision(state, MAX_INSTANT) is not None
    offsets = more.offsets
    if _is_noted(event):
        offsets = (*offsets, position)[-RECORDS_KEPT:]
    if owes_now == more.owes_now and offsets is more.offsets:
        return state
    return msgspec.structs.replace(state, more=msgspec.structs.replace(more, owes_now=owes_now, offsets=offsets))


def _is_noted(event: Event) -> bool:
    """Say whether the timeline of a schedule finds *event* by its position; what spawned a job is found by the job."""
    if isinstance(event, ScheduleTicked):
        return event.action != "spawned"
    return not isinstance(event, ScheduleSpawned | JobScheduled | JobFinished | JobCancelled)


def _policy(more: ScheduleMore) -> RunPolicy:
    return more.runs or _ALLOW


def _without(ids: tuple[str, ...], gone: str) -> tuple[str, ...]:
    return tuple(each for each in ids if each != gone)
