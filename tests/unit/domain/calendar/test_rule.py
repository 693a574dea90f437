"""Rules: crons and intervals with a window, excluded dates and a spread."""

from __future__ import annotations

import pytest

from libs.domain.calendar import cron
from libs.domain.calendar.cron_text import parse
from libs.domain.calendar.rule import Interval, Rule, Spread
from libs.domain.calendar.ticks import Excluded, WallClock
from libs.domain.calendar.zones import UTC
from tests.unit.domain.calendar.zone_examples import BERLIN, ms, shown

DAY_MS = 86_400_000
BY_SCHEDULE, BY_RUN = 479877, [442991, 180995]  # golden: a schedule that is stored keeps them for ever
DAILY = WallClock(cron=parse("0 8 * * *"), zone=BERLIN)
HALF_HOURLY = Interval(every_s=1_800, anchor_at=ms("2026-05-01 00:10"))


def following(rule: Rule, after: str, count: int) -> list[str | None]:
    """Return the next ticks, as text."""
    found: list[str | None] = []
    at: int | None = ms(after)
    while len(found) < count and at is not None:
        at = rule.next_after(at)
        found.append(None if at is None else shown(at // 1_000))
    return found


def test_a_cron_in_utc_ticks_as_it_always_did() -> None:
    """To the millisecond, and to the end of its five years."""
    for text in ("* * * * *", "*/7 3 * * 1", "0 0 29 2 *", "0 0 30 2 *"):
        rule = Rule(when=WallClock(cron=parse(text), zone=UTC))
        for at in (
            0,
            ms("2026-05-01 00:00"),
            ms("2026-05-01 00:00") - 1,
            ms("2096-02-29 00:00"),
            ms("2104-02-29 00:00") - 1827 * DAY_MS,
        ):
            assert rule.next_after(at) == cron.next_after(parse(text), at)
            assert rule.latest_at_or_before(at, 0) == cron.latest_at_or_before(parse(text), at, 0)


def test_a_cron_in_a_zone_follows_its_clock() -> None:
    """08:00 in Berlin is 07:00 UTC in winter and 06:00 in summer."""
    assert following(Rule(when=DAILY), "2026-03-27 12:00", 3) == [
        "2026-03-28 07:00",
        "2026-03-29 06:00",
        "2026-03-30 06:00",
    ]
    assert Rule(when=DAILY).latest_at_or_before(ms("2026-03-29 06:00") - 1, 0) == ms("2026-03-28 07:00")


def test_an_interval_counts_from_its_anchor_both_ways() -> None:
    """Before the anchor it ticks as well; a tick is never the instant that was asked about."""
    rule = Rule(when=HALF_HOURLY)

    assert following(rule, "2026-05-01 00:10", 2) == ["2026-05-01 00:40", "2026-05-01 01:10"]
    assert following(rule, "2026-04-30 23:39", 2) == ["2026-04-30 23:40", "2026-05-01 00:10"]
    assert rule.latest_at_or_before(ms("2026-05-01 00:39"), 0) == ms("2026-05-01 00:10")
    assert rule.latest_at_or_before(ms("2026-05-01 00:40"), 0) == ms("2026-05-01 00:40")
    assert rule.latest_at_or_before(ms("2026-05-01 00:39"), ms("2026-05-01 00:11")) is None


def test_an_interval_keeps_its_milliseconds() -> None:
    """An anchor between two seconds is kept."""
    rule = Rule(when=Interval(every_s=1, anchor_at=1_234))

    assert rule.next_after(5_000) == 5_234
    assert rule.next_after(5_234) == 6_234


def test_an_interval_has_no_ticks_on_excluded_dates() -> None:
    """Dates of an interval are UTC's; the count goes on beneath them."""
    day = ms("2026-05-01 00:00") // DAY_MS
    rule = Rule(
        when=Interval(
            every_s=25 * 3_600, anchor_at=ms("2026-04-30 00:00"), excluded=Excluded(first=(day,), last=(day + 1,))
        )
    )

    assert following(rule, "2026-04-30 00:00", 2) == ["2026-05-03 03:00", "2026-05-04 04:00"]
    assert rule.latest_at_or_before(ms("2026-05-03 00:00"), 0) == ms("2026-04-30 00:00")
    assert rule.latest_at_or_before(ms("2026-05-03 00:00"), ms("2026-05-01 00:00")) is None


@pytest.mark.parametrize("when", [DAILY, Interval(every_s=86_400, anchor_at=ms("2026-05-01 06:00"))])
def test_both_ends_of_the_window_are_part_of_it(when: WallClock | Interval) -> None:
    """A tick at starts_at or ends_at counts; a millisecond beyond, it does not."""
    begin, end = ms("2026-05-01 06:00"), ms("2026-05-03 06:00")
    rule = Rule(when=when, starts_at=begin, ends_at=end)
    inner = Rule(when=when, starts_at=begin + 1, ends_at=end - 1)

    assert following(rule, "2026-01-01 00:00", 4) == ["2026-05-01 06:00", "2026-05-02 06:00", "2026-05-03 06:00", None]
    assert following(inner, "2026-01-01 00:00", 2) == ["2026-05-02 06:00", None]
    assert rule.latest_at_or_before(ms("2026-12-01 00:00"), 0) == end
    assert rule.latest_at_or_before(begin, 0) == begin
    assert rule.latest_at_or_before(begin - 1, 0) is None
    assert inner.latest_at_or_before(ms("2026-05-02 05:59"), 0) is None


def test_five_years_count_from_the_start_of_the_window() -> None:
    """A rule that starts in twenty years has a next tick; one without a tick in five years has none."""
    assert Rule(when=DAILY, starts_at=ms("2046-01-01 00:00")).next_after(ms("2026-01-01 00:00")) == ms(
        "2046-01-01 07:00"
    )
    assert Rule(when=WallClock(cron=parse("0 0 30 2 *"), zone=BERLIN)).next_after(ms("2026-01-01 00:00")) is None
    assert (
        Rule(when=Interval(every_s=1, anchor_at=0, excluded=Excluded(first=(0,), last=(80_000,)))).next_after(0) is None
    )


def test_a_spread_is_the_same_whoever_asks() -> None:
    """Golden: by schedule the delay is one for all ticks, by run each tick has its own; both are less than the seconds."""
    by_schedule = Rule(when=DAILY, spread=Spread(seconds=600))
    by_run = Rule(when=DAILY, spread=Spread(seconds=600, by="run"))
    ticks = [ms("2026-05-01 06:00"), ms("2026-05-02 06:00")]

    assert [by_schedule.fire_at("sched_01", tick) - tick for tick in ticks] == [BY_SCHEDULE, BY_SCHEDULE]
    assert [by_run.fire_at("sched_01", tick) - tick for tick in ticks] == BY_RUN
    assert by_schedule.fire_at("sched_02", ticks[0]) != by_schedule.fire_at("sched_01", ticks[0])
    assert Rule(when=DAILY).fire_at("sched_01", ticks[0]) == ticks[0]


def test_a_spread_ends_a_second_before_the_next_tick() -> None:
    """However long the spread; after the last tick nothing cuts it."""
    second = Rule(when=Interval(every_s=1, anchor_at=0), spread=Spread(seconds=86_400))
    minute = Rule(when=Interval(every_s=60, anchor_at=0), spread=Spread(seconds=86_400))
    last = Rule(when=Interval(every_s=60, anchor_at=0), ends_at=60_000, spread=Spread(seconds=86_400))

    assert second.fire_at("sched_01", 5_000) == 5_000
    assert minute.fire_at("sched_01", 60_000) == 60_000 + 59_000
    assert last.fire_at("sched_01", 60_000) > 120_000


def test_instants_outside_the_calendar_are_refused() -> None:
    """As for a cron: 1970 to 2199."""
    for rule in (Rule(when=DAILY), Rule(when=HALF_HOURLY)):
        for wrong in (-1, ms("2200-01-01 00:00")):
            with pytest.raises(ValueError, match="1970 to 2199"):
                rule.next_after(wrong)
            with pytest.raises(ValueError, match="1970 to 2199"):
                rule.latest_at_or_before(wrong, 0)
            with pytest.raises(ValueError, match="1970 to 2199"):
                rule.latest_at_or_before(0, wrong)
