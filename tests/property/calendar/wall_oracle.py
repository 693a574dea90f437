"""
Wall oracle: when a cron ticks around a clock change, tried minute by minute.

Written from the table in libs/domain/calendar/ticks.py, without a look at its code. It asks the standard library's zoneinfo
what the wall clock shows at each minute, and which wall minutes a cron names it asks `cron_oracle`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

from tests.property.cron_oracle import Oracle

CHOICES = list(product(("shift", "skip"), ("first", "both")))
EPOCH = datetime(1970, 1, 1)
AROUND_MINUTES = 54 * 60  # looked at before and behind a clock change; no other one is as near


class Window:
    """What a wall clock shows from *AROUND_MINUTES* before to *AROUND_MINUTES* behind an instant."""

    def __init__(self, zone: ZoneInfo, at_s: int) -> None:
        self.shown: dict[int, list[int]] = {}  # wall minute -> seconds after *at_s*, one or two
        self.gap_end: dict[
            int, int
        ] = {}  # wall minute that is never shown -> seconds after *at_s* at which the gap ends
        before: int | None = None
        for minute in range(-AROUND_MINUTES, AROUND_MINUTES + 1):
            local = datetime.fromtimestamp(at_s + 60 * minute, zone).replace(tzinfo=None)
            assert local.second == 0
            wall = (local - EPOCH) // timedelta(minutes=1)
            self.shown.setdefault(wall, []).append(60 * minute)
            if before is not None:
                self.gap_end.update(dict.fromkeys(range(before + 1, wall), 60 * minute))
            before = wall
        self.dates = {date(1970, 1, 1) + timedelta(days=wall // 1440) for wall in (*self.shown, *self.gap_end)}

    def ticks(self, text: str) -> dict[tuple[str, str], list[tuple[int, int]]]:
        """Return for each choice of gap and fold the ticks of the cron, as (seconds after the instant, nominal wall minute)."""
        named = list(named_minutes(Oracle(text), self.dates))
        is_periodic = any(field.startswith("*") for field in text.split()[:2])
        found = {}
        for gap, fold in CHOICES:
            ticks: dict[int, int] = {}
            for wall in named:
                seconds = self.shown.get(wall)
                if seconds is None:
                    seconds = (
                        [self.gap_end[wall]] if wall in self.gap_end and gap == "shift" and not is_periodic else []
                    )
                elif fold == "first" and not is_periodic:
                    seconds = seconds[:1]
                for second in seconds:
                    ticks[second] = max(wall, ticks.get(second, wall))
            found[gap, fold] = sorted(ticks.items())
        return found


def named_minutes(oracle: Oracle, dates: set[date]) -> Iterator[int]:
    """Yield the wall minutes of *dates* that the cron names, from the first to the last."""
    for day in sorted(dates):
        if oracle.names_day(day):
            midnight = (datetime.combine(day, datetime.min.time()) - EPOCH) // timedelta(minutes=1)
            yield from (
                midnight + 60 * hour + minute for hour in sorted(oracle.hours) for minute in sorted(oracle.minutes)
            )
