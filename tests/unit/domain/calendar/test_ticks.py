"""Ticks: what a cron does in a time zone, at clock changes above all."""

from __future__ import annotations

import pytest

from libs.domain.calendar.cron_text import parse
from libs.domain.calendar.ticks import AS_DEBIAN, NO_DATES, Dst, Excluded, WallClock, latest_tick, next_tick
from libs.domain.calendar.zones import Zone
from tests.unit.domain.calendar.zone_examples import APIA, BERLIN, MONROVIA, RESTLESS, second, shown, wall

BOTH = Dst("skip", "both")


def ticks(clock: WallClock, begin: str, end: str) -> list[str | None]:
    """Return all ticks from *begin* to *end*, after looking for them forwards, then backwards."""
    low, high = second(begin), second(end)
    forwards, at = [], low
    while (tick := next_tick(clock, at, high)) is not None:
        forwards.append(tick)
        at = tick.second + 1
    backwards, at = [], high
    while (tick := latest_tick(clock, low, at)) is not None:
        backwards.append(tick)
        at = tick.second - 1

    assert forwards == backwards[::-1]
    return [shown(tick.second) for tick in forwards]


def clock(cron: str, zone: Zone = BERLIN, dst: Dst = AS_DEBIAN, excluded: Excluded = NO_DATES) -> WallClock:
    return WallClock(cron=parse(cron), zone=zone, dst=dst, excluded=excluded)


GAP = ("2026-03-28 12:00", "2026-03-29 12:00")
FOLD = ("2026-10-24 12:00", "2026-10-25 12:00")


@pytest.mark.parametrize(
    ("cron", "dst", "expected"),
    [
        ("30 2 * * *", Dst("shift", "first"), ["2026-03-29 01:00"]),
        ("30 2 * * *", Dst("skip", "first"), []),
        ("30 1 * * *", Dst("shift", "first"), ["2026-03-29 00:30"]),
        ("0,30 2-3 * * *", Dst("shift", "both"), ["2026-03-29 01:00", "2026-03-29 01:30"]),
        ("0,30 2-3 * * *", Dst("skip", "both"), ["2026-03-29 01:00", "2026-03-29 01:30"]),
        ("*/30 2 * * *", Dst("shift", "first"), []),
        ("30 */2 * * *", Dst("shift", "first"), [f"2026-03-28 {hour}:30" for hour in (13, 15, 17, 19, 21, 23)]
         + [f"2026-03-29 {hour:02}:30" for hour in (2, 4, 6, 8, 10)]),
    ],
)  # fmt: skip
def test_forward(cron: str, dst: Dst, expected: list[str]) -> None:
    """At the end of a gap a fixed-time cron makes up for what it named in there, if it shifts; a periodic one never does."""
    assert ticks(clock(cron, dst=dst), *GAP) == expected


@pytest.mark.parametrize(
    ("cron", "dst", "expected"),
    [
        ("30 2 * * *", Dst("shift", "first"), ["2026-10-25 00:30"]),
        ("30 2 * * *", Dst("shift", "both"), ["2026-10-25 00:30", "2026-10-25 01:30"]),
        ("0 3 * * *", Dst("shift", "both"), ["2026-10-25 02:00"]),
        ("*/30 2 * * *", Dst("shift", "first"), ["2026-10-25 00:00", "2026-10-25 00:30", "2026-10-25 01:00", "2026-10-25 01:30"]),
        ("30 2,4 * * *", Dst("skip", "both"), ["2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 03:30"]),
    ],
)  # fmt: skip
def test_back(cron: str, dst: Dst, expected: list[str]) -> None:
    """In a fold a fixed-time cron ticks the first time, or both times if it is told to; a periodic one always does."""
    assert ticks(clock(cron, dst=dst), *FOLD) == expected


def test_a_gap_is_one_tick_whose_nominal_minute_is_the_latest() -> None:
    """02:00 and 02:30 tick together at 03:00, as 02:30; if 03:00 is named too, as 03:00."""
    change = second("2026-03-29 01:00")
    for cron, nominal in (("0,30 2 * * *", "02:30"), ("0,30 2-3 * * *", "03:00")):
        found = next_tick(clock(cron), change - 600, change + 600)

        assert found is not None
        assert (found.second, wall(found.minute)) == (change, f"2026-03-29 {nominal}")
        assert latest_tick(clock(cron), change - 600, change + 600) == found
        assert next_tick(clock(cron), change, change) == found
        assert next_tick(clock(cron), change + 1, change + 600) is None


def test_starting_at_a_clock_change() -> None:
    """What was shown before has ticked, what begins with the change has not; the gap before it is made up for."""
    forward, back = second("2026-03-29 01:00"), second("2026-10-25 01:00")

    for cron, dst in (("0 * * * *", AS_DEBIAN), ("*/30 2,3 * * *", BOTH), ("0 2-3 * * *", BOTH)):
        for at in (back, forward) if cron != "*/30 2,3 * * *" else (back,):
            found = next_tick(clock(cron, dst=dst), at, at + 600)

            assert found is not None
            assert found.second == at
    found = next_tick(clock("0 2-3 * * *"), back, back + 7_200)
    assert found is not None
    assert shown(found.second) == "2026-10-25 02:00"


def test_bounds_are_part_of_what_is_looked_at() -> None:
    """A tick at either bound is found; a second beside it, it is not."""
    noon = second("2026-07-01 10:00")
    daily = clock("0 12 * * *")

    for find in (next_tick, latest_tick):
        assert find(daily, noon, noon) == (noon, (noon + 7_200) // 60)
        assert find(daily, noon - 60, noon - 1) is None
        assert find(daily, noon + 1, noon + 60) is None
        assert find(daily, noon + 60, noon - 60) is None


def test_starting_inside_the_second_pass_of_a_fold() -> None:
    """There a cron that ticks once has ticked; looking back from there finds what it named later on in the first pass."""
    inside = second("2026-10-25 01:10")  # 02:10 for the second time

    assert next_tick(clock("30 2 * * *"), inside, inside + 3_600) is None
    assert latest_tick(clock("30 2 * * *"), 0, inside) == (second("2026-10-25 00:30"), second("2026-10-25 02:30") // 60)
    again = latest_tick(clock("5,30 2 * * *", dst=BOTH), 0, inside)
    assert again is not None
    assert shown(again.second) == "2026-10-25 01:05"


def test_a_day_that_never_was() -> None:
    """Apia had no 30 December 2011: its minutes tick when the 31st begins, or not at all, and then they are one tick."""
    span = ("2011-12-29 00:00", "2012-01-01 00:00")

    assert ticks(clock("30 2 * * *", APIA), *span) == [
        "2011-12-29 12:30",
        "2011-12-30 10:00",
        "2011-12-30 12:30",
        "2011-12-31 12:30",
    ]
    assert ticks(clock("30 2 * * *", APIA, BOTH), *span) == ["2011-12-29 12:30", "2011-12-30 12:30", "2011-12-31 12:30"]
    assert ticks(clock("0 0 30 12 *", APIA), *span) == ["2011-12-30 10:00"]


def test_offsets_with_seconds() -> None:
    """Monrovia was 44 minutes and 30 seconds behind UTC until 1972: wall minutes tick at half minutes of UTC."""
    assert ticks(clock("0 0 * * *", MONROVIA), "1972-01-05 00:00", "1972-01-08 12:00") == [
        "1972-01-05 00:44:30",
        "1972-01-06 00:44:30",
        "1972-01-07 00:44:30",
        "1972-01-08 00:00",
    ]


def test_clock_changes_within_clock_changes() -> None:
    """Wall minutes that a zone shows three times tick once or each time; a jump over minutes shown before is no gap."""
    span = ("2026-05-31 22:00", "2026-06-01 03:00")  # 00:00 to 02:00, 01:00 to 01:15, 01:45 to 04:30 on the wall

    assert ticks(clock("10,30,50 1 * * *", RESTLESS), *span) == [
        "2026-05-31 23:10",
        "2026-05-31 23:30",
        "2026-05-31 23:50",
    ]
    assert ticks(clock("10,30,50 1 * * *", RESTLESS, Dst("shift", "both")), *span) == [
        *("2026-05-31 23:10", "2026-05-31 23:30", "2026-05-31 23:50"),
        *("2026-06-01 00:10", "2026-06-01 00:20"),
    ]
    assert ticks(clock("45 1,2 * * *", RESTLESS), *span) == ["2026-05-31 23:45", "2026-06-01 01:15"]


def test_excluded_dates_have_no_ticks() -> None:
    """What is named on them does not exist, forwards, backwards and in a gap; the days beside them tick."""
    days = [second(f"2026-03-{day} 00:00") // 86_400 for day in (27, 28, 29)]
    some = Excluded(first=(days[0],), last=(days[1],))
    gap_day = Excluded(first=(days[2],), last=(days[2],))

    assert ticks(clock("30 2 * * *", excluded=some), "2026-03-26 00:00", "2026-03-30 00:00") == [
        "2026-03-26 01:30",
        "2026-03-29 01:00",
    ]
    assert ticks(clock("30 2 * * *", excluded=gap_day), "2026-03-28 00:00", "2026-03-31 00:00") == [
        "2026-03-28 01:30",
        "2026-03-30 00:30",
    ]
    assert some.span_of(days[0] - 1) is None
    assert some.span_of(days[1]) == (days[0], days[1])


def test_nothing_is_named() -> None:
    """A cron that no year has days for finds nothing, however many transitions lie in between."""
    for dst in (AS_DEBIAN, BOTH):
        never = clock("0 0 30 2 *", dst=dst)

        assert next_tick(never, second("2026-01-01 00:00"), second("2028-01-01 00:00")) is None
        assert latest_tick(never, second("2026-01-01 00:00"), second("2028-01-01 00:00")) is None
