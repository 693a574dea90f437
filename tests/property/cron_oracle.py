"""
Cron oracle: what an expression means, tried minute by minute.

Written from crontab(5) without a look at libs/domain/calendar/cron.py: sets instead of bitsets, the calendar of the standard
library, no skipping but of whole days that do not match. Slow and plain on purpose. It trusts that the text is valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

LOW_HIGH = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
NAMES = {
    3: ["", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    4: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
}


class Oracle:
    """A cron expression as five sets of numbers."""

    def __init__(self, text: str) -> None:
        fields = text.upper().split()
        self.minutes, self.hours, self.days, self.months, self.weekdays = (
            {value for item in field.split(",") for value in numbers(index, item)} for index, field in enumerate(fields)
        )
        self.either = fields[2][0] != "*" and fields[4][0] != "*"

    def names_day(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_month = day.day in self.days
        by_week = day.isoweekday() in self.weekdays or (day.isoweekday() == 7 and 0 in self.weekdays)
        return (by_month or by_week) if self.either else (by_month and by_week)

    def walk(self, start: datetime, step: int) -> Iterator[int]:
        """Yield the ticks from *start*'s minute on, in ms, forwards (*step* 1) or backwards (-1), for ever."""
        now = start.replace(second=0, microsecond=0)
        edge = (0, 0) if step > 0 else (23, 59)
        while True:
            if not self.names_day(now.date()):
                now = (now + timedelta(days=step)).replace(hour=edge[0], minute=edge[1])
                continue
            if now.hour in self.hours and now.minute in self.minutes:
                yield round(now.timestamp()) * 1000
            now += timedelta(minutes=step)


def numbers(field: int, item: str) -> range:
    span, _, step = item.partition("/")
    low, _, high = span.partition("-")
    if span == "*":
        first, last = LOW_HIGH[field]
    else:
        first = value(field, low)
        last = value(field, high) if high else first
    return range(first, last + 1, int(step or 1))


def value(field: int, text: str) -> int:
    return NAMES[field].index(text) if text.isalpha() else int(text)


def instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)
