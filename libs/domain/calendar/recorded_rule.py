"""
Recorded rule: a rule as the log keeps it (`ScheduleRule`), and back to one that can be asked for its ticks.

The log keeps what was asked for, not the tables of a time zone: which zone data decided an instant stands beside the instant.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from libs.domain.calendar.cron_text import CronError, parse, parse_extended
from libs.domain.calendar.rule import Interval, Rule, Spread
from libs.domain.calendar.ticks import NO_DATES, Dst, Excluded, WallClock
from libs.domain.calendar.zones import UTC, Zone
from libs.events import ScheduleRule

ZoneLookup = Callable[[str], Zone | None]  # by its name; None: the zone data at hand has no such zone

CACHE_COUNT_MAX: Final = 4_096  # rules kept ready; most schedules share few

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


def only_utc(name: str) -> Zone | None:
    """Know no zone but UTC."""
    return UTC if name == "UTC" else None


def zone_data_of(zones: ZoneLookup) -> str:
    """Return the version of the zone data in *zones*."""
    utc = zones("UTC")
    return "" if utc is None else utc.version


@lru_cache(maxsize=CACHE_COUNT_MAX)
def rule_of_cron(text: str) -> Rule | None:
    """Return the rule of a `cron` of the first contract, in UTC; None if this build cannot read it."""
    try:
        return Rule(when=WallClock(cron=parse(text), zone=UTC))
    except CronError:
        return None


def rule_of(record: ScheduleRule, zones: ZoneLookup) -> Rule | None:
    """
    Return the rule that *record* describes; None if this build cannot read it, or if *zones* does not know its zone.

    Such a rule stops its own schedule and nothing else.
    """
    zone = zones(record.zone)
    return None if zone is None else _rules.get(record, zone)


def record_of(rule: Rule) -> ScheduleRule:
    """Return the record of *rule*; the inverse of `rule_of`."""
    when, spread = rule.when, rule.spread
    record = ScheduleRule(
        starts_at=rule.starts_at,
        ends_at=rule.ends_at,
        exclude=tuple(_span_text(*span) for span in zip(when.excluded.first, when.excluded.last, strict=True)),
        spread_s=None if spread is None else spread.seconds,
        spread_by="schedule" if spread is None else spread.by,
    )
    if isinstance(when, Interval):
        return replace(record, every_s=when.every_s, anchor_at=when.anchor_at)
    return replace(record, cron=when.cron.text, zone=when.zone.name, gap=when.dst.gap, fold=when.dst.fold)


def is_plain(record: ScheduleRule) -> bool:
    """Say whether `schedule.created` can describe it: five fields of the first contract's grammar in UTC, and nothing else."""
    if record.cron is None or record != ScheduleRule(cron=record.cron):
        return False
    return rule_of_cron(record.cron) is not None


class _Rules:
    """The rules made lately, by record and zone: a zone is a large table, and is compared by its name and version."""

    def __init__(self) -> None:
        self._made: dict[tuple[ScheduleRule, str, str], Rule | None] = {}

    def get(self, record: ScheduleRule, zone: Zone) -> Rule | None:
        key = (record, zone.name, zone.version)
        if key not in self._made:
            if len(self._made) >= CACHE_COUNT_MAX:
                self._made.clear()
            self._made[key] = _read(record, zone)
        return self._made[key]


_rules: Final = _Rules()


def _read(record: ScheduleRule, zone: Zone) -> Rule | None:
    try:
        excluded = _excluded(record.exclude)
        when: WallClock | Interval
        if record.every_s is not None:
            when = Interval(every_s=record.every_s, anchor_at=record.anchor_at, excluded=excluded)
        else:
            cron = parse_extended(record.cron or "")
            when = WallClock(cron=cron, zone=zone, dst=Dst(record.gap, record.fold), excluded=excluded)
    except ValueError:  # a CronError, or a date that is none
        return None
    spread = None if record.spread_s is None else Spread(seconds=record.spread_s, by=record.spread_by)
    return Rule(when=when, starts_at=record.starts_at, ends_at=record.ends_at, spread=spread)


def _excluded(texts: tuple[str, ...]) -> Excluded:
    if not texts:
        return NO_DATES
    spans = [text.partition("/") for text in texts]
    return Excluded(
        first=tuple(_day(begin) for begin, _, _ in spans), last=tuple(_day(end or begin) for begin, _, end in spans)
    )


def _day(text: str) -> int:
    return date.fromisoformat(text).toordinal() - _EPOCH_ORDINAL


def _span_text(first: int, last: int) -> str:
    begin, end = (date.fromordinal(_EPOCH_ORDINAL + day).isoformat() for day in (first, last))
    return begin if first == last else f"{begin}/{end}"
