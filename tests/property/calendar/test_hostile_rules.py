"""
What the dearest rules cost an owner in one turn of its loop: a tick, with the missed ones before it, in steps.

A step is a line of libs/domain that is executed: the same number on every machine, however busy it is. A line costs 0.05 µs on the
machine where this was measured, so that 50,000 of them are 2.5 ms there, and 5 ms on a machine half as fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from types import FrameType
from typing import Any

import pytest

from libs.domain import schedule as fold
from libs.domain.calendar.cron_text import CronError, parse_extended, split_zone
from libs.domain.calendar.words import in_words
from libs.domain.calendar.zones import UTC
from libs.domain.schedules.tick_decision import rule_of_schedule, tick
from libs.events import SchedulePolicy, ScheduleRule
from tests.fakes import events
from tests.property.calendar.test_cost import hostile_zones
from tests.unit.domain.schedules.schedule_states import DAY, ID, MINUTE, NOW

STEPS_MAX = 50_000
MADE = {f"Made/{number}": zone for number, zone in enumerate(hostile_zones())}
ZONES = {"UTC": UTC, **MADE}
SINGLE_DAYS = tuple((date(2027, 1, 16) + timedelta(days=2 * number)).isoformat() for number in range(366))
WHENS: list[dict[str, Any]] = [
    {"cron": "* * * * *"},
    {"cron": "30 2 * * *"},
    {"cron": "0 0 29 2 */7"},
    {"cron": "0 0 L,LW,1W,15W * 0#5"},
    {"cron": ",".join(map(str, range(40))) + " 2 1 1 *"},
    {"every_s": 1, "anchor_at": NOW},
    {"every_s": 86_400, "anchor_at": NOW},
]
POLICIES = [
    None,
    SchedulePolicy(misfire="skip"),
    SchedulePolicy(misfire="fire_once", window_s=31_536_000),
    SchedulePolicy(misfire="fire_all", window_s=31_536_000, catchup_max=500),
]
OUTAGES_MS = [0, 3 * 3_600_000, 365 * DAY, 36_500 * DAY]


def steps(work: Callable[[], object]) -> int:
    """Return how many lines of libs/domain *work* executes."""
    count = 0

    def line(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return line

    def frame(frame: FrameType, _event: str, _argument: Any) -> Any:
        return line if "libs/domain" in frame.f_code.co_filename else None

    tracing = sys.gettrace()
    sys.settrace(frame)
    try:
        work()
    finally:
        sys.settrace(tracing)
    return count


def state_of(when: dict[str, Any], exclude: tuple[str, ...], policy: SchedulePolicy | None, zone: str) -> Any:
    """Return a schedule that is due in a minute."""
    place = {"zone": zone} if "cron" in when else {}
    rule = ScheduleRule(exclude=exclude, spread_s=86_400, spread_by="run", **when, **place)
    return fold.create(events.defined(ID, NOW, rule=rule, next_run_at=NOW + MINUTE, policy=policy), 0)


@pytest.mark.parametrize("when", WHENS, ids=lambda when: str(next(iter(when.values())))[:20])
def test_a_tick_costs_a_bounded_number_of_steps(when: dict[str, Any]) -> None:
    """Whatever the zone, the excluded dates, the policy and the length of the outage."""
    worst = 0
    for number, exclude in enumerate([(), SINGLE_DAYS] * 2):
        zone = list(MADE)[number * 3 % len(MADE)]  # four of them, with and without excluded dates
        for policy in POLICIES:
            state = state_of(when, exclude, policy, zone)
            for outage_ms in OUTAGES_MS:
                decide = partial(tick, state, NOW + MINUTE + outage_ms, 0.0, 30.0, ZONES.get)
                assert decide() is not None  # and what is read for the first time is in memory from then on
                worst = max(worst, steps(decide))
    print(f"{worst:,} steps: {when}")
    assert 0 < worst < STEPS_MAX


def test_five_fields_of_two_kilobytes_are_refused_unread() -> None:
    """The length of a cron is looked at before anything else."""
    field = ",".join("0-59/7" for _ in range(290))
    text = " ".join([field] * 5)
    assert len(field) > 2_000

    def refused() -> None:
        with pytest.raises(CronError, match="at most 128 characters"):
            parse_extended(split_zone(text)[1])

    assert steps(refused) < 20


def test_a_hostile_rule_in_words_costs_a_bounded_number_of_steps() -> None:
    """A preview tells it in one sentence, on the loop of the API."""
    for when in WHENS:
        rule = rule_of_schedule(state_of(when, SINGLE_DAYS, None, "Made/0"), ZONES.get)
        assert rule is not None
        assert steps(partial(in_words, rule)) < STEPS_MAX
