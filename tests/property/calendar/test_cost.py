"""
What the next tick costs, in steps.

A step is a line of libs/domain/calendar that is executed: the same number on every machine, however busy it is. A line costs
less than 0.3 µs on the average, so 10,000 of them stay below 5 ms.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest

from libs.domain.calendar.cron_text import parse_extended
from libs.domain.calendar.rule import Interval, Rule
from libs.domain.calendar.ticks import Dst, Excluded, WallClock
from libs.domain.calendar.zones import Zone, zone_of
from tests.property.calendar.zone_files import distinct_names, zone

STEPS_MAX = 10_000
NOW_S = 1_790_000_000
DAY_S = 86_400

CRONS = [
    "* * * * *",
    "30 2 * * *",
    "59 23 31 12 *",
    "0 0 29 2 *",
    "0 0 29 2 */7",  # waits for a leap day on a Sunday
    "0 0 30 2 *",  # never
    "0 0 30W 2 *",  # never
    "0 0 L,LW,1W,15W 2 0#5",
    "0 0 * * 0#1,1#2,2#3,3#4,4#5,5L",
    ",".join(map(str, range(40))) + " 2 1 1 *",
]
SINGLE_DAYS = Excluded(
    first=tuple(NOW_S // DAY_S + 2 * n for n in range(366)), last=tuple(NOW_S // DAY_S + 2 * n for n in range(366))
)
YEARS = Excluded(
    first=tuple(NOW_S // DAY_S + 5 * n for n in range(366)), last=tuple(NOW_S // DAY_S + 5 * n + 3 for n in range(366))
)


def hostile_zones() -> list[Zone]:
    """Return made-up zones with a hundred transitions: an hour apart, a day apart, over five years, with jumps of a day."""
    rng = random.Random(5)
    found = []
    for every_s, jump_s in ((3_600, 3_599), (3_600, 86_400), (DAY_S, 7_200), (18 * DAY_S, 86_400), (18 * DAY_S, 1_800)):
        changes = [(NOW_S - 7_000 + every_s * n, (n + 1) % 2 * jump_s) for n in range(100)]
        found.append(zone_of("Made/Up", "0", 0, changes))
        offsets = [rng.randrange(-93_599, 93_599) for _ in range(100)]
        found.append(
            zone_of("Made/Wild", "0", 0, [(NOW_S - 7_000 + every_s * n, each) for n, each in enumerate(offsets)])
        )
    return found


def steps(call: Callable[[], Any]) -> int:
    """Return how many lines of libs/domain/calendar *call* executes."""
    count = 0

    def line(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return line

    def frame(frame: FrameType, _event: str, _argument: Any) -> Any:
        return line if "libs/domain/calendar" in frame.f_code.co_filename else None

    tracing = sys.gettrace()
    sys.settrace(frame)
    try:
        call()
    finally:
        sys.settrace(tracing)
    return count


@pytest.mark.parametrize("cron", CRONS)
def test_the_next_and_the_last_tick_have_a_price(cron: str) -> None:
    """Whatever the zone, the excluded dates and the choice of gap and fold, each is found within the steps allowed."""
    zones = [*hostile_zones(), *(zone(name) for name in ("UTC", "Europe/Berlin", "Africa/Casablanca", "Asia/Gaza"))]
    worst = 0
    for each in zones:
        for excluded in (Excluded(), SINGLE_DAYS, YEARS):
            for dst in (Dst("shift", "first"), Dst("shift", "both"), Dst("skip", "both")):
                rule = Rule(when=WallClock(cron=parse_extended(cron), zone=each, dst=dst, excluded=excluded))
                now = NOW_S * 1_000
                later = now + 1_000 * 366 * 5 * DAY_S
                worst = max(worst, steps(partial(rule.next_after, now)))
                worst = max(worst, steps(partial(rule.latest_at_or_before, later, now)))
    print(f"{worst} steps: {cron}")
    assert 0 < worst < STEPS_MAX


def test_the_next_tick_of_an_interval_has_a_price() -> None:
    """Excluded dates are passed span by span, not tick by tick."""
    for every_s in (1, 60, 86_400, 31_536_000):
        for excluded in (SINGLE_DAYS, YEARS):
            rule = Rule(when=Interval(every_s=every_s, anchor_at=0, excluded=excluded))
            assert steps(partial(rule.next_after, NOW_S * 1_000)) < STEPS_MAX


def test_no_zone_has_clock_changes_within_clock_changes() -> None:
    """Two changes of a zone are three days apart or more, and no minute is jumped over that was shown before."""
    for name in distinct_names():
        each = zone(name)
        for index in range(2, len(each.at)):
            assert each.at[index] - each.at[index - 1] >= 3 * DAY_S, (name, each.at[index])
            assert each.high[index] == each.at[index] + each.offset[index - 1], (name, each.at[index])
