"""Preview: the coming ticks as the wall clock shows them."""

from __future__ import annotations

import pytest

from libs.domain.calendar.cron_text import parse
from libs.domain.calendar.preview import ComingTick, preview
from libs.domain.calendar.rule import Interval, Rule
from libs.domain.calendar.ticks import Dst, WallClock
from libs.domain.calendar.zones import Zone
from tests.unit.domain.calendar.zone_examples import APIA, BERLIN, MONROVIA, ms


def lines(cron: str, zone: Zone, after: str, count: int, dst: Dst) -> list[tuple[str, str, str | None]]:
    rule = Rule(when=WallClock(cron=parse(cron), zone=zone, dst=dst))
    return [(each.local, each.nominal_local, each.note) for each in preview(rule, ms(after), count)]


def test_a_gap_is_noted() -> None:
    """The wall clock never shows 02:30 on 29 March: the tick is at 03:00, and says for which minute."""
    assert lines("30 2 * * *", BERLIN, "2026-03-28 00:00", 3, Dst()) == [
        ("2026-03-28T02:30:00+01:00[Europe/Berlin]", "2026-03-28T02:30", None),
        ("2026-03-29T03:00:00+02:00[Europe/Berlin]", "2026-03-29T02:30", "gap"),
        ("2026-03-30T02:30:00+02:00[Europe/Berlin]", "2026-03-30T02:30", None),
    ]
    assert lines("30 2 * * *", APIA, "2011-12-30 00:00", 1, Dst()) == [
        ("2011-12-31T00:00:00+14:00[Pacific/Apia]", "2011-12-30T02:30", "gap")
    ]


def test_a_fold_is_noted() -> None:
    """02:30 is shown twice on 25 October; the offset tells which of the two it is."""
    once = ("2026-10-25T02:30:00+02:00[Europe/Berlin]", "2026-10-25T02:30", "fold")
    again = ("2026-10-25T02:30:00+01:00[Europe/Berlin]", "2026-10-25T02:30", "fold")

    assert lines("30 2 25 10 *", BERLIN, "2026-10-24 12:00", 1, Dst()) == [once]
    assert lines("30 2 25 10 *", BERLIN, "2026-10-24 12:00", 2, Dst("skip", "both")) == [once, again]


def test_offsets_may_have_seconds() -> None:
    """Behind UTC, with seconds."""
    assert lines("0 0 * * *", MONROVIA, "1972-01-06 00:00", 1, Dst()) == [
        ("1972-01-06T00:00:00-00:44:30[Africa/Monrovia]", "1972-01-06T00:00", None)
    ]


def test_an_interval_is_shown_in_utc() -> None:
    """With its milliseconds if it has some."""
    rule = Rule(when=Interval(every_s=90, anchor_at=0))
    odd = Rule(when=Interval(every_s=90, anchor_at=250))

    assert preview(rule, ms("1970-01-01 00:00"), 1) == [
        ComingTick(at=90_000, local="1970-01-01T00:01:30+00:00[UTC]", nominal_local="1970-01-01T00:01:30", note=None)
    ]
    assert preview(odd, 0, 1)[0].local == "1970-01-01T00:00:00.250+00:00[UTC]"


def test_a_preview_ends_with_its_rule() -> None:
    """If there are no more ticks, it has fewer lines."""
    rule = Rule(when=Interval(every_s=90, anchor_at=0), ends_at=180_000)

    assert [each.at for each in preview(rule, 0, 100)] == [90_000, 180_000]


@pytest.mark.parametrize("count", [0, 101, -1])
def test_a_preview_has_a_limit(count: int) -> None:
    """One to a hundred lines."""
    with pytest.raises(ValueError, match="1 to 100"):
        preview(Rule(when=Interval(every_s=90, anchor_at=0)), 0, count)
