"""
Cron: which minutes a five-field expression names, in UTC.

Theory of operation
-------------------
Terms.  A *tick* is an instant that the expression names: a whole UTC minute. A field is *restricted* when its text does
not start with ``*``; so ``*/2`` and ``*,5`` are not restricted. That is Vixie's and Debian's reading (``entry.c`` sets
``DOM_STAR`` from the first character), and it is written here because other evaluators differ.

Grammar.  ``minute hour day-of-month month day-of-week``, separated by white space. A field is a comma list of ``*``, ``a``,
``a-b``, ``*/n`` and ``a-b/n``, with a <= b and n >= 1; month and day names are three letters in any case; 0 and 7 are
Sunday. ``a/n``, ``@daily``, ``?``, ``L``, ``W``, ``#``, ``H``, ``R``, seconds and years are outside it and refused.

Shape.  An expression becomes two bitsets: *minutes of the day* (1,440 bits) and, for each month asked about, *days of
the month* (bits 1-31), made from the day-of-month bits, the weekday bits turned to the month's first weekday, and the
month's length. Looking forward is "lowest bit at or above", looking back is "highest bit at or below".

Invariants.
  C1  Every tick is a multiple of 60,000 ms.
  C2  ``next_after(c, t) > t``, and no tick lies between the two.
  C3  ``latest_at_or_before`` finds exactly what ``next_after`` would have walked past.
  C4  Day-of-month and day-of-week are OR-ed when both are restricted; otherwise a day must satisfy both.
  C5  The answer depends on the expression and the arguments only: no clock, no zone, no daylight saving.

Cost.  O(months looked at), each a handful of integer operations; forward at most 62 months, back as many as the caller's
window holds. Parsing is O(len(text)), at most 128 characters: the length is checked before anything else.

Example.  ``0 0 13 * 5``: both day fields are restricted, so midnight of every 13th and of every Friday.

Not safe.  Instants outside 1970-2199 are refused (ValueError). An expression may be accepted and go quiet later: 29
February skips 2100, and ``0 0 29 2 */7`` waits for a leap day on a Sunday. ``next_after`` then answers None.

Source: docs/api.md, "Schedules"; crontab(5) and entry.c of Vixie cron 3.0 as shipped by Debian.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

CRON_LENGTH_MAX: Final = 128  # characters; the longest sensible list is shorter, and parsing cost is bounded by it
HORIZON_DAYS: Final = 1827  # five calendar years with both of the leap days they can hold
CACHE_COUNT_MAX: Final = 4096  # parsed expressions kept; about 1 kB each

_MINUTE_MS: Final = 60_000
_DAY_MINUTES: Final = 1_440
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_INSTANT_MAX_MS: Final = (date(2200, 1, 1).toordinal() - _EPOCH_ORDINAL) * _DAY_MINUTES * _MINUTE_MS
_HORIZON_MS: Final = HORIZON_DAYS * _DAY_MINUTES * _MINUTE_MS
_SIX_WEEKS: Final = sum(
    1 << (7 * week) for week in range(6)
)  # times a 7-bit week: enough to shift by 6 and cut 31 days
_MONTH_NAMES: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY_NAMES: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class CronError(ValueError):
    """The expression is refused; the message names the field and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A parsed expression. Made by :func:`parse`; compare and store the *text*, the bitsets are derived from it."""

    text: str
    times: int  # bit m: minute m of the day, 0-1439
    days: int  # bit d: day of the month, 1-31
    months: int  # bit m: month, 1-12
    weeks: int  # bit w: weekday w % 7 with Sunday 0, repeated for six weeks
    is_either_day: bool  # True: day-of-month OR day-of-week; False: both


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()  # the first one means *low*


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day-of-month", 1, 31),
    _Field("month", 1, 12, _MONTH_NAMES),
    _Field("day-of-week", 0, 7, _WEEKDAY_NAMES),
)


def parse(text: str) -> Cron:
    """
    Return the parsed expression, from a bounded cache if it was seen lately.

    Raises:
        CronError: *text* is not in the grammar. That it may never fire is not looked at: see :func:`check`.
    """
    if len(text) > CRON_LENGTH_MAX:
        raise CronError(f"a cron expression has at most {CRON_LENGTH_MAX} characters")
    return _parse(text)


def check(text: str, now_ms: int) -> Cron:
    """
    Return the parsed expression if it has a tick within five years after *now_ms*.

    Raises:
        CronError: *text* is not in the grammar, or never fires within 5 years.
    """
    cron = parse(text)
    if next_after(cron, now_ms) is None:
        raise CronError("never fires within 5 years")
    return cron


def next_after(cron: Cron, at_ms: int) -> int | None:
    """
    Return the first tick strictly after *at_ms*, or None if the next five years (1,827 days) hold none.

    Raises:
        ValueError: *at_ms* is not an instant in 1970-2199.
    """
    _require_instant(at_ms)
    day, minute = divmod(at_ms // _MINUTE_MS + 1, _DAY_MINUTES)
    last_day, last_minute = divmod((at_ms + _HORIZON_MS) // _MINUTE_MS, _DAY_MINUTES)
    found_day = _day_at_or_after(cron, day, last_day)
    later_today = cron.times >> minute
    if found_day == day and not later_today:
        found_day = _day_at_or_after(cron, day + 1, last_day)
    if found_day is None:
        return None
    found_minute = minute + _lowest_bit(later_today) if found_day == day else _lowest_bit(cron.times)
    if found_day == last_day and found_minute > last_minute:
        return None
    return (found_day * _DAY_MINUTES + found_minute) * _MINUTE_MS


def latest_at_or_before(cron: Cron, at_ms: int, not_before_ms: int) -> int | None:
    """
    Return the last tick in [*not_before_ms*, *at_ms*], or None if there is none: the missed tick that still fires.

    Looks backwards from *at_ms*, so the length of an outage does not matter to an expression that fires often.

    Raises:
        ValueError: one of the two is not an instant in 1970-2199.
    """
    _require_instant(at_ms)
    _require_instant(not_before_ms)
    day, minute = divmod(at_ms // _MINUTE_MS, _DAY_MINUTES)
    first_day, first_minute = divmod(-(-not_before_ms // _MINUTE_MS), _DAY_MINUTES)
    found_day = _day_at_or_before(cron, day, first_day)
    earlier_today = cron.times & ((2 << minute) - 1)
    if found_day == day and not earlier_today:
        found_day = _day_at_or_before(cron, day - 1, first_day)
    if found_day is None:
        return None
    found_minute = (earlier_today if found_day == day else cron.times).bit_length() - 1
    if found_day == first_day and found_minute < first_minute:
        return None
    return (found_day * _DAY_MINUTES + found_minute) * _MINUTE_MS


def _require_instant(at_ms: int) -> None:
    if not 0 <= at_ms < _INSTANT_MAX_MS:
        raise ValueError("a cron is evaluated at instants from 1970 to 2199, in milliseconds since the Unix epoch")


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
    month_start = day - ceiling
    while True:
        if cron.months >> month & 1:
            days = _days_of_month(cron, month_start, ceiling)
            if days:
                found = month_start + days.bit_length() - 1
                return found if found >= first_day else None
        if month_start < first_day:
            return None
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
        ceiling = _month_length(year, month)
        month_start -= ceiling


def _days_of_month(cron: Cron, month_start: int, last: int) -> int:
    """Return the bits of the days 1..*last* that the two day fields name together; see C4."""
    first_weekday = (month_start + 5) % 7
    by_weekday = cron.weeks >> first_weekday << 1
    days = cron.days | by_weekday if cron.is_either_day else cron.days & by_weekday
    return days & ((2 << last) - 2)


def _month_length(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _lowest_bit(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


@lru_cache(maxsize=CACHE_COUNT_MAX)
def _parse(text: str) -> Cron:
    parts = text.split()
    if not text.isascii() or not "".join(parts).isprintable():
        raise CronError("a cron expression is printable ASCII; its fields are separated by spaces or tabs")
    if text.lstrip().startswith("@"):
        raise CronError("shorthands such as @daily are not supported; write five fields")
    if len(parts) != len(_FIELDS):
        raise CronError(
            f"a cron expression has five fields (minute hour day-of-month month day-of-week), not {len(parts)}"
        )
    minutes, hours, days, months, weekdays = (_field_bits(f, part) for f, part in zip(_FIELDS, parts, strict=True))
    weekdays = (weekdays | weekdays >> 7) & 0b111_1111  # 7 is Sunday as well
    return Cron(
        text=text,
        times=sum(minutes << (60 * hour) for hour in range(24) if hours >> hour & 1),
        days=days,
        months=months,
        weeks=weekdays * _SIX_WEEKS,
        is_either_day=not (parts[2].startswith("*") or parts[4].startswith("*")),
    )


def _field_bits(field: _Field, text: str) -> int:
    bits = 0
    for item in text.split(","):
        bits |= _item_bits(field, item)
    return bits


def _item_bits(field: _Field, item: str) -> int:
    span, slash, step_text = item.partition("/")
    step = 1
    if slash:
        if not step_text.isdecimal() or int(step_text) < 1:
            raise CronError(f"{field.name}: the step in {item!r} is not a whole number from 1")
        step = int(step_text)
    if span == "*":
        return _run(field.low, field.high, step)
    low_text, dash, high_text = span.partition("-")
    low = _value(field, low_text, item)
    if not dash:
        if slash:
            # Vixie reads a/n as a, cronsim and newer croniter as a-max/n. Refusing keeps a schedule from meaning two things.
            raise CronError(
                f"{field.name}: a step needs a range in {item!r}; write {low}-{field.high}/{step} or */{step}"
            )
        return 1 << low
    high = _value(field, high_text, item)
    if low > high:
        hint = "; as the last day of a range Sunday is 7" if field.names is _WEEKDAY_NAMES and high == 0 else ""
        raise CronError(f"{field.name}: the range {span!r} runs backwards{hint}")
    return _run(low, high, step)


def _run(low: int, high: int, step: int) -> int:
    return sum(1 << value for value in range(low, high + 1, step))


def _value(field: _Field, text: str, item: str) -> int:
    if text.lower() in field.names:
        return field.low + field.names.index(text.lower())
    if not text.isdecimal() or not field.low <= int(text) <= field.high:
        names = " or a three-letter name" if field.names else ""
        raise CronError(f"{field.name}: {text!r} in {item!r} is not a number from {field.low} to {field.high}{names}")
    return int(text)
