"""Schedules with a rule of their own, and their ticks, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from libs.domain import schedule as fold
from libs.domain.calendar.recorded_rule import rule_of
from libs.domain.schedule import ScheduleState
from libs.domain.schedules.tick_decision import next_run, tick
from libs.events import (
    ScheduleRule,
    ScheduleTicked,
)
from libs.events.ids import new_schedule_id
from tests.fakes import events
from tests.property.calendar.made_zones import find

NOW = 1_800_000_000_000  # 2027-01-15T08:00:00Z
MINUTE = 60_000
DAY = 86_400_000
ID = new_schedule_id(NOW, 0, bytes(8))


def defined(rule: ScheduleRule, at: int = NOW, **changes: Any) -> ScheduleState:
    """Return a schedule of *rule* that was asked for at *at*."""
    made = rule_of(rule, find)
    assert made is not None
    first = next_run(made, ID, at)
    event = events.defined(
        ID, at, rule=rule, next_run_at=first.run_at, next_tick_at=first.tick_at, zone_data=first.zone_data, **changes
    )
    return fold.create(event, 0)


def decided(state: ScheduleState, now: int) -> ScheduleTicked:
    """Return the tick of *state* at *now*."""
    event = tick(state, now, 0.0, 30.0, find)
    assert event is not None
    return event
