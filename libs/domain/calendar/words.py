"""
Words: what a rule says, as an English sentence, such as "At 02:30 every day, Europe/Berlin time". Pure.

It is made of the minutes and days that the rule names, not of the text of its cron, so it cannot say something else than what
runs. A rule that names many minutes or days is told shortened: after `SHOWN_MAX` values "…" follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from libs.domain.calendar.cron import Cron
from libs.domain.calendar.rule import Interval, Rule

SHOWN_MAX: Final = 12  # values of one list
_TIMES_MAX: Final = 6  # of a day that are told one by one
_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS: Final = (
    *("", "January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NTH: Final = ("first", "second", "third", "fourth", "fifth")


def in_words(rule: Rule) -> str:
    """Return what *rule* says: when it runs, in which time zone, and what is left out."""
    when = rule.when
    if isinstance(when, Interval):
        text = f"{_every(when.every_s)}, counted from {_utc(when.anchor_at)}"
    else:
        zone = "UTC" if when.zone.name == "UTC" else f"{when.zone.name} time"
        text = f"{cron_in_words(when.cron)}, {zone}"
    if rule.starts_at is not None:
        text += f"; not before {_utc(rule.starts_at)}"
    if rule.ends_at is not None:
        text += f"; not after {_utc(rule.ends_at)}"
    day_count = sum(last - first + 1 for first, last in zip(when.excluded.first, when.excluded.last, strict=True))
    if day_count:
        text += f"; not on {day_count} excluded {'day' if day_count == 1 else 'days'}"
    if rule.spread is not None:
        text += f"; the call is made up to {rule.spread.seconds} s later"
    return text


def cron_in_words(cron: Cron) -> str:
    """Return at which minutes of which days *cron* runs."""
    times, days = _times(cron), _days(cron)
    if not days and times.startswith("At ") and " every hour" not in times:
        days = "every day"
    return f"{times} {days}".rstrip()


def _times(cron: Cron) -> str:
    hours = [hour for hour in range(24) if cron.times >> 60 * hour & (1 << 60) - 1]
    minutes = _bits(cron.times >> 60 * hours[0], 0, 59)
    if len(hours) * len(minutes) <= _TIMES_MAX:
        return "At " + _listed([f"{hour:02}:{minute:02}" for hour in hours for minute in minutes])
    step = _step(minutes)
    if len(minutes) == 60:
        often = "Every minute"
    elif step is not None and minutes[0] == 0 and 60 % step == 0 and len(minutes) == 60 // step:
        often = f"Every {step} minutes"
    else:
        often = f"At minute {_listed(_runs(minutes))}"
    if len(hours) == 24:
        return often if often.startswith("Every") else f"{often} of every hour"
    return f"{often} in {'hour' if len(hours) == 1 else 'hours'} {_listed(_runs(hours))}"


def _days(cron: Cron) -> str:
    by_month, by_weekday = _month_days(cron), _weekdays(cron)
    months = _bits(cron.months, 1, 12)
    inside = "" if len(months) == 12 else f" in {_listed([_MONTHS[month] for month in months])}"
    if cron.is_either_day:
        return f"{by_month}, or {by_weekday},{inside}".removesuffix(",")
    if by_month and by_weekday:
        return f"{by_month}{inside}, if that is {by_weekday.removeprefix('on ')}"
    found = by_month or by_weekday
    return f"{found or 'every day'}{inside}" if inside else found


def _month_days(cron: Cron) -> str:
    days, more = _bits(cron.days, 1, 31), cron.month_days
    if len(days) == 31:
        return ""
    parts = [f"on day {_listed(_runs(days))} of the month"] if days else []
    if more is not None:
        parts += ["on the last day of the month"] if more.has_last else []
        parts += ["on the last weekday (Monday to Friday) of the month"] if more.has_nearest_last else []
        parts += [f"on the weekday (Monday to Friday) nearest to day {day}" for day in _bits(more.nearest, 1, 31)]
    return _listed(parts)


def _weekdays(cron: Cron) -> str:
    days, more = _bits(cron.weeks, 0, 6), cron.month_days
    if len(days) == 7:
        return ""
    if 0 in days and 6 in days:
        days = [*days[1:], 0]  # a week ends with its Sunday
    parts = [f"on {_listed(_runs(days, names=_DAYS))}"] if days else []
    if more is not None:
        for number, weeks in enumerate(more.nth_weeks):
            parts += [f"on the {_NTH[number]} {_DAYS[day]} of the month" for day in _bits(weeks, 0, 6)]
        parts += [f"on the last {_DAYS[day]} of the month" for day in _bits(more.last_weeks, 0, 6)]
    return _listed(parts)


def _every(seconds: int) -> str:
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return f"Every {unit}" if seconds == size else f"Every {seconds // size:,} {unit}s"


def _utc(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _bits(bits: int, low: int, high: int) -> list[int]:
    return [value for value in range(low, high + 1) if bits >> value & 1]


def _step(values: Sequence[int]) -> int | None:
    """Return the distance between neighbours, if it is the same everywhere."""
    steps = {later - earlier for earlier, later in pairwise(values)}
    return steps.pop() if len(steps) == 1 else None


def _runs(values: Sequence[int], names: Sequence[str] | None = None) -> list[str]:
    """Return *values* as texts, three and more that follow each other as "a to b"; of weekdays Saturday is followed by Sunday."""
    found: list[list[int]] = []
    for value in values:
        if found and value in (found[-1][-1] + 1, 0 if names and found[-1][-1] == 6 else None):
            found[-1].append(value)
        else:
            found.append([value])
    texts: list[str] = []
    for run in found:
        shown = [str(value) if names is None else names[value] for value in run]
        texts += shown if len(run) < 3 else [f"{shown[0]} to {shown[-1]}"]
    return texts


def _listed(texts: Sequence[str]) -> str:
    if len(texts) > SHOWN_MAX:
        return ", ".join(texts[: SHOWN_MAX - 1]) + ", …"
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else ""
