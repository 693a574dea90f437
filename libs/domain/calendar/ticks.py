"""
Ticks: the instants at which a cron ticks in a time zone.

Theory of operation
-------------------
A cron names wall minutes. Almost all of them exist once, and tick then. Those of a gap or a fold (`zones.py`) tick by this
table, which is Debian cron's unless the user chooses otherwise. A cron is *periodic* if its minute or its hour field starts
with ``*``; all others are *fixed-time*.

    =============  =======================  ==================================================
    wall minute    periodic                 fixed-time
    =============  =======================  ==================================================
    in a gap       does not tick            gap=shift: ticks when the gap ends; gap=skip: does not
    in a fold      ticks both times         fold=first: ticks the first time; fold=both: both times
    =============  =======================  ==================================================

So "every ten minutes" stays every ten minutes, and "at 02:30" is once a day. Several wall minutes of one gap that tick when it
ends are one tick; so is the wall minute at which the gap ends, if the cron names it too. The tick's *nominal* wall minute is
the latest of them.

The walk.  From the segment of the first instant on, segment by segment: the first wall minute that is named and not yet looked
at lies in the gap before the segment (tick there or go on behind it), in the segment (that is the tick), or behind it (go on
to the next segment). Behind a fold that ticks both times the repeated minutes are looked at again. `latest_tick` walks back in
the same way.

Excluded dates are wall dates. Their wall minutes count as not named.

Cost.  The months looked at, plus a handful of operations for each segment between the bounds and each excluded span that is
passed. Nothing else: the walk never turns round.

Not safe.  A wall minute that lies in a gap and is shown a moment later, because the clock goes back within the hour, counts as
both. The zone data has no such minute (tests/property/calendar).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from libs.domain.calendar.cron import Cron, first_minute, last_minute
from libs.domain.calendar.zones import OFFSET_MAX_S, Zone

_DAY_MINUTES: Final = 1_440


class Tick(NamedTuple):
    """An instant in UTC seconds, and the wall minute (numbered from 1970-01-01 00:00) for which it stands."""

    second: int
    minute: int


class Dst(NamedTuple):
    """What a fixed-time cron does when clocks change; see the module."""

    gap: Literal["shift", "skip"] = "shift"
    fold: Literal["first", "both"] = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """
    Dates on which nothing ticks, numbered in days from 1970-01-01.

    Args:
        first: of each span, rising; spans neither touch nor overlap.
        last: of each span.
    """

    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()

    def span_of(self, day: int) -> tuple[int, int] | None:
        """Return the first and last day of the span that holds *day*, or None."""
        index = bisect_right(self.first, day) - 1
        return None if index < 0 or self.last[index] < day else (self.first[index], self.last[index])


AS_DEBIAN: Final = Dst()
NO_DATES: Final = Excluded()


@dataclass(frozen=True, slots=True, kw_only=True)
class WallClock:
    """What a cron names in a zone: its wall minutes without the excluded ones, and what happens in gaps and folds."""

    cron: Cron
    zone: Zone
    dst: Dst = AS_DEBIAN
    excluded: Excluded = NO_DATES

    @property
    def shifts(self) -> bool:
        """Whether a wall minute in a gap ticks when the gap ends."""
        return self.dst.gap == "shift" and not self.cron.is_periodic

    @property
    def ticks_once(self) -> bool:
        """Whether a wall minute in a fold ticks the first time only."""
        return self.dst.fold == "first" and not self.cron.is_periodic

    def first(self, from_second: int, to_minute: int) -> int | None:
        """Return the first wall minute from the wall second *from_second* to *to_minute* that is named and not excluded."""
        minute = -(-from_second // 60)
        while (found := first_minute(self.cron, minute, to_minute)) is not None:
            span = self.excluded.span_of(found // _DAY_MINUTES)
            if span is None:
                return found
            minute = (span[1] + 1) * _DAY_MINUTES
        return None

    def last(self, from_minute: int, to_second: int) -> int | None:
        """Return the last wall minute from *from_minute* to the wall second *to_second* that is named and not excluded."""
        minute = to_second // 60
        while (found := last_minute(self.cron, from_minute, minute)) is not None:
            span = self.excluded.span_of(found // _DAY_MINUTES)
            if span is None:
                return found
            minute = span[0] * _DAY_MINUTES - 1
        return None


def next_tick(clock: WallClock, from_second: int, to_second: int) -> Tick | None:
    """Return the first tick at an instant in [*from_second*, *to_second*], UTC, or None."""
    at, offset, high = clock.zone.at, clock.zone.offset, clock.zone.high
    to_minute = (to_second + OFFSET_MAX_S) // 60
    index = clock.zone.segment(from_second)
    start = at[index] + offset[index]
    wall = from_second + offset[index]
    if clock.ticks_once:
        # What the clock has shown before has ticked. At the very start of a segment its gap has not.
        wall = high[index] if from_second == at[index] else max(wall, high[index])
    elif from_second == at[index]:
        wall = min(wall, high[index])
    found = clock.first(wall, to_minute)
    while True:
        if found is not None and found * 60 < start:
            behind = clock.first(start, to_minute)
            if clock.shifts and (nominal := clock.last(-(-high[index] // 60), start - 1)) is not None:
                return Tick(at[index], behind if behind is not None and behind * 60 == start else nominal)
            found = behind
        is_last = index + 1 == len(at)
        if found is not None and (is_last or found * 60 < at[index + 1] + offset[index]):
            tick = Tick(found * 60 - offset[index], found)
            return tick if tick.second <= to_second else None
        if is_last or at[index + 1] > to_second:
            return None
        index += 1
        start, end = at[index] + offset[index], at[index] + offset[index - 1]
        if start < end and not clock.ticks_once:
            found = again if (again := clock.first(start, (end - 1) // 60)) is not None else found


def latest_tick(clock: WallClock, from_second: int, to_second: int) -> Tick | None:
    """Return the last tick at an instant in [*from_second*, *to_second*], UTC, or None."""
    at, offset, high = clock.zone.at, clock.zone.offset, clock.zone.high
    from_minute = (from_second - OFFSET_MAX_S) // 60
    index = clock.zone.segment(to_second)
    wall = to_second + offset[index]
    found = clock.last(from_minute, wall)  # the last that is named up to *wall*
    while True:
        start = at[index] + offset[index]
        low = max(start, high[index]) if clock.ticks_once else start
        if found is not None and found * 60 >= low:
            tick = Tick(found * 60 - offset[index], found)
            return tick if tick.second >= from_second else None
        if at[index] < from_second:
            return None
        if clock.shifts and found is not None and high[index] <= found * 60 < start:
            return Tick(at[index], found)
        index -= 1
        end = at[index + 1] + offset[index] - 1
        if end > wall:
            found = again if (again := clock.last(wall // 60 + 1, end)) is not None else found
        elif found is not None and found * 60 > end:
            found = clock.last(from_minute, end)
        wall = end
