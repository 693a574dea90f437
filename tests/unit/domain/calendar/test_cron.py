"""Cron: the grammar, the golden results and the edges of the calendar."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from libs.domain.calendar.cron import latest_at_or_before, next_after
from libs.domain.calendar.cron_text import CRON_LENGTH_MAX, CronError, check, parse

DAY_MS = 86_400_000


def at(text: str) -> int:
    """Return a UTC instant such as ``2026-04-01 09:00`` in ms."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def shown(at_ms: int | None) -> str | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def ticks(text: str, after: str, count: int) -> list[str | None]:
    cron, found, here = parse(text), [], at(after)
    for _ in range(count):
        tick = next_after(cron, here)
        assert tick is not None
        found.append(shown(tick))
        here = tick
    return found


# Golden: these results never change, whatever happens to the evaluator (B17). 2026-04-01 is a Wednesday.
GOLDEN = [
    ("* * * * *", "2026-04-01 00:00", ["2026-04-01 00:01", "2026-04-01 00:02"]),
    ("0 8 * * 1-5", "2026-04-03 08:00", ["2026-04-06 08:00", "2026-04-07 08:00"]),
    ("0 8 * * MON-Fri", "2026-04-03 08:00", ["2026-04-06 08:00", "2026-04-07 08:00"]),
    ("*/15 9-17 * * *", "2026-04-01 17:45", ["2026-04-02 09:00", "2026-04-02 09:15"]),
    ("10-50/20 0 * * *", "2026-04-01 00:10", ["2026-04-01 00:30", "2026-04-01 00:50", "2026-04-02 00:10"]),
    ("0 9-9 * * *", "2026-04-01 00:00", ["2026-04-01 09:00", "2026-04-02 09:00"]),  # not hourly, as croniter has it
    ("0 0 * * 1-1", "2026-04-01 00:00", ["2026-04-06 00:00", "2026-04-13 00:00"]),  # not daily
    ("0 7-7/2 * * *", "2026-04-01 00:00", ["2026-04-01 07:00", "2026-04-02 07:00"]),  # not 7-23/2, as cronsim has it
    ("0 0 * * 0", "2026-04-01 00:00", ["2026-04-05 00:00", "2026-04-12 00:00"]),
    ("0 0 * * 7", "2026-04-01 00:00", ["2026-04-05 00:00", "2026-04-12 00:00"]),
    ("0 0 * * sun", "2026-04-01 00:00", ["2026-04-05 00:00", "2026-04-12 00:00"]),
    ("0 0 * * 5-7", "2026-04-01 00:00", ["2026-04-03 00:00", "2026-04-04 00:00", "2026-04-05 00:00"]),
    ("0 0 * * */7", "2026-04-01 00:00", ["2026-04-05 00:00", "2026-04-12 00:00"]),
    ("0 0 13 * 5", "2026-04-01 00:00", ["2026-04-03 00:00", "2026-04-10 00:00", "2026-04-13 00:00"]),  # OR
    ("0 0 29 2 1", "2026-02-23 00:00", ["2027-02-01 00:00", "2027-02-08 00:00", "2027-02-15 00:00"]),  # OR
    ("0 0 29 2 1", "2028-02-28 00:00", ["2028-02-29 00:00", "2029-02-05 00:00"]),
    ("0 0 1-7 * */7", "2026-04-01 00:00", ["2026-04-05 00:00", "2026-05-03 00:00"]),  # AND: first Sunday
    ("0 0 */2 * 1", "2026-04-01 00:00", ["2026-04-13 00:00", "2026-04-27 00:00", "2026-05-11 00:00"]),  # AND
    ("0 0 *,13 * 5", "2026-04-01 00:00", ["2026-04-03 00:00", "2026-04-10 00:00"]),  # starts with a star: AND
    ("0 0 13,* * 5", "2026-04-01 00:00", ["2026-04-02 00:00", "2026-04-03 00:00"]),  # does not: OR with every day
    ("0 0 31 * *", "2026-04-01 00:00", ["2026-05-31 00:00", "2026-07-31 00:00", "2026-08-31 00:00"]),
    ("0 0 29 2 *", "2026-04-01 00:00", ["2028-02-29 00:00", "2032-02-29 00:00"]),
    ("59 23 31 dec *", "2026-04-01 00:00", ["2026-12-31 23:59", "2027-12-31 23:59"]),
    ("0 0 1 JAN,Jul *", "2026-12-31 23:59", ["2027-01-01 00:00", "2027-07-01 00:00"]),
    ("*/59 * * * *", "2026-04-01 00:00", ["2026-04-01 00:59", "2026-04-01 01:00"]),
    ("*/1000 * * * *", "2026-04-01 00:00", ["2026-04-01 01:00", "2026-04-01 02:00"]),
    ("00007 0 1 01 *", "2026-04-01 00:00", ["2027-01-01 00:07"]),
    ("  0   12  *  *  *  ", "2026-04-01 00:00", ["2026-04-01 12:00"]),
]


@pytest.mark.parametrize(("text", "after", "expected"), GOLDEN)
def test_ticks_are_the_golden_ones(text: str, after: str, expected: list[str]) -> None:
    """The ticks after an instant are those written down here."""
    assert ticks(text, after, len(expected)) == expected


REFUSED = [
    ("", "five fields"),
    ("   ", "five fields"),
    ("* * * *", "five fields"),
    ("* * * * * *", "five fields"),
    ("* * * * * 0 2099", "five fields"),
    ("@daily", "shorthands"),
    ("@reboot", "shorthands"),
    (" @every 5m", "shorthands"),
    ("* * * *\x00*", "printable ASCII"),
    ("* * * *\x1b *", "printable ASCII"),
    ("* * * *\u00a0*", "printable ASCII"),
    ("\u0661 * * * *", "printable ASCII"),
    ("\uff11 * * * *", "printable ASCII"),
    ("\ud800 * * * *", "printable ASCII"),
    ("\x00 * * * *", "printable ASCII"),
    ("R * * * *", "minute: 'R'"),
    ("R(0-30) * * * *", "minute: "),
    ("H * * * *", "minute: 'H'"),
    ("? * * * *", "minute: '?'"),
    ("* * ? * *", "day-of-month: '?'"),
    ("* * L * *", "day-of-month: 'L'"),
    ("* * 15W * *", "day-of-month: '15W'"),
    ("* * LW * *", "day-of-month: 'LW'"),
    ("* * * * 5#3", "day-of-week: '5#3'"),
    ("* * * * 5L", "day-of-week: '5L'"),
    ("59/15 * * * *", "minute: a step needs a range in '59/15'; write 59-59/15 or"),
    ("0 6/1 * * *", "hour: a step needs a range in '6/1'; write 6-23/1 or"),
    ("5-1 * * * *", "minute: the range '5-1' runs backwards"),
    ("* * * * fri-sun", "day-of-week: the range 'fri-sun' runs backwards; as the last day of a range Sunday is 7"),
    ("* * * dec-jan *", "month: the range 'dec-jan' runs backwards"),
    ("60 * * * *", "minute: '60' is not a number from 0 to 59"),
    ("* 24 * * *", "hour: '24' is not a number from 0 to 23"),
    ("* * 0 * *", "day-of-month: '0' is not a number from 1 to 31"),
    ("* * 32 * *", "day-of-month: '32'"),
    ("* * * 13 *", "month: '13' is not a number from 1 to 12 or a three-letter name"),
    ("* * * 0 *", "month: '0'"),
    ("* * * * 8", "day-of-week: '8' is not a number from 0 to 7 or a three-letter name"),
    ("* * * january *", "month: 'january'"),
    ("* * * mon *", "month: 'mon'"),
    ("* * * * jan", "day-of-week: 'jan'"),
    ("mon * * * *", "minute: 'mon'"),
    ("1, * * * *", "minute: ''"),
    (",1 * * * *", "minute: ''"),
    ("1,,2 * * * *", "minute: ''"),
    ("- * * * *", "minute: ''"),
    ("1- * * * *", "minute: ''"),
    ("-1 * * * *", "minute: ''"),
    ("1-2-3 * * * *", "minute: '2-3'"),
    ("*-5 * * * *", "minute: '*'"),
    ("** * * * *", "minute: '**'"),
    ("+1 * * * *", "minute: '+1'"),
    ("1.0 * * * *", "minute: '1.0'"),
    ("1_0 * * * *", "minute: '1_0'"),
    ("/5 * * * *", "minute: ''"),
    ("*/0 * * * *", "minute: the step in '*/0' is not a whole number from 1"),
    ("*/ * * * *", "minute: the step"),
    ("*/-1 * * * *", "minute: the step"),
    ("*/2/2 * * * *", "minute: the step"),
    ("*/1.5 * * * *", "minute: the step"),
    ("1-5/x * * * *", "minute: the step"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_outside_the_grammar_is_refused(text: str, message: str) -> None:
    """The refusal names the field and what is wrong with it."""
    with pytest.raises(CronError) as refusal:
        parse(text)

    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_length_is_the_first_thing_checked() -> None:
    """128 characters are taken, 129 are not, and 200 kB are refused in less than 5 ms."""
    longest = "0 0 * * " + "1," * 59 + "01"
    assert len(longest) == CRON_LENGTH_MAX
    parse(longest)
    with pytest.raises(CronError, match="at most 128 characters"):
        parse(longest + " ")

    began_s = time.thread_time()  # of this thread alone: what else the machine does is not counted
    with pytest.raises(CronError, match="at most 128 characters"):
        parse("1," * 100_000 + "1 * * * *")
    assert time.thread_time() - began_s < 0.005


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 31 apr */2", "0 0 29 2 */7"])
def test_what_never_fires_within_five_years_is_refused(text: str) -> None:
    """A well-formed expression without a tick in five years parses, and does not pass the check."""
    parse(text)
    with pytest.raises(CronError, match="never fires within 5 years"):
        check(text, at("2026-04-01"))


def test_check_returns_what_parse_returns() -> None:
    """An expression that fires passes the check, and is parsed once."""
    assert check("0 8 * * 1-5", at("2026-04-01")) is parse("0 8 * * 1-5")


def test_leap_day_across_2100_is_farther_than_five_years() -> None:
    """29 February 2100 does not exist; 2104 is in sight only from 2099 on."""
    leap_day = parse("0 0 29 2 *")

    assert next_after(leap_day, at("2096-02-29")) is None
    assert shown(next_after(leap_day, at("2104-02-29") - 1827 * DAY_MS)) == "2104-02-29 00:00"
    assert next_after(leap_day, at("2104-02-29") - 1827 * DAY_MS - 1) is None


def test_horizon_cuts_within_a_day() -> None:
    """A tick later in the horizon's last day than the horizon itself is out of sight."""
    noon_of_leap_day = parse("0 12 29 2 *")

    assert next_after(noon_of_leap_day, at("2104-02-29 11:59") - 1827 * DAY_MS) is None
    assert next_after(noon_of_leap_day, at("2104-02-29 12:00") - 1827 * DAY_MS) is not None
    assert next_after(parse("0 0 1 3 *"), at("2100-02-28 23:59")) == at("2100-03-01")


def test_next_is_strictly_after() -> None:
    """Asked at a tick, the answer is the one after it; a millisecond before, the tick itself."""
    hourly = parse("0 * * * *")

    assert next_after(hourly, at("2026-04-01 09:00")) == at("2026-04-01 10:00")
    assert next_after(hourly, at("2026-04-01 09:00") - 1) == at("2026-04-01 09:00")
    assert next_after(hourly, at("2026-04-01 09:00") + 1) == at("2026-04-01 10:00")


def test_latest_takes_both_ends_in() -> None:
    """A tick at either end of the window counts; outside it none does."""
    daily, nine = parse("0 9 * * *"), at("2026-04-01 09:00")

    assert latest_at_or_before(daily, nine, nine) == nine
    assert latest_at_or_before(daily, nine + DAY_MS - 1, nine) == nine
    assert latest_at_or_before(daily, nine + DAY_MS - 1, nine + 1) is None
    assert latest_at_or_before(daily, nine - 1, nine - DAY_MS + 1) is None
    assert latest_at_or_before(daily, nine - 1, nine - DAY_MS) == nine - DAY_MS
    assert latest_at_or_before(daily, nine - 1, nine) is None
    assert latest_at_or_before(daily, nine - DAY_MS, nine) is None


def test_latest_looks_back_over_years_at_once() -> None:
    """Years of missed minutes cost one look, and years of missing leap days reach the last one."""
    now = at("2031-06-15 10:30") + 59_999

    assert latest_at_or_before(parse("* * * * *"), now, at("2001-01-01")) == at("2031-06-15 10:30")
    assert latest_at_or_before(parse("0 0 29 2 *"), now, at("2001-01-01")) == at("2028-02-29")
    assert latest_at_or_before(parse("0 0 29 2 *"), now, at("2028-02-29 00:01")) is None
    assert latest_at_or_before(parse("0 0 30 2 *"), now, 0) is None
    assert latest_at_or_before(parse("59 23 31 12 *"), now, 0) == at("2030-12-31 23:59")


def test_instants_outside_the_calendar_are_refused() -> None:
    """Instants before 1970 or after 2199 are a caller's defect, said so instead of an overflow."""
    cron = parse("* * * * *")
    for wrong in (-1, at("2199-12-31 23:59") + 60_000, 10**30):
        with pytest.raises(ValueError, match="1970 to 2199"):
            next_after(cron, wrong)
        with pytest.raises(ValueError, match="1970 to 2199"):
            latest_at_or_before(cron, at("2026-04-01"), wrong)
        with pytest.raises(ValueError, match="1970 to 2199"):
            latest_at_or_before(cron, wrong, 0)

    assert shown(next_after(cron, at("2199-12-31 23:59") + 59_999)) == "2200-01-01 00:00"
    assert next_after(cron, 0) == 60_000
    assert latest_at_or_before(cron, 0, 0) == 0


@pytest.mark.parametrize("text", ["0\t0\t*\t*\t*", "0 0 * * *\n", "\t0  0 * * * ", "0 0 * *\r\n*"])
def test_case_13_fields_are_separated_by_any_white_space(text: str) -> None:
    """Tabs and line ends come with a line that was copied from a crontab."""
    assert next_after(parse(text), at("2026-04-01 12:00")) == at("2026-04-02")
