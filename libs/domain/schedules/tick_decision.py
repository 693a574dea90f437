"""
Schedule ticks: which tick the owner owes a schedule, and what it decides about it. Pure.

A *tick* is an instant that the rule names; it names the slot, and so the job's id. The call is made at the tick, or later by the
rule's spread. Of several ticks whose calls are due the policy says which are made up for: the latest alone, unless it says
otherwise. The others are missed: they stand in the event, and are counted.

Cost.  A tick costs the search for the next one, at most 0.4 ms for the dearest rule that can be asked for (ADR 0017), and the
search for missed ticks: it goes over the time of the outage once, and stops after `MISSED_COUNT_MAX` ticks; at the beginning of a
catch-up it goes back over at most `catchup_max` ticks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from libs.domain.calendar.recorded_rule import ZoneLookup, rule_of, rule_of_cron
from libs.domain.calendar.rule import Interval, Rule, Spread
from libs.domain.schedules.runs import SPAWNED, Placed, placed
from libs.events import SchedulePolicy, ScheduleTicked
from libs.events.ids import tick_job_id

if TYPE_CHECKING:
    from libs.domain.schedules.state import ScheduleState

MISSED_COUNT_MAX: Final = 100  # missed ticks are counted up to here, so that an outage of years does not cost seconds
LATE_MS: Final = 60_000  # a tick that is decided later than this is made up for, by its policy
# Calls that are made up for are spread over half a minute, each schedule's by the same delay, so that its own stay in their order:
# after an outage a thousand schedules must not call at the same moment. A plain schedule calls at once, as it always did.
CATCHUP_SPREAD: Final = Spread(seconds=30)
_FIRE_ONCE: Final = SchedulePolicy()
_LATE: Final = Placed("skipped", None, ())


class NextRun(NamedTuple):
    """
    When a schedule runs next.

    Args:
        run_at: when the call is made; None if there is none within five years.
        tick_at: the tick, if the call is made later than it.
        zone_data: version of the zone data that was asked; empty if none was.
    """

    run_at: int | None
    tick_at: int | None
    zone_data: str


def next_run(rule: Rule, schedule_id: str, after: int) -> NextRun:
    """
    Return the first run of *rule* whose tick is after *after*.

    Raises:
        ValueError: *after* is not an instant in 1970-2199.
    """
    zone_data = "" if isinstance(rule.when, Interval) else rule.when.zone.version
    tick_at = rule.next_after(after)
    if tick_at is None:
        return NextRun(None, None, zone_data)
    run_at = rule.fire_at(schedule_id, tick_at)
    return NextRun(run_at, None if run_at == tick_at else tick_at, zone_data)


def rule_of_schedule(schedule: ScheduleState, zones: ZoneLookup) -> Rule | None:
    """Return its rule; None if this build cannot read it, or if *zones* does not know its zone."""
    return rule_of_cron(schedule.cron) if schedule.more is None else rule_of(schedule.more.rule, zones)


def tick(
    schedule: ScheduleState, now: int, jitter: float, retry_base_s: float, zones: ZoneLookup
) -> ScheduleTicked | None:
    """
    Return the tick that is owed for *schedule*; see `libs.domain.state_registry.decide`.

    None if the rule cannot be read here: such a schedule waits for another build, and must not stop its partition.

    Raises:
        ValueError: nothing is owed.
    """
    tick_at = schedule.next_tick_at
    if tick_at is None:
        raise ValueError(f"nothing is owed for {schedule.schedule_id}")
    rule = rule_of_schedule(schedule, zones)
    if rule is None:
        return None
    plan = _plan(rule, schedule, now, tick_at)
    more = schedule.more
    slot = _LATE
    if plan.is_made:
        slot = SPAWNED if more is None or more.runs is None else placed(more, plan.tick_at, now)
    is_spawned = slot.action == "spawned"
    following = next_run(rule, schedule.schedule_id, plan.tick_at)
    if more is not None and more.max_runs is not None:
        waiting = len(more.buffered) + (slot.action == "buffered") * (1 - len(slot.skipped))
        if more.run_count + waiting + is_spawned >= more.max_runs:
            following = NextRun(None, None, following.zone_data)
    fire_at = rule.fire_at(schedule.schedule_id, plan.tick_at)
    # The last of a catch-up waits like the others, so that it does not overtake them.
    is_late = more is not None and (more.is_catching_up or now - fire_at > LATE_MS)
    if is_late:
        fire_at = now + CATCHUP_SPREAD.delay_ms(schedule.schedule_id, 0)
    return ScheduleTicked(
        schedule_id=schedule.schedule_id,
        at=now,
        tick_at=plan.tick_at,
        job_id=tick_job_id(schedule.schedule_id, plan.tick_at),
        next_run_at=following.run_at,
        missed_count=len(plan.missed),
        fire_at=fire_at if is_spawned and fire_at != plan.tick_at else None,
        next_tick_at=following.tick_at,
        zone_data=following.zone_data,
        version=schedule.version,
        action=slot.action,
        trigger="catchup" if is_late and plan.is_made else "schedule",
        missed=plan.missed
        if more is not None
        else (),  # those of a plain schedule are only counted, as they always were
        local_time=local_time(rule, plan.tick_at) if is_spawned else None,
        reason=slot.reason,
        skipped=slot.skipped,
    )


def local_time(rule: Rule, at: int) -> str | None:
    """Return what a clock on the wall of the rule's time zone shows at *at*; None if the rule has none but UTC."""
    if isinstance(rule.when, Interval) or rule.when.zone.name == "UTC":
        return None
    return rule.when.zone.local_text(at // 1_000)


class _Plan(NamedTuple):
    """The tick to decide, whether it spawns its job, and the ticks that are missed (of a skipped one: itself, too)."""

    tick_at: int
    is_made: bool
    missed: tuple[int, ...]


def _plan(rule: Rule, schedule: ScheduleState, now: int, tick_at: int) -> _Plan:
    """Say which tick of those that are due at *now* is decided, by the schedule's policy; *tick_at* is the oldest."""
    schedule_id = schedule.schedule_id
    policy = (schedule.more.policy if schedule.more is not None else None) or _FIRE_ONCE
    latest_at = _latest_due(rule, schedule_id, now, tick_at)
    since = tick_at if policy.window_s is None else now - policy.window_s * 1_000
    if policy.misfire == "fire_all":
        first_at = tick_at
        if since > tick_at:
            first_at = min(rule.next_after(since - 1) or latest_at, latest_at)
        if schedule.more is not None and not schedule.more.is_catching_up:
            first_at = _newest(rule, first_at, latest_at, policy.catchup_max)
        return _Plan(first_at, True, _ticks(rule, tick_at, first_at))
    is_made = latest_at >= since
    if policy.misfire == "skip":
        is_made = now - rule.fire_at(schedule_id, latest_at) <= LATE_MS
    missed = _ticks(rule, tick_at, latest_at)
    return _Plan(latest_at, is_made, missed if is_made else (*missed, latest_at)[-MISSED_COUNT_MAX:])


def _newest(rule: Rule, first_at: int, latest_at: int, count: int) -> int:
    """Return the first of the *count* newest ticks in [*first_at*, *latest_at*], both of which are ticks."""
    found_at = latest_at
    for _ in range(count - 1):
        before_at = rule.latest_at_or_before(found_at - 1, first_at) if found_at > first_at else None
        if before_at is None:
            return found_at
        found_at = before_at
    return found_at


def _latest_due(rule: Rule, schedule_id: str, now: int, tick_at: int) -> int:
    """Return the latest tick from *tick_at* on whose call is due at *now*; *tick_at* itself if none is."""
    if tick_at >= now:
        return tick_at
    latest_at = rule.latest_at_or_before(now, tick_at)
    if latest_at is not None and latest_at > tick_at and rule.fire_at(schedule_id, latest_at) > now:
        latest_at = rule.latest_at_or_before(latest_at - 1, tick_at)  # the call of the very last is still to come
    return tick_at if latest_at is None else max(latest_at, tick_at)


def _ticks(rule: Rule, first_at: int, end_at: int) -> tuple[int, ...]:
    """Return the ticks from *first_at*, itself one, up to but not at *end_at*; the oldest `MISSED_COUNT_MAX` at most."""
    found: list[int] = []
    at: int | None = first_at
    while at is not None and at < end_at and len(found) < MISSED_COUNT_MAX:
        found.append(at)
        at = rule.next_after(at)
    return tuple(found)
