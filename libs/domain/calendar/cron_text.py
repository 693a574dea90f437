"""
Cron text: reads a cron expression into a `Cron`.

Two grammars.  `parse` reads the `cron` of the first contract, which every build knows (`schedule.created`): ``minute hour
day-of-month month day-of-week``, separated by white space. A field is a comma list of ``*``, ``a``, ``a-b``, ``*/n`` and
``a-b/n``, with a <= b and n >= 1; month and day names are three letters in any case; 0 and 7 are Sunday. ``a/n``, ``@daily``,
``?``, ``L``, ``W``, ``#``, ``H``, ``R``, seconds and years are outside it and refused.

`parse_extended` reads more, for all other rules (`schedule.defined`). In the list of a day field there may also be:

    L      last day of the month              nL     last weekday n of the month, such as 5L or friL
    nW     weekday (Mon-Fri) nearest to the   n#k    k-th weekday n of the month, k from 1 to 5, such as mon#1
           n-th, in the same month
    LW     last weekday (Mon-Fri)

``@yearly``, ``@annually``, ``@monthly``, ``@weekly``, ``@daily``, ``@midnight`` and ``@hourly`` are read as the five fields
that they stand for. `split_zone` takes off the prefix ``CRON_TZ=Zone``.

Cost.  O(len(text)), at most 128 characters: the length is checked before anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from libs.domain.calendar.cron import Cron, MonthDays, next_after, six_weeks

CRON_LENGTH_MAX: Final = 128  # characters; the longest sensible list is shorter, and parsing cost is bounded by it
CACHE_COUNT_MAX: Final = 4096  # parsed expressions kept; about 1 kB each

SHORTHANDS: Final[Mapping[str, str]] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_MONTH_NAMES: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY_NAMES: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ZONE_PREFIX: Final = re.compile(r"\s*CRON_TZ=(\S*)\s+(.*)", re.DOTALL)
_NEAREST: Final = re.compile(r"([0-9]{1,4})W", re.IGNORECASE)
_LAST_WEEKDAY: Final = re.compile(r"(\w+)L", re.IGNORECASE | re.ASCII)
_NTH_WEEKDAY: Final = re.compile(r"(\w+)#([1-5])", re.ASCII)


class CronError(ValueError):
    """The expression is refused; the message names the field and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()  # the first one means *low*


_DAY: Final = _Field("day-of-month", 1, 31)
_WEEKDAY: Final = _Field("day-of-week", 0, 7, _WEEKDAY_NAMES)
_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _DAY,
    _Field("month", 1, 12, _MONTH_NAMES),
    _WEEKDAY,
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


def parse_extended(text: str) -> Cron:
    """
    Return the parsed expression of the larger grammar; its text is that of the five fields, also for a shorthand.

    Raises:
        CronError: *text* is not in the larger grammar; the message says what to write instead.
    """
    if len(text) > CRON_LENGTH_MAX:
        raise CronError(f"a cron expression has at most {CRON_LENGTH_MAX} characters")
    return _parse_extended(text)


def split_zone(text: str) -> tuple[str | None, str]:
    """Return the zone that a prefix ``CRON_TZ=Zone`` names (None without a prefix), and the rest of *text*."""
    found = _ZONE_PREFIX.match(text)
    return (None, text) if found is None else (found[1], found[2])


@lru_cache(maxsize=CACHE_COUNT_MAX)
def _parse(text: str) -> Cron:
    parts = _parts(text)
    if text.lstrip().startswith("@"):
        raise CronError("shorthands such as @daily are not supported; write five fields")
    if len(parts) != len(_FIELDS):
        raise CronError(
            f"a cron expression has five fields (minute hour day-of-month month day-of-week), not {len(parts)}"
        )
    return _cron(text, [part.split(",") for part in parts], None)


@lru_cache(maxsize=CACHE_COUNT_MAX)
def _parse_extended(text: str) -> Cron:
    text = SHORTHANDS.get(text.strip().lower(), text)
    parts = _parts(text)
    if text.lstrip().startswith("@"):
        raise CronError(_why_no_shorthand(parts[0]))
    if len(parts) != len(_FIELDS):
        hint = "" if len(parts) < len(_FIELDS) else "; seconds and years have no field, every counts seconds"
        if parts and "=" in parts[0]:
            hint = "; a time zone is written before them as CRON_TZ=Zone, or in timezone"
        raise CronError(
            f"a cron expression has five fields (minute hour day-of-month month day-of-week), not {len(parts)}{hint}"
        )
    marks = _Marks()
    kept = [_without_marks(field, part, marks) for field, part in zip(_FIELDS, parts, strict=True)]
    return _cron(text, kept, marks.month_days())


def _parts(text: str) -> list[str]:
    parts = text.split()
    if not text.isascii() or not "".join(parts).isprintable():
        raise CronError("a cron expression is printable ASCII; its fields are separated by spaces or tabs")
    return parts


def _cron(text: str, lists: list[list[str]], month_days: MonthDays | None) -> Cron:
    """Return the cron of five lists, which are without the items of *month_days*."""
    minutes, hours, days, months, weekdays = (_field_bits(f, items) for f, items in zip(_FIELDS, lists, strict=True))
    starred = [part.startswith("*") for part in text.split()]
    return Cron(
        text=text,
        times=sum(minutes << (60 * hour) for hour in range(24) if hours >> hour & 1),
        days=days,
        months=months,
        weeks=six_weeks(_without_seven(weekdays)),
        is_either_day=not (starred[2] or starred[4]),
        is_periodic=starred[0] or starred[1],
        month_days=month_days,
    )


def _without_seven(weekdays: int) -> int:
    return (weekdays | weekdays >> 7) & 0b111_1111  # 7 is Sunday as well


class _Marks:
    """The items of the day fields that depend on the month, while they are collected."""

    def __init__(self) -> None:
        self.has_last = self.has_nearest_last = False
        self.nearest = self.last_weekdays = 0
        self.nth_weekdays = [0] * 5

    def take(self, field: _Field, item: str) -> bool:
        """Return whether *item* is such an item; then it is noted."""
        if field is _DAY:
            if item.upper() == "L":
                self.has_last = True
            elif item.upper() == "LW":
                self.has_nearest_last = True
            elif found := _NEAREST.fullmatch(item):
                self.nearest |= 1 << _value(field, found[1], item)
            else:
                return False
            return True
        if found := _LAST_WEEKDAY.fullmatch(item):
            self.last_weekdays |= 1 << _value(field, found[1], item)
        elif found := _NTH_WEEKDAY.fullmatch(item):
            self.nth_weekdays[int(found[2]) - 1] |= 1 << _value(field, found[1], item)
        else:
            return False
        return True

    def month_days(self) -> MonthDays | None:
        """Return them as bits, or None if there were none."""
        if not (self.has_last or self.has_nearest_last or self.nearest or self.last_weekdays or any(self.nth_weekdays)):
            return None
        return MonthDays(
            has_last=self.has_last,
            nearest=self.nearest,
            has_nearest_last=self.has_nearest_last,
            last_weeks=six_weeks(_without_seven(self.last_weekdays)),
            nth_weeks=tuple(six_weeks(_without_seven(weekdays)) for weekdays in self.nth_weekdays),
        )


def _without_marks(field: _Field, text: str, marks: _Marks) -> list[str]:
    """Return the items of the list *text* but those that depend on the month, which are added to *marks*."""
    kept = []
    for item in text.split(","):
        _refuse_foreign(field, item)
        if field not in (_DAY, _WEEKDAY) or not marks.take(field, item):
            kept.append(item)
    return kept


def _refuse_foreign(field: _Field, item: str) -> None:
    """Raise CronError for what other evaluators take, with what to write instead."""
    first = item[:1].upper()
    if first == "?":
        raise CronError(f"{field.name}: write * for ?")
    if first in ("H", "R") and item[1:2] in ("", "/", "("):
        raise CronError(f"{field.name}: {item!r} would be drawn by chance; write a number, and see spread")
    if field is _WEEKDAY and first == "L":
        raise CronError(f"{field.name}: {item!r} names no weekday; write 6L for the last Saturday of the month")


def _why_no_shorthand(word: str) -> str:
    if word.lower() == "@reboot":
        return "@reboot is not supported: a schedule has no machine that starts; write five fields, or use starts_at"
    if word.lower() == "@every":
        return '@every is not supported; use every, such as {"seconds": 300}'
    return f"shorthands are {', '.join(SHORTHANDS)}; write one of them alone, or five fields"


def _field_bits(field: _Field, items: list[str]) -> int:
    bits = 0
    for item in items:
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
        where = "" if text == item else f" in {item!r}"
        raise CronError(f"{field.name}: {text!r}{where} is not a number from {field.low} to {field.high}{names}")
    return int(text)
