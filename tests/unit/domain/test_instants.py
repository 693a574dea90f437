"""Instants as text."""

import pytest

from libs.domain.instants import DAY_MS, day_of, next_midnight, rfc3339


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_775_034_000_000, "2026-04-01T09:00:00Z"),
        (1_775_034_000_007, "2026-04-01T09:00:00.007Z"),
        (1_775_034_000_120, "2026-04-01T09:00:00.120Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_milliseconds_are_shown_only_where_they_are_not_zero(at: int, text: str) -> None:
    """UTC with Z."""
    assert rfc3339(at) == text


def test_a_day_is_a_utc_day() -> None:
    """It ends with its last millisecond; midnight is that of the next one."""
    assert [day_of(at) for at in (0, DAY_MS - 1, DAY_MS)] == [0, 0, 1]
    assert [next_midnight(at) for at in (0, DAY_MS - 1, DAY_MS)] == [DAY_MS, DAY_MS, 2 * DAY_MS]
