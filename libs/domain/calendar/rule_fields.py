"""
Rule fields: reads the fields of a request that say when a schedule ticks.

    cron      five fields, `L nL n#k nW LW`, a shorthand such as `@daily`; or with the prefix `CRON_TZ=Zone `
    every     {"seconds": 1 to 31,536,000, "anchor": instant}, instead of cron; without an anchor it is now
    timezone  of the cron, a name of the zone data; UTC by default
    dst       of the cron, {"gap": "shift" or "skip", "fold": "first" or "both"}
    starts_at, ends_at   instants, both inclusive
    exclude   up to 366 of "2026-12-24" or "2026-12-24/2026-12-26", dates in the time zone, of an interval in UTC
    spread    {"seconds": 1 to 86,400, "by": "schedule" or "run"}

A field that is missing or null has its default. What is refused raises `RuleError`, with the code of the field and a message
that says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final, Literal, NoReturn, cast

from libs.domain.calendar.cron import INSTANT_MAX, Cron
from libs.domain.calendar.cron_text import CronError, parse_extended, split_zone
from libs.domain.calendar.rule import Interval, Rule, Spread
from libs.domain.calendar.ticks import NO_DATES, Dst, Excluded, WallClock
from libs.domain.calendar.zones import Zone

EVERY_MAX_S: Final = 31_536_000  # 365 days
EXCLUDE_COUNT_MAX: Final = 366
SPREAD_MAX_S: Final = 86_400
ZONE_LENGTH_MAX: Final = 64  # characters; the longest name has 32

_DATES: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:/(\d{4}-\d\d-\d\d))?", re.ASCII)
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_SOME_INSTANT: Final = "an instant in 1970-2199, in RFC 3339 with Z or an offset, such as 2026-04-01T09:00:00Z"


class RuleError(ValueError):
    """
    A field is refused.

    Args:
        code: of the API's error, such as ``invalid_cron``.
        message: names the field, and says what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleContext:
    """
    What the reader of a rule needs to know.

    Args:
        now: milliseconds since 1970.
        zone_names: all names of the zone data.
        zone: the zone of a name that is one of them.
        read_instant: milliseconds since 1970 of a text in RFC 3339, or None if it is none.
        interval_min_s: the shortest interval that is allowed.
    """

    now: int
    zone_names: frozenset[str]
    zone: Callable[[str], Zone]
    read_instant: Callable[[str], int | None]
    interval_min_s: int = 1


def read_rule(fields: Mapping[str, Any], context: RuleContext) -> Rule:
    """
    Return the rule that *fields*, decoded from JSON, describe; names that are not in the table above are not looked at.

    Raises:
        RuleError: a field is refused, or the rule never ticks.
    """
    has_cron, has_every = fields.get("cron") is not None, fields.get("every") is not None
    if has_cron and has_every:
        _refuse("invalid_every", "every and cron exclude each other: leave one of them out")
    if not has_cron and not has_every:
        _refuse("invalid_cron", 'cron or every is missing: give cron five fields, or every {"seconds": n}')
    when = _read_cron(fields, context) if has_cron else _read_every(fields, context)
    rule = Rule(when=when)
    if rule.next_after(context.now) is None:
        _refuse("invalid_cron", "cron never fires within 5 years")
    starts_at, ends_at = _read_window(fields, context)
    rule = replace(rule, starts_at=starts_at, ends_at=ends_at, spread=_read_spread(fields))
    if rule.next_after(context.now) is None:
        _refuse("invalid_window", "no tick lies between starts_at and ends_at, within 5 years: move them apart")
    rule = replace(rule, when=replace(when, excluded=_read_exclude(fields)))
    if rule.next_after(context.now) is None:
        _refuse("invalid_exclude", "exclude leaves no tick within 5 years: take out some of its dates")
    return rule


def _refuse(code: str, message: str) -> NoReturn:
    raise RuleError(code, message)


def _read_cron(fields: Mapping[str, Any], context: RuleContext) -> WallClock:
    text = fields["cron"]
    if type(text) is not str:
        _refuse("invalid_cron", "cron must be a string of five fields")
    prefix, text = split_zone(text)
    cron: Cron
    try:
        cron = parse_extended(text)
    except CronError as error:
        raise RuleError("invalid_cron", f"cron: {error}") from None
    name = fields.get("timezone")
    if prefix is not None:
        if name is not None:
            _refuse(
                "invalid_timezone", "timezone and the prefix CRON_TZ= of cron exclude each other: leave one of them out"
            )
        name = prefix
    zone = _zone("UTC" if name is None else name, context)
    return WallClock(cron=cron, zone=zone, dst=_read_dst(fields))


def _zone(name: Any, context: RuleContext) -> Zone:
    if type(name) is str and name in context.zone_names:
        return context.zone(name)
    hint = "must be a name of the IANA time zones, such as Europe/Berlin"
    if type(name) is str and len(name) <= ZONE_LENGTH_MAX:
        meant = [each for each in context.zone_names if each.lower() == name.lower()]
        hint += f"; did you mean {meant[0]}?" if meant else f", and {name!r} is not one"
    _refuse("invalid_timezone", f"timezone {hint}")


def _read_dst(fields: Mapping[str, Any]) -> Dst:
    found = _object(fields.get("dst"), ("gap", "fold"), "invalid_dst", "dst")
    gap = _one_of(found.get("gap", "shift"), ("shift", "skip"), "invalid_dst", "dst.gap")
    fold = _one_of(found.get("fold", "first"), ("first", "both"), "invalid_dst", "dst.fold")
    return Dst(cast(Literal["shift", "skip"], gap), cast(Literal["first", "both"], fold))


def _read_every(fields: Mapping[str, Any], context: RuleContext) -> Interval:
    for name, code in (("timezone", "invalid_timezone"), ("dst", "invalid_dst")):
        if fields.get(name) is not None:
            _refuse(code, f"{name} belongs to cron: every counts elapsed time; leave {name} out")
    found = _object(fields["every"], ("seconds", "anchor"), "invalid_every", "every")
    seconds = _whole(found.get("seconds"), EVERY_MAX_S, "invalid_every", "every.seconds")
    if seconds < context.interval_min_s:
        _refuse("interval_too_short", f"every.seconds must be at least {context.interval_min_s}")
    anchor_at = _instant(found.get("anchor"), context, "invalid_every", "every.anchor")
    return Interval(every_s=seconds, anchor_at=context.now // 1_000 * 1_000 if anchor_at is None else anchor_at)


def _read_window(fields: Mapping[str, Any], context: RuleContext) -> tuple[int | None, int | None]:
    starts_at = _instant(fields.get("starts_at"), context, "invalid_window", "starts_at")
    ends_at = _instant(fields.get("ends_at"), context, "invalid_window", "ends_at")
    if ends_at is not None and ends_at <= context.now:
        _refuse("invalid_window", "ends_at must be in the future")
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        _refuse("invalid_window", "ends_at must be after starts_at")
    return starts_at, ends_at


def _read_exclude(fields: Mapping[str, Any]) -> Excluded:
    value = fields.get("exclude")
    if value is None:
        return NO_DATES
    if type(value) is not list or len(value) > EXCLUDE_COUNT_MAX:
        _refuse("invalid_exclude", f"exclude must be a list of at most {EXCLUDE_COUNT_MAX} dates or spans of dates")
    first: list[int] = []
    last: list[int] = []
    for begin, end in sorted(_span(item) for item in value):
        if last and begin <= last[-1] + 1:
            last[-1] = max(last[-1], end)
        else:
            first.append(begin)
            last.append(end)
    return Excluded(first=tuple(first), last=tuple(last))


def _span(item: Any) -> tuple[int, int]:
    """Return the first and last day of a date or a span of dates, numbered from 1970-01-01."""
    found = _DATES.fullmatch(item) if type(item) is str else None
    try:
        if found is not None:
            begin = date.fromisoformat(found[1])
            end = date.fromisoformat(found[2]) if found[2] else begin
            if 1970 <= begin.year <= end.year <= 2199 and begin <= end:
                return begin.toordinal() - _EPOCH_ORDINAL, end.toordinal() - _EPOCH_ORDINAL
    except ValueError:
        pass  # a day that the calendar does not have
    shown = f", not {item!r}" if type(item) is str and len(item) <= 32 else ""
    _refuse(
        "invalid_exclude", f'exclude holds dates of 1970-2199 such as "2026-12-24" or "2026-12-24/2026-12-26"{shown}'
    )


def _read_spread(fields: Mapping[str, Any]) -> Spread | None:
    if fields.get("spread") is None:
        return None
    found = _object(fields["spread"], ("seconds", "by"), "invalid_spread", "spread")
    seconds = _whole(found.get("seconds"), SPREAD_MAX_S, "invalid_spread", "spread.seconds")
    by = _one_of(found.get("by", "schedule"), ("schedule", "run"), "invalid_spread", "spread.by")
    return Spread(seconds=seconds, by=cast(Literal["schedule", "run"], by))


_EXAMPLES: Final = {"dst": '{"gap": "skip"}', "every": '{"seconds": 300}', "spread": '{"seconds": 30}'}


def _object(value: Any, names: tuple[str, str], code: str, field: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if type(value) is not dict or not value.keys() <= set(names):
        _refuse(code, f"{field} must be an object with {names[0]} and {names[1]} alone, such as {_EXAMPLES[field]}")
    return {name: each for name, each in value.items() if each is not None}


def _one_of(value: Any, allowed: tuple[str, str], code: str, field: str) -> str:
    if type(value) is not str or value not in allowed:
        _refuse(code, f"{field} must be {allowed[0]} or {allowed[1]}")
    return value


def _whole(value: Any, high: int, code: str, field: str) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not 1 <= value <= high:
        _refuse(code, f"{field} must be a whole number from 1 to {high:,}")
    return value


def _instant(value: Any, context: RuleContext, code: str, field: str) -> int | None:
    if value is None:
        return None
    at = context.read_instant(value) if type(value) is str else None
    if at is None or not 0 <= at < INSTANT_MAX:
        _refuse(code, f"{field} must be {_SOME_INSTANT}")
    return at
