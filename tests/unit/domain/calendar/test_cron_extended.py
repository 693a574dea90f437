"""The larger grammar of crons: last days, nearest weekdays, n-th weekdays, shorthands, and what is refused with a hint."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta

import pytest

from libs.domain.calendar.cron import latest_at_or_before, next_after
from libs.domain.calendar.cron_text import (
    CRON_LENGTH_MAX,
    SHORTHANDS,
    CronError,
    parse,
    parse_extended,
    split_zone,
)

DAY_MS = 86_400_000
BEGIN = round(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000
END = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000


def days(text: str) -> list[date]:
    """Return the days of 2024 and 2025 on which the cron ticks, found forwards and then backwards."""
    cron, forwards, backwards = parse_extended(text), [], []
    at: int | None = BEGIN - 1
    while (at := next_after(cron, at)) is not None and at < END:
        forwards.append(at)
    at = END - 1
    while (at := latest_at_or_before(cron, at, BEGIN)) is not None:
        backwards.append(at)
        at -= 1

    assert forwards == backwards[::-1]
    return [datetime.fromtimestamp(each // 1_000, UTC).date() for each in forwards]


def all_days() -> list[date]:
    return [date(2024, 1, 1) + timedelta(days=number) for number in range((END - BEGIN) // DAY_MS)]


def length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def is_nearest(day: date, number: int) -> bool:
    """Whether *day* is the weekday nearest to the *number*-th of its month, found by trying."""
    if number > length(day):
        return False
    weekdays = [each for each in range(1, length(day) + 1) if day.replace(day=each).isoweekday() < 6]
    return day.day == min(weekdays, key=lambda each: abs(each - number))


@pytest.mark.parametrize("number", range(1, 32))
def test_the_weekday_nearest_to_a_day(number: int) -> None:
    """``nW`` is the Monday to Friday nearest to the n-th in the same month; without an n-th there is none."""
    assert days(f"0 0 {number}W * *") == [day for day in all_days() if is_nearest(day, number)]


@pytest.mark.parametrize("weekday", range(8))
def test_weekdays_of_a_month(weekday: int) -> None:
    """``nL`` is the last weekday n of a month and ``n#k`` the k-th; some months have no fifth. 0 and 7 are Sunday."""
    ours = [day for day in all_days() if day.isoweekday() % 7 == weekday % 7]

    assert days(f"0 0 * * {weekday}L") == [day for day in ours if day.day > length(day) - 7]
    for k in range(1, 6):
        assert days(f"0 0 * * {weekday}#{k}") == [day for day in ours if (day.day + 6) // 7 == k]


def test_last_days() -> None:
    """``L`` is the last day of a month, ``LW`` its last Monday to Friday; both stand in lists, in any case."""
    last = [day for day in all_days() if day.day == length(day)]
    last_weekday = [day for day in all_days() if is_nearest(day, length(day))]

    assert days("0 0 L * *") == last
    assert days("0 0 lw * *") == last_weekday
    assert days("0 0 1,L,LW * *") == sorted({*last, *last_weekday, *(day for day in all_days() if day.day == 1)})
    assert days("0 0 l 2 *") == [day for day in last if day.month == 2]


def test_day_fields_are_combined_as_ever() -> None:
    """Both restricted: either; one with a star: both. Names stand before L and #."""
    first_mondays = days("0 0 * * mon#1")

    assert days("0 0 * * 1#1") == first_mondays
    assert days("0 0 * * MonL,1#1") == sorted({*days("0 0 * * 1L"), *first_mondays})
    assert days("0 0 L * mon#1") == sorted({*days("0 0 L * *"), *first_mondays})
    assert days("0 0 */2 * mon#1") == [day for day in first_mondays if day.day % 2]
    assert days("0 0 * * 3,mon#1") == sorted({*days("0 0 * * 3"), *first_mondays})


@pytest.mark.parametrize(("word", "text"), SHORTHANDS.items())
def test_a_shorthand_is_the_fields_that_it_stands_for(word: str, text: str) -> None:
    """It is kept as five fields; letters may be large, and space may stand around it."""
    assert parse_extended(word).text == text
    assert parse_extended(f" {word.upper()} ") == parse_extended(text) == parse(text)


def test_what_the_smaller_grammar_takes_means_the_same() -> None:
    """An ordinary cron is the same value in both grammars, but the smaller one refuses what is new."""
    for text in ("*/5 1-3,7 * jan-mar 0,7", "* * 1 * 5", "0 0 *,13 * fri"):
        assert parse_extended(text) == parse(text)
    for text in ("0 0 L * *", "0 0 1W * *", "0 0 * * 5L", "0 0 * * 5#1", "@daily", "CRON_TZ=UTC 0 0 * * *"):
        with pytest.raises(CronError):
            parse(text)


def test_what_is_periodic() -> None:
    """A cron is periodic if its minute or its hour field starts with a star; days do not count."""
    periodic = [
        text
        for text in ("* 1 * * *", "*/5 1 * * *", "0 * * * *", "0 */2 * * *", "*,1 1 1 1 1")
        if parse(text).is_periodic
    ]

    assert len(periodic) == 5
    assert not any(parse(text).is_periodic for text in ("0 1 * * *", "0-59 0-23 * * *", "1,* 1,* * * *"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@reboot", "use starts_at"),
        ("@every 5m", "use every"),
        ("@fortnightly", "shorthands are @yearly,"),
        ("@daily 1", "write one of them alone"),
        ("? * * * *", "minute: write * for ?"),
        ("0 0 ? * 1", "day-of-month: write * for ?"),
        ("H * * * *", "minute: 'H' would be drawn by chance; write a number, and see spread"),
        ("0 H(0-7) * * *", "hour: 'H(0-7)' would be drawn by chance"),
        ("0 r/2 * * *", "hour: 'r/2' would be drawn by chance"),
        (
            "0 0 0 * * *",
            "five fields (minute hour day-of-month month day-of-week), not 6; seconds and years have no field",
        ),
        ("0 0 0 * * * 2027", "not 7; seconds"),
        ("TZ=Europe/Berlin 0 8 * * *", "not 6; a time zone is written before them as CRON_TZ=Zone, or in timezone"),
        ("CRON_TZ=Europe/Berlin", "not 1; a time zone is written before them"),
        ("", "not 0"),
        ("0 0 *", "five fields (minute hour day-of-month month day-of-week), not 3"),
        ("5/15 * * * *", "write 5-59/15 or */15"),
        ("0 0 * * L", "day-of-week: 'L' names no weekday; write 6L for the last Saturday"),
        ("0 0 L-3 * *", "day-of-month: 'L' in 'L-3' is not a number from 1 to 31"),
        ("0 0 0W * *", "day-of-month: '0' in '0W' is not a number from 1 to 31"),
        ("0 0 32W * *", "day-of-month: '32' in '32W'"),
        ("0 0 WL * *", "day-of-month: 'WL'"),
        ("0 0 * * 8L", "day-of-week: '8' in '8L'"),
        ("0 0 * * 1#6", "day-of-week: '1#6'"),
        ("0 0 * * 1#0", "day-of-week: '1#0'"),
        ("0 0 * * 5W", "day-of-week: '5W'"),
        ("0 L * * *", "hour: 'L'"),
        ("0 0 1, * *", "day-of-month: ''"),
        ("0 0 L, * *", "day-of-month: ''"),
        ("0 0 ,L * *", "day-of-month: ''"),
        ("٣ 0 * * *", "printable ASCII"),
        ("1," * 1_000 + "1 * * * *", f"at most {CRON_LENGTH_MAX} characters"),
    ],
)
def test_what_is_refused_says_what_to_write(text: str, message: str) -> None:
    """The refusal names the field and a remedy."""
    with pytest.raises(CronError) as refusal:
        parse_extended(text)

    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_the_zone_before_a_cron_is_split_off() -> None:
    """``CRON_TZ=Zone`` and white space stand before the fields; whether there is such a zone is not looked at."""
    assert split_zone("CRON_TZ=Europe/Berlin 0 8 * * *") == ("Europe/Berlin", "0 8 * * *")
    assert split_zone("  CRON_TZ=UTC\t@daily") == ("UTC", "@daily")
    assert split_zone("CRON_TZ= 0 8 * * *") == ("", "0 8 * * *")
    assert split_zone("0 8 * * *") == (None, "0 8 * * *")
    assert split_zone("CRON_TZ=UTC") == (None, "CRON_TZ=UTC")
