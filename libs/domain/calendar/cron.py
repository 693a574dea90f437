"""
Cron: which wall minutes a five-field expression names, on a calendar without zones.

Theory of operation
-------------------
Terms.  A *wall minute* is what a clock on the wall shows: a minute of a day of the calendar, numbered from 1970-01-01 00:00.
A *tick* is an instant that the expression names. In UTC the two are the same, and `next_after` and `latest_at_or_before`
speak of ticks in UTC; `libs/domain/calendar/ticks.py` makes ticks of wall minutes in any other zone. A field is *restricted*
when its text does not start with ``*``; so ``*/2`` and ``*,5`` are not restricted. That is Vixie's and Debian's reading
(``entry.c`` sets ``DOM_STAR`` from the first character), and it is written here because other evaluators differ.

Shape.  An expression (`libs/domain/calendar/cron_text.py` reads it) becomes two bitsets: *minutes of the day* (1,440 bits)
and, for each month asked about, *days of the month* (bits 1-31), made from the day-of-month bits, the weekday bits turned to
the month's first weekday, and the month's length. Looking forward is "lowest bit at or above", looking back is "highest bit
at or below".

Invariants.
  C1  Every tick is a multiple of 60,000 ms.
  C2  ``next_after(c, t) > t``, and no tick lies between the two.
  C3  ``latest_at_or_before`` finds exactly what ``next_after`` would have walked past.
  C4  Day-of-month and day-of-week are OR-ed when both are restricted; otherwise a day must satisfy both.
  C5  The answer depends on the expression and the arguments only: no clock, no zone, no daylight saving.

Cost.  O(months looked at), each a handful of integer operations; forward at most 62 months, back as many as the caller's
window holds.

Example.  ``0 0 13 * 5``: both day fields are restricted, so midnight of every 13th and of every Friday.

Not safe.  Instants outside 1970-2199 are refused (ValueError). An expression may be accepted and go quiet later: 29
February skips 2100, and ``0 0 29 2 */7`` waits for a leap day on a Sunday. ``next_after`` then answers None.

Source: docs/api.md, "Schedules"; crontab(5) and entry.c of Vixie cron 3.0 as shipped by Debian.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

HORIZON_DAYS: Final = 1827  # five calendar years with both of the leap days they can hold
HORIZON_MS: Final = HORIZON_DAYS * 86_400_000

_MINUTE_MS: Final = 60_000
_DAY_MINUTES: Final = 1_440
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
INSTANT_MAX: Final = (date(2200, 1, 1).toordinal() - _EPOCH_ORDINAL) * _DAY_MINUTES * _MINUTE_MS
_WEEK: Final = 0b111_1111


def six_weeks(weekdays: int) -> int:
    """Return the weekday bits (bit 0 is Sunday) repeated for six weeks: enough to shift by 6 and cut 31 days."""
    return weekdays * sum(1 << (7 * week) for week in range(6))


_SATURDAYS: Final = six_weeks(1 << 6)
_SUNDAYS: Final = six_weeks(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A parsed expression. Made by `cron_text`; compare and store the *text*, the bitsets are derived from it."""

    text: str
    times: int  # bit m: minute m of the day, 0-1439
    days: int  # bit d: day of the month, 1-31
    months: int  # bit m: month, 1-12
    weeks: int  # bit w: weekday w % 7 with Sunday 0, repeated for six weeks
    is_either_day: bool  # True: day-of-month OR day-of-week; False: both
    is_periodic: bool  # the minute or the hour field starts with *: "every so often", not "at this time"
    month_days: MonthDays | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthDays:
    """The days that depend on the month they are in: ``L``, ``nW``, ``LW`` (day-of-month), ``nL``, ``n#k`` (day-of-week)."""

    has_last: bool  # L
    nearest: int  # bit n: nW
    has_nearest_last: bool  # LW
    last_weeks: int  # nL, as Cron.weeks
    nth_weeks: tuple[int, ...]  # n#k at index k - 1, as Cron.weeks

    def by_month(self, first_weekday: int, length: int) -> int:
        """Return the days (bits 1-31) of the day-of-month field, in a month of *length* days that begins on *first_weekday*."""
        last = 1 << length
        wanted = self.nearest & (2 * last - 2) | (last if self.has_nearest_last else 0)
        saturdays = wanted & (_SATURDAYS >> first_weekday << 1)
        sundays = wanted & (_SUNDAYS >> first_weekday << 1)
        # The Friday before, the Monday after; at the month's ends the weekday on the other side, which is in the month.
        moved = (saturdays & ~2) >> 1 | (saturdays & 2) << 2 | (sundays & ~last) << 1 | (sundays & last) >> 2
        return wanted & ~saturdays & ~sundays | moved | (last if self.has_last else 0)

    def by_weekday(self, first_weekday: int, length: int) -> int:
        """Return the days (bits 1-31) of the day-of-week field; arguments as in `by_month`."""
        found = self.last_weeks >> first_weekday << 1 & _WEEK << (length - 6)
        for k, weeks in enumerate(self.nth_weeks):
            found |= weeks >> first_weekday << 1 & _WEEK << (7 * k + 1)
        return found


def next_after(cron: Cron, at_ms: int) -> int | None:
    """
    Return the first tick in UTC strictly after *at_ms*, or None if the next five years (1,827 days) hold none.

    Raises:
        ValueError: *at_ms* is not an instant in 1970-2199.
    """
    require_instant(at_ms)
    found = first_minute(cron, at_ms // _MINUTE_MS + 1, (at_ms + HORIZON_MS) // _MINUTE_MS)
    return None if found is None else found * _MINUTE_MS


def latest_at_or_before(cron: Cron, at_ms: int, not_before_ms: int) -> int | None:
    """
    Return the last tick in UTC in [*not_before_ms*, *at_ms*], or None if there is none: the missed tick that still fires.

    Looks backwards from *at_ms*, so the length of an outage does not matter to an expression that fires often.

    Raises:
        ValueError: one of the two is not an instant in 1970-2199.
    """
    require_instant(at_ms)
    require_instant(not_before_ms)
    found = last_minute(cron, -(-not_before_ms // _MINUTE_MS), at_ms // _MINUTE_MS)
    return None if found is None else found * _MINUTE_MS


def require_instant(at_ms: int) -> None:
    """Raise ValueError if *at_ms* is not an instant in 1970-2199."""
    if not 0 <= at_ms < INSTANT_MAX:
        raise ValueError("a cron is evaluated at instants from 1970 to 2199, in milliseconds since the Unix epoch")


def first_minute(cron: Cron, from_minute: int, to_minute: int) -> int | None:
    """Return the first wall minute in [*from_minute*, *to_minute*] that *cron* names, or None."""
    day, minute = divmod(from_minute, _DAY_MINUTES)
    last_day, to_time = divmod(to_minute, _DAY_MINUTES)
    found_day = _day_at_or_after(cron, day, last_day)
    later_today = cron.times >> minute
    if found_day == day and not later_today:
        found_day = _day_at_or_after(cron, day + 1, last_day)
    if found_day is None:
        return None
    found_time = minute + _lowest_bit(later_today) if found_day == day else _lowest_bit(cron.times)
    if found_day == last_day and found_time > to_time:
        return None
    return found_day * _DAY_MINUTES + found_time


def last_minute(cron: Cron, from_minute: int, to_minute: int) -> int | None:
    """Return the last wall minute in [*from_minute*, *to_minute*] that *cron* names, or None."""
    day, minute = divmod(to_minute, _DAY_MINUTES)
    first_day, from_time = divmod(from_minute, _DAY_MINUTES)
    found_day = _day_at_or_before(cron, day, first_day)
    earlier_today = cron.times & ((2 << minute) - 1)
    if found_day == day and not earlier_today:
        found_day = _day_at_or_before(cron, day - 1, first_day)
    if found_day is None:
        return None
    found_time = (earlier_today if found_day == day else cron.times).bit_length() - 1
    if found_day == first_day and found_time < from_time:
        return None
    return found_day * _DAY_MINUTES + found_time


# Days are numbered from the Unix epoch below; day 0 was a Thursday (4).


def _day_at_or_after(cron: Cron, day: int, last_day: int) -> int | None:
    start = date.fromordinal(_EPOCH_ORDINAL + day)
    year, month, floor = start.year, start.month, start.day
    month_start = day - floor  # the day before the 1st, so that month_start + day-of-month is a day number
    while month_start < last_day:
        length = _month_length(year, month)
        if cron.months >> month & 1:
            days = _days_of_month(cron, month_start, length) >> floor << floor
            if days:
                found = month_start + _lowest_bit(days)
                return found if found <= last_day else None
        month_start += length
        floor = 1
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return None


def _day_at_or_before(cron: Cron, day: int, first_day: int) -> int | None:
    if day < first_day:
        return None
    start = date.fromordinal(_EPOCH_ORDINAL + day)
    year, month, ceiling = start.year, start.month, start.day
    month_start, length = day - ceiling, _month_length(year, month)
    while True:
        if cron.months >> month & 1:
            days = _days_of_month(cron, month_start, length) & ((2 << ceiling) - 1)
            if days:
                found = month_start + days.bit_length() - 1
                return found if found >= first_day else None
        if month_start < first_day:
            return None
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
        ceiling = length = _month_length(year, month)
        month_start -= length


def _days_of_month(cron: Cron, month_start: int, length: int) -> int:
    """Return the bits of the days 1..*length* that the two day fields name together; see C4."""
    first_weekday = (month_start + 5) % 7
    by_weekday = cron.weeks >> first_weekday << 1
    by_month = cron.days
    if cron.month_days is not None:
        by_weekday |= cron.month_days.by_weekday(first_weekday, length)
        by_month |= cron.month_days.by_month(first_weekday, length)
    days = by_month | by_weekday if cron.is_either_day else by_month & by_weekday
    return days & ((2 << length) - 2)


def _month_length(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _lowest_bit(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
