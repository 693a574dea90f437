"""
Schedule ticks: which tick the owner owes a schedule, and what it decides about it. Pure.

A *tick* is an instant that the rule names; it names the slot, and so the job's id. The call is made at the tick, or later by the
rule's spread. After an outage only the latest tick whose call is due spawns a job; the others are missed, and counted.

Cost.  A tick costs the search for the next one, at most 0.4 ms for the dearest rule that can be asked for (ADR 0017), and the
count of missed ticks: the search goes over the time of the outage once, and stops after `MISSED_COUNT_MAX` ticks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from libs.domain.calendar.recorded_rule import ZoneLookup, rule_of, rule_of_cron
from libs.domain.calendar.rule import Interval, Rule
from libs.events import ScheduleTicked
from libs.events.ids import tick_job_id

if TYPE_CHECKING:
    from libs.domain.schedule import ScheduleState

MISSED_COUNT_MAX: Final = 100  # missed ticks are counted up to here, so that an outage of years does not cost seconds


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
    latest_at = _latest_due(rule, schedule.schedule_id, now, tick_at)
    missed_count = _count_ticks(rule, tick_at, latest_at)
    more = schedule.more
    following = next_run(rule, schedule.schedule_id, latest_at)
    if more is not None and more.max_runs is not None and more.run_count + 1 >= more.max_runs:
        following = NextRun(None, None, following.zone_data)
    fire_at = rule.fire_at(schedule.schedule_id, latest_at)
    return ScheduleTicked(
        schedule_id=schedule.schedule_id,
        at=now,
        tick_at=latest_at,
        job_id=tick_job_id(schedule.schedule_id, latest_at),
        next_run_at=following.run_at,
        missed_count=missed_count,
        fire_at=None if fire_at == latest_at else fire_at,
        next_tick_at=following.tick_at,
        zone_data=following.zone_data,
        version=schedule.version,
    )


def _latest_due(rule: Rule, schedule_id: str, now: int, tick_at: int) -> int:
    """Return the latest tick from *tick_at* on whose call is due at *now*; *tick_at* itself if none is."""
    if tick_at >= now:
        return tick_at
    latest_at = rule.latest_at_or_before(now, tick_at)
    if latest_at is not None and latest_at > tick_at and rule.fire_at(schedule_id, latest_at) > now:
        latest_at = rule.latest_at_or_before(latest_at - 1, tick_at)  # the call of the very last is still to come
    return tick_at if latest_at is None else max(latest_at, tick_at)


def _count_ticks(rule: Rule, first_at: int, end_at: int) -> int:
    """Return how many ticks there are from *first_at*, itself one, up to but not at *end_at*; `MISSED_COUNT_MAX` at most."""
    count = 0
    at: int | None = first_at
    while at is not None and at < end_at and count < MISSED_COUNT_MAX:
        count += 1
        at = rule.next_after(at)
    return count
