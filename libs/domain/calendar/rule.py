"""
Rule: when a schedule ticks.

A rule is a cron in a time zone, or an interval; besides, the first and last instant at which it may tick, dates on which it
does not, and a spread. It is a value: two rules that are equal tick at the same instants, if the version of the zone data is
the same.

Instants are milliseconds since 1970, and ticks are whole seconds. A tick is a *nominal* instant: it names the slot, and the
spread says how much later the call is made (`fire_at`).

Not safe.  Instants outside 1970-2199 are refused (ValueError).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

from libs.domain.calendar.cron import HORIZON_MS, require_instant
from libs.domain.calendar.ticks import NO_DATES, Excluded, WallClock, latest_tick, next_tick

_DAY_MS: Final = 86_400_000
_GAP_MS: Final = 1_000  # between the latest instant that a spread may choose and the next tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """
    Ticks at anchor + k * every, for every whole number k: elapsed time, without a zone.

    Args:
        every_s: seconds between two ticks, at least 1.
        anchor_at: one of the ticks, a whole second.
        excluded: UTC dates without ticks.
    """

    every_s: int
    anchor_at: int
    excluded: Excluded = NO_DATES

    def first(self, from_at: int, to_at: int) -> int | None:
        """Return the first tick in [*from_at*, *to_at*], or None."""
        every_ms = self.every_s * 1_000
        while True:
            tick = from_at + (self.anchor_at - from_at) % every_ms
            if tick > to_at:
                return None
            span = self.excluded.span_of(tick // _DAY_MS)
            if span is None:
                return tick
            from_at = (span[1] + 1) * _DAY_MS

    def last(self, from_at: int, to_at: int) -> int | None:
        """Return the last tick in [*from_at*, *to_at*], or None."""
        every_ms = self.every_s * 1_000
        while True:
            tick = to_at - (to_at - self.anchor_at) % every_ms
            if tick < from_at:
                return None
            span = self.excluded.span_of(tick // _DAY_MS)
            if span is None:
                return tick
            to_at = span[0] * _DAY_MS - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """
    By how much a call is later than its tick, so that not all schedules call at the same instant.

    Args:
        seconds: the delay is less than this, from 1.
        by: ``schedule``: the same delay at each tick; ``run``: another one at each tick.
    """

    seconds: int
    by: Literal["schedule", "run"] = "schedule"

    def delay_ms(self, schedule_id: str, tick_at: int) -> int:
        """Return the delay of one tick: always the same for the same arguments."""
        text = schedule_id if self.by == "schedule" else f"{schedule_id}@{tick_at}"
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") % (self.seconds * 1_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    When a schedule ticks. Made by `rule_fields.read_rule`.

    Args:
        when: the cron in its zone, or the interval, without the excluded dates.
        starts_at: first instant at which it may tick; None means any.
        ends_at: last instant at which it may tick; None means any.
        spread: how much later than its ticks the calls are made; None means at the ticks.
    """

    when: WallClock | Interval
    starts_at: int | None = None
    ends_at: int | None = None
    spread: Spread | None = None

    def next_after(self, at: int) -> int | None:
        """
        Return the first tick after *at*, or None if there is none within five years (1,827 days).

        If the rule starts later than *at*, the five years are counted from its start.

        Raises:
            ValueError: *at* is not an instant in 1970-2199.
        """
        require_instant(at)
        after = at if self.starts_at is None else max(at, self.starts_at - 1)
        until = after + HORIZON_MS if self.ends_at is None else min(after + HORIZON_MS, self.ends_at)
        if isinstance(self.when, Interval):
            return self.when.first(after + 1, until)
        tick = next_tick(self.when, after // 1_000 + 1, until // 1_000)
        return None if tick is None else tick.second * 1_000

    def latest_at_or_before(self, at: int, not_before: int) -> int | None:
        """
        Return the last tick in [*not_before*, *at*], or None.

        Raises:
            ValueError: one of the two is not an instant in 1970-2199.
        """
        require_instant(at)
        require_instant(not_before)
        until = at if self.ends_at is None else min(at, self.ends_at)
        since = not_before if self.starts_at is None else max(not_before, self.starts_at)
        if isinstance(self.when, Interval):
            return self.when.last(since, until)
        tick = latest_tick(self.when, -(-since // 1_000), until // 1_000)
        return None if tick is None else tick.second * 1_000

    def fire_at(self, schedule_id: str, tick_at: int) -> int:
        """
        Return when the call of the tick at *tick_at* is made: at the tick or later by the spread, but a second before the next.

        Raises:
            ValueError: *tick_at* is not an instant in 1970-2199.
        """
        if self.spread is None:
            return tick_at
        delay_ms = self.spread.delay_ms(schedule_id, tick_at)
        following = self.next_after(tick_at)
        return tick_at + (delay_ms if following is None else min(delay_ms, following - _GAP_MS - tick_at))
