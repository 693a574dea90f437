"""Rule fields: what requests may say, and how a refusal helps."""

from __future__ import annotations

from typing import Any

import pytest

from libs.domain.calendar.cron_text import parse, parse_extended
from libs.domain.calendar.rule import Interval, Rule, Spread
from libs.domain.calendar.rule_fields import EXCLUDE_COUNT_MAX, RuleContext, RuleError, read_rule
from libs.domain.calendar.ticks import Dst, Excluded, WallClock
from libs.domain.calendar.zones import UTC as UTC_ZONE
from tests.unit.domain.calendar.zone_examples import BERLIN, ms

ZONES = {"Europe/Berlin": BERLIN, "UTC": UTC_ZONE}
NOW = ms("2026-05-01 00:00") + 700
DAY = NOW // 86_400_000


def read_instant(text: str) -> int | None:
    return ms(text[:-1]) if text.endswith("Z") else None


CONTEXT = RuleContext(
    now=NOW, zone_names=frozenset(ZONES), zone=ZONES.__getitem__, read_instant=read_instant, interval_min_s=2
)


def read(**fields: Any) -> Rule:
    return read_rule(fields, CONTEXT)


def test_a_cron_alone_is_in_utc() -> None:
    """All else has its default, and null is the default."""
    plain = Rule(when=WallClock(cron=parse("0 8 * * *"), zone=UTC_ZONE))

    assert read(cron="0 8 * * *") == plain
    nothing = dict.fromkeys(("every", "timezone", "dst", "starts_at", "ends_at", "exclude", "spread"))
    assert read(cron="0 8 * * *", **nothing) == plain
    assert read(cron="0 8 * * *", dst={"gap": None}, exclude=[]) == plain
    assert read(cron="@daily", url="not looked at").when == WallClock(cron=parse_extended("0 0 * * *"), zone=UTC_ZONE)


def test_a_zone_stands_in_its_field_or_before_the_cron() -> None:
    """Both mean the same."""
    expected = Rule(when=WallClock(cron=parse("0 8 * * *"), zone=BERLIN, dst=Dst("skip", "both")))
    dst = {"gap": "skip", "fold": "both"}

    assert read(cron="0 8 * * *", timezone="Europe/Berlin", dst=dst) == expected
    assert read(cron="CRON_TZ=Europe/Berlin 0 8 * * *", dst=dst) == expected


def test_an_interval_begins_now() -> None:
    """Its anchor is the second of the request unless another one is given; whole numbers may be written 60.0."""
    assert read(every={"seconds": 60.0}).when == Interval(every_s=60, anchor_at=NOW - 700)
    given = {"seconds": 60, "anchor": "2020-01-01T00:00:05Z"}
    assert read(every=given).when == Interval(every_s=60, anchor_at=ms("2020-01-01 00:00:05"))


def test_a_window_and_a_spread() -> None:
    """They are kept as they are given; by schedule is the default."""
    rule = read(
        cron="0 8 * * *",
        starts_at="2026-06-01T00:00:00Z",
        ends_at="2026-07-01T00:00:00Z",
        spread={"seconds": 30},
    )

    assert (rule.starts_at, rule.ends_at) == (ms("2026-06-01 00:00"), ms("2026-07-01 00:00"))
    assert rule.spread == Spread(seconds=30, by="schedule")
    assert read(every={"seconds": 60}, spread={"seconds": 86_400, "by": "run"}).spread == Spread(
        seconds=86_400, by="run"
    )


def test_excluded_dates_are_sorted_and_joined() -> None:
    """Spans that touch or overlap are one span; a cron and an interval take them alike."""
    dates = ["2026-05-09", "2026-05-02/2026-05-04", "2026-05-03", "2026-05-05", "2026-05-07/2026-05-07"]
    expected = Excluded(first=(DAY + 1, DAY + 6, DAY + 8), last=(DAY + 4, DAY + 6, DAY + 8))

    assert read(cron="0 8 * * *", exclude=dates).when.excluded == expected
    assert read(every={"seconds": 60}, exclude=dates).when.excluded == expected


LONG = "x" * 2_000
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("invalid_cron", {}, "cron or every is missing"),
    ("invalid_cron", {"cron": None, "every": None}, "cron or every is missing"),
    ("invalid_every", {"cron": "0 8 * * *", "every": {"seconds": 60}}, "leave one of them out"),
    ("invalid_cron", {"cron": 5}, "cron must be a string of five fields"),
    ("invalid_cron", {"cron": "0 0 ? * *"}, "cron: day-of-month: write * for ?"),
    ("invalid_cron", {"cron": f"{LONG} {LONG} {LONG} {LONG} {LONG}"}, "cron: a cron expression has at most 128 characters"),
    ("invalid_cron", {"cron": "0 0 30 2 *"}, "cron never fires within 5 years"),
    ("invalid_timezone", {"cron": "CRON_TZ=UTC 0 8 * * *", "timezone": "UTC"}, "leave one of them out"),
    ("invalid_timezone", {"cron": "0 8 * * *", "timezone": "europe/berlin"}, "did you mean Europe/Berlin?"),
    ("invalid_timezone", {"cron": "0 8 * * *", "timezone": "CEST"}, "such as Europe/Berlin, and 'CEST' is not one"),
    ("invalid_timezone", {"cron": "CRON_TZ= 0 8 * * *"}, "such as Europe/Berlin, and '' is not one"),
    ("invalid_timezone", {"cron": "0 8 * * *", "timezone": LONG}, "must be a name of the IANA time zones"),
    ("invalid_timezone", {"cron": "0 8 * * *", "timezone": 2}, "must be a name of the IANA time zones"),
    ("invalid_timezone", {"every": {"seconds": 60}, "timezone": "UTC"}, "leave timezone out"),
    ("invalid_dst", {"every": {"seconds": 60}, "dst": {}}, "leave dst out"),
    ("invalid_dst", {"cron": "0 8 * * *", "dst": "shift"}, "dst must be an object with gap and fold"),
    ("invalid_dst", {"cron": "0 8 * * *", "dst": {"gaps": "skip"}}, "alone, such as"),
    ("invalid_dst", {"cron": "0 8 * * *", "dst": {"gap": "first"}}, "dst.gap must be shift or skip"),
    ("invalid_dst", {"cron": "0 8 * * *", "dst": {"fold": 1}}, "dst.fold must be first or both"),
    ("invalid_every", {"every": 60}, "every must be an object with seconds and anchor"),
    ("invalid_every", {"every": {}}, "every.seconds must be a whole number from 1 to 31,536,000"),
    ("invalid_every", {"every": {"seconds": 0}}, "every.seconds must be a whole number"),
    ("invalid_every", {"every": {"seconds": True}}, "every.seconds must be a whole number"),
    ("invalid_every", {"every": {"seconds": 1.5}}, "every.seconds must be a whole number"),
    ("invalid_every", {"every": {"seconds": 31_536_001}}, "every.seconds must be a whole number"),
    ("interval_too_short", {"every": {"seconds": 1}}, "every.seconds must be at least 2"),
    ("invalid_every", {"every": {"seconds": 60, "anchor": "now"}}, "every.anchor must be an instant in 1970-2199"),
    ("invalid_every", {"every": {"seconds": 60, "anchor": 7}}, "every.anchor must be an instant"),
    ("invalid_window", {"cron": "0 8 * * *", "starts_at": "2200-01-01 00:00Z"}, "starts_at must be an instant in 1970-2199"),
    ("invalid_window", {"cron": "0 8 * * *", "ends_at": "1969-01-01 00:00Z"}, "ends_at must be an instant"),
    ("invalid_window", {"cron": "0 8 * * *", "ends_at": "2026-05-01 00:00Z"}, "ends_at must be in the future"),
    (
        "invalid_window",
        {"cron": "0 8 * * *", "starts_at": "2026-06-01 00:00Z", "ends_at": "2026-06-01 00:00Z"},
        "ends_at must be after starts_at",
    ),
    (
        "invalid_window",
        {"cron": "0 8 * * *", "starts_at": "2026-06-01 08:01Z", "ends_at": "2026-06-02 07:59Z"},
        "no tick lies between starts_at and ends_at",
    ),
    ("invalid_exclude", {"cron": "0 8 * * *", "exclude": "2026-12-24"}, "must be a list of at most 366"),
    ("invalid_exclude", {"cron": "0 8 * * *", "exclude": ["2026-12-24"] * (EXCLUDE_COUNT_MAX + 1)}, "at most 366"),
    ("invalid_exclude", {"cron": "0 8 * * *", "exclude": ["24.12.2026"]}, "not '24.12.2026'"),
    ("invalid_exclude", {"cron": "0 8 * * *", "exclude": ["2026-02-29"]}, "not '2026-02-29'"),
    ("invalid_exclude", {"cron": "0 8 * * *", "exclude": ["2026-12-26/2026-12-24"]}, 'such as "2026-12-24"'),
    ("invalid_exclude", {"cron": "0 8 * * *", "exclude": ["2026-12-26/2200-01-01"]}, "of 1970-2199"),
    ("invalid_exclude", {"cron": "0 8 * * *", "exclude": [LONG]}, 'such as "2026-12-24"'),
    ("invalid_exclude", {"cron": "0 8 * * *", "exclude": [20261224]}, 'such as "2026-12-24"'),
    ("invalid_exclude", {"cron": "0 8 * * *", "exclude": ["2026-05-01/2199-12-31"]}, "exclude leaves no tick"),
    ("invalid_spread", {"cron": "0 8 * * *", "spread": 30}, "spread must be an object with seconds and by"),
    ("invalid_spread", {"cron": "0 8 * * *", "spread": {"by": "run"}}, "spread.seconds must be a whole number from 1 to 86,400"),
    ("invalid_spread", {"cron": "0 8 * * *", "spread": {"seconds": 5, "by": "job"}}, "spread.by must be schedule or run"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "fields", "message"), REFUSED)
def test_a_refusal_names_the_field_and_a_remedy(code: str, fields: dict[str, Any], message: str) -> None:
    """The code is the field's, the message is short whatever was sent."""
    with pytest.raises(RuleError) as refusal:
        read_rule(fields, CONTEXT)

    assert refusal.value.code == code
    assert message in refusal.value.message
    assert str(refusal.value) == refusal.value.message
    assert len(refusal.value.message) < 400
