"""
Crons in time zones against the wall oracle: every zone, every clock change of 2000-2040, each choice of gap and fold.

Clock changes that look the same on the wall (the same minute, the same jump) have the same oracle, shifted to the zone's own
instant.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from functools import cache

import pytest

from libs.domain.calendar.cron_text import parse
from libs.domain.calendar.ticks import Dst, Tick, WallClock, latest_tick, next_tick
from libs.domain.calendar.zones import Zone
from tests.property.calendar.wall_oracle import AROUND_MINUTES, Window
from tests.property.calendar.zone_files import distinct_names, library_zone, transitions, zone

RULES = 200
SLICES = 16  # of the zones, at night
WALK_COUNT_MAX = 12  # ticks; of a cron with more in a window only those near the change are compared
AROUND_S = 60 * AROUND_MINUTES - 26 * 3_600  # compared on both sides; the oracle looks a day farther

MINUTES = ["0", "30", "59", "1", "0,30", "15-45/15", "*", "*/5", "*/30", "7,37", "0-59/20"]
HOURS = ["0", "1", "2", "3", "23", "0-4", "1-3", "2,3", "9-17", "*", "*/2", "0-23", "0,12", "22-23"]
DAYS = ["*", "*", "*", "*", "*", "1-7", "8-14", "25-31", "*/2", "29,30", "1,15,31"]
WEEKDAYS = ["*", "*", "*", "*", "*", "0", "1-5", "sat,sun", "5-7"]


@cache
def rules() -> list[str]:
    """Return crons that tick near clock changes."""
    rng = random.Random(20260501)
    found: dict[str, None] = {}
    while len(found) < RULES:
        found[f"{rng.choice(MINUTES)} {rng.choice(HOURS)} {rng.choice(DAYS)} * {rng.choice(WEEKDAYS)}"] = None
    return list(found)


class Windows:
    """The oracle's answers, kept for clock changes that look the same on the wall."""

    def __init__(self) -> None:
        self.windows: dict[tuple[int, int], Window] = {}
        self.ticks: dict[tuple[int, int, str], dict[tuple[str, str], list[tuple[int, int]]]] = {}

    def expected(self, zone: Zone, index: int, text: str) -> dict[tuple[str, str], list[tuple[int, int]]]:
        """Return what the oracle finds around the zone's transition *index*."""
        at, before, after = zone.at[index], zone.offset[index - 1], zone.offset[index]
        key = (at + before, after - before)
        if key not in self.windows:
            self.windows[key] = Window(library_zone(zone.name), at)
        if (*key, text) not in self.ticks:
            self.ticks[*key, text] = self.windows[key].ticks(text)
        return self.ticks[*key, text]


def starts(expected: list[tuple[int, int]], jump_s: int) -> list[int]:
    """Return the seconds after the change from which the next and the last tick are compared."""
    near = [-jump_s - 60, -60, -1, 0, 1, 60, jump_s - 60, jump_s - 1, jump_s]
    if len(expected) <= WALK_COUNT_MAX:
        near += [-AROUND_S, *(second for second, _ in expected if -AROUND_S <= second < AROUND_S)]
    return near


def compare(zone: Zone, index: int, text: str, expected: dict[tuple[str, str], list[tuple[int, int]]]) -> int:
    """Assert that the ticks around the zone's transition *index* are those expected; return how many were compared."""
    at, compared = zone.at[index], 0
    low, high = at - 60 * AROUND_MINUTES + 26 * 3_600, at + 60 * AROUND_MINUTES - 26 * 3_600
    for (gap, fold), pairs in expected.items():
        clock = WallClock(cron=parse(text), zone=zone, dst=Dst(gap, fold))  # type: ignore[arg-type]
        ticks = [Tick(at + second, minute) for second, minute in pairs]
        for second in starts(pairs, abs(zone.offset[index] - zone.offset[index - 1])):
            place = bisect_left(ticks, (at + second,))
            wanted = ticks[place] if place < len(ticks) and ticks[place].second <= high else None
            assert next_tick(clock, at + second, high) == wanted, (zone.name, at, second, text, gap, fold)
            place = bisect_right(ticks, (at + second, 1 << 40)) - 1
            wanted = ticks[place] if place >= 0 and ticks[place].second >= low else None
            assert latest_tick(clock, low, at + second) == wanted, (zone.name, at, second, text, gap, fold)
            compared += 2
    return compared


def test_a_sample_ticks_as_the_oracle_says() -> None:
    """Sixty clock changes, twenty crons each: the next and the last ticks around them are the oracle's."""
    rng, windows, compared = random.Random(20260502), Windows(), 0
    changes = [(name, index) for name in distinct_names() for index in transitions(name)]
    for name, index in rng.sample(changes, 60):
        for text in rng.sample(rules(), 20):
            compared += compare(zone(name), index, text, windows.expected(zone(name), index, text))
    assert compared > 30_000


@pytest.mark.nightly
@pytest.mark.timeout(4 * 3_600)
@pytest.mark.parametrize("part", range(SLICES))
def test_all_zones_tick_as_the_oracle_says(part: int) -> None:
    """All zones, clock changes and crons: the next and the last ticks around each change are the oracle's."""
    windows, compared = Windows(), 0
    for name in distinct_names()[part::SLICES]:
        for index in transitions(name):
            for text in rules():
                compared += compare(zone(name), index, text, windows.expected(zone(name), index, text))
    print(f"{compared:,} comparisons")
    assert compared
