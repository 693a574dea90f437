"""
Realign: newer zone data, and what it does to the next run of a schedule. Pure.

Every instant that a rule names stands in the log, with the version of the zone data that decided. So newer data changes nothing by
itself. An owner whose data is newer than that of a schedule's next run looks for that run again. If it is another instant, the
owner says so in the log (`schedule.realigned`); if not, nothing is written, and the schedule keeps its stamp until it ticks.
Older data never decides: two builds that run side by side do not fight. A slot that has ticked stays ticked.

If the clock goes back by the newer data, the wall minute of the last tick may come again. A fixed-time cron ("at 02:30") that has
ticked for it does not tick once more: of the first two ticks the one counts that is nearer to the tick as it was. A tick moves by
an hour or so, and the next is then a day away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.domain.calendar.recorded_rule import ZoneLookup, rule_of
from libs.domain.calendar.rule import Rule
from libs.domain.calendar.ticks import WallClock
from libs.domain.schedules.tick_decision import NextRun, next_run
from libs.events import ScheduleRealigned

if TYPE_CHECKING:
    from libs.domain.schedules.state import ScheduleState


def has_older_zone_data(schedule: ScheduleState, zones: ZoneLookup) -> bool:
    """Say whether the next run of *schedule* was computed with older zone data than *zones* has."""
    more = schedule.more
    if (
        more is None
        or more.rule.zone == "UTC"
        or not schedule.is_active
        or schedule.held
        or schedule.next_run_at is None
    ):
        return False
    zone = zones(more.rule.zone)
    return zone is not None and zone.version > more.zone_data


def realigned(schedule: ScheduleState, now: int, zones: ZoneLookup) -> ScheduleRealigned | None:
    """Return the decision, taken at *now*, that *schedule* runs next at another instant; None if it does not."""
    more, tick_at = schedule.more, schedule.next_tick_at
    if more is None or tick_at is None or not has_older_zone_data(schedule, zones):
        return None
    rule = rule_of(more.rule, zones)
    if rule is None:
        return None
    following = next_run(rule, schedule.schedule_id, schedule.since_at)
    if isinstance(rule.when, WallClock) and not rule.when.cron.is_periodic and following.run_at is not None:
        following = _not_once_more(schedule, rule, following, tick_at)
    is_same = (following.run_at, following.tick_at) == (schedule.next_run_at, more.next_tick_at)
    if following.run_at is None or is_same:
        return None
    return ScheduleRealigned(
        schedule_id=schedule.schedule_id,
        at=now,
        was_tick_at=tick_at,
        was_zone_data=more.zone_data,
        next_run_at=following.run_at,
        next_tick_at=following.tick_at,
        zone_data=following.zone_data,
        version=schedule.version,
    )


def _not_once_more(schedule: ScheduleState, rule: Rule, first: NextRun, was_at: int) -> NextRun:
    """Return *first*, or the run after it if *first* stands for the slot that ticked last; *was_at* is the next tick as it was."""
    first_at = first.tick_at or first.run_at or 0
    if schedule.since_at != schedule.last_slot_at or first_at >= was_at:
        return first
    second = next_run(rule, schedule.schedule_id, first_at)
    if second.run_at is None or abs((second.tick_at or second.run_at) - was_at) >= was_at - first_at:
        return first
    return second
