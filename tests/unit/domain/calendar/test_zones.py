"""Zones: the table of transitions, gaps and folds."""

from __future__ import annotations

import pytest

from libs.domain.calendar.zones import UTC, zone_of
from tests.unit.domain.calendar.zone_examples import APIA, BERLIN, second


def test_an_offset_holds_from_its_instant_on() -> None:
    """A second before the transition the offset is the old one; before the first transition it is the first."""
    change = second("2026-03-29 01:00")

    assert [BERLIN.offset_at(change + each) for each in (-1, 0, 1)] == [3_600, 7_200, 7_200]
    assert BERLIN.offset_at(-(10**15)) == 3_600
    assert UTC.offset_at(change) == 0


def test_a_wall_second_exists_once_twice_or_never() -> None:
    """Once as a rule; never in a gap, be it a day long; twice in a fold, earlier instant first."""
    assert BERLIN.instants(second("2026-07-01 12:00")) == [second("2026-07-01 10:00")]
    assert BERLIN.instants(second("2026-03-29 02:00")) == []
    assert BERLIN.instants(second("2026-03-29 03:00")) == [second("2026-03-29 01:00")]
    assert BERLIN.instants(second("2026-10-25 02:30")) == [second("2026-10-25 00:30"), second("2026-10-25 01:30")]
    assert APIA.instants(second("2011-12-30 12:00")) == []


@pytest.mark.parametrize(
    ("offset", "changes", "message"),
    [
        (0, [(5, 60), (5, 0)], "rise"),
        (0, [(5, 60), (4, 0)], "rise"),
        (60, [(5, 60)], "changes the offset"),
        (93_600, [], "26 hours"),
        (0, [(5, -93_600)], "26 hours"),
    ],
)
def test_a_table_that_is_none_is_refused(offset: int, changes: list[tuple[int, int]], message: str) -> None:
    """Instants rise, each changes the offset, and no offset has 26 hours."""
    with pytest.raises(ValueError, match=message):
        zone_of("X", "", offset, changes)
