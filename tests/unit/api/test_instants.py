"""RFC 3339 in and out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.domain.instants import next_midnight, rfc3339
from services.api.contract.instants import parse_instant, ten_years_after, utc_day, why_no_instant


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("2026-04-01T09:00:00Z", "2026-04-01T09:00:00Z"),
        ("2026-04-01t09:00:00z", "2026-04-01T09:00:00Z"),
        ("2026-04-01T11:30:00+02:30", "2026-04-01T09:00:00Z"),
        ("2026-03-31T22:00:00-11:00", "2026-04-01T09:00:00Z"),
        ("2026-04-01T09:00:00-00:00", "2026-04-01T09:00:00Z"),
        ("2026-04-01T09:00:00.5Z", "2026-04-01T09:00:00.500Z"),
        ("2026-04-01T09:00:00.000Z", "2026-04-01T09:00:00Z"),
        ("2026-04-01T09:00:00.123999999Z", "2026-04-01T09:00:00.124Z"),
        ("2026-04-01T09:00:00.1230000001Z", "2026-04-01T09:00:00.124Z"),  # case 10
        ("2026-04-01T09:00:00.1111111111Z", "2026-04-01T09:00:00.112Z"),
        ("2026-04-01T09:00:00.0000000001Z", "2026-04-01T09:00:00.001Z"),
        ("2026-04-01T09:00:00.123000000000000Z", "2026-04-01T09:00:00.123Z"),
        ("2026-04-01T09:59:59.9999Z", "2026-04-01T10:00:00Z"),
        ("2026-04-01T10:00:00." + "9" * 1_000 + "+01:00", "2026-04-01T09:00:01Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_taken(text: str, rendered: str) -> None:
    """What RFC 3339 allows is taken and written in UTC, milliseconds only where not zero."""
    at = parse_instant(text)

    assert at is not None
    assert rfc3339(at) == rendered


@pytest.mark.parametrize(
    "text",
    [
        *("2026-04-01T09:00:00", "2026-04-01", "2026-W14-3", "20260401T090000Z", "2026-04-01x09:00:00Z"),
        *("2026-04-01T09Z", "2026-04-01T09:00Z", "2026-04-01T09:00:00,5Z", "2026-04-01 09:00:00Z"),
        *("2026-04-01T23:59:60Z", "2026-04-01T24:00:00Z", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z"),
        *("2026-04-01T09:00:00+23:59:59.999999", "2026-04-01T09:00:00+24:00", "2026-04-01T09:00:00+0200"),
        *("1775034000", "\uff12\uff10\uff12\uff16-04-01T09:00:00Z", "", "Z", "2026-04-01T09:00:00.Z"),
        *("2026-04-01T09:00:00Z\n", " 2026-04-01T09:00:00Z", "0000-01-01T00:00:00Z"),
        *("+2026-04-01T09:00:00Z", "2026-04-01T09:00:00Z\x00", "2025-02-29T00:00:00Z", "2026-04-01T09:00:00 Z"),
    ],
)
def test_refused(text: str) -> None:
    """What other readers may read differently, or not at all, is refused (table B, rows 11 and 13)."""
    assert parse_instant(text) is None


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"])
def test_beyond_the_calendar(text: str) -> None:
    """An offset that leads out of the years 1 to 9999 is a number like any other, for the range check to refuse."""
    assert parse_instant(text) is not None


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_round_trip(at: int) -> None:
    """What was rendered parses to the same instant, and agrees with the standard library."""
    assert parse_instant(rfc3339(at)) == at
    assert datetime.fromisoformat(rfc3339(at)) == datetime.fromtimestamp(at // 1000, UTC).replace(
        microsecond=at % 1000 * 1000
    )


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.timezones()))
def test_offsets_agree_with_the_standard_library(when: datetime) -> None:
    """Offsets are applied as the standard library does."""
    offset = when.utcoffset()
    if offset is None or offset.seconds % 60 or offset.microseconds:
        return

    # Rounded up: minus the floor of the negative.
    assert parse_instant(when.isoformat()) == -((datetime(1970, 1, 1, tzinfo=UTC) - when) // timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2027-02-29T12:00:00Z", "a day that the calendar does not have: 2027-02-29"),
        ("2026-13-01T00:00:00Z", "a day that the calendar does not have"),
        ("2026-06-30T23:59:60Z", "a leap second"),
        ("2026-04-01", "RFC 3339"),
        (5, "RFC 3339"),
    ],
)
def test_case_10_an_impossible_instant_is_refused_in_its_own_words(text: object, reason: str) -> None:
    """A caller who wrote RFC 3339 is not told to write RFC 3339."""
    assert reason in why_no_instant(text)


def test_ten_years() -> None:
    """Ten years end at the same date and time, also from a 29 February."""
    leap_day = parse_instant("2028-02-29T12:00:00.250Z")
    plain = parse_instant("2026-05-06T07:08:09Z")
    assert leap_day is not None
    assert plain is not None

    assert rfc3339(ten_years_after(leap_day)) == "2038-02-28T12:00:00.250Z"
    assert rfc3339(ten_years_after(plain)) == "2036-05-06T07:08:09Z"


def test_midnight() -> None:
    """The next midnight is after now, and the day is the UTC one."""
    at = parse_instant("2026-04-01T23:59:59.999Z")
    assert at is not None

    assert rfc3339(next_midnight(at)) == "2026-04-02T00:00:00Z"
    assert rfc3339(next_midnight(at + 1)) == "2026-04-03T00:00:00Z"
    assert utc_day(at).isoformat() == "2026-04-01"
