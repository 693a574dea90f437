"""How far an owner moves the floors."""

from __future__ import annotations

from libs.domain.history.choice import DAY_MS, HEARTBEATS_MS, LEAST_MS, STEP_MS, HistoryTerms, wanted
from libs.domain.history.floors import NOTHING_FORGOTTEN, Floors

NOW = 1_800_000_000_000
TERMS = HistoryTerms(days=3, failed_days=5)


def test_the_settings_are_days() -> None:
    """What ended longer ago is forgotten, if all its records are folded."""
    assert wanted(TERMS, NOTHING_FORGOTTEN, now=NOW, position=41, oldest_at=None, is_pressed=False) == Floors(
        through=42,
        success_before=NOW - 3 * DAY_MS,
        failed_before=NOW - 5 * DAY_MS,
        heartbeat_before=NOW - HEARTBEATS_MS,
    )


def test_zero_days_are_for_ever() -> None:
    """Then heartbeats alone are forgotten."""
    terms = HistoryTerms(days=0, failed_days=0)
    found = wanted(terms, NOTHING_FORGOTTEN, now=NOW, position=41, oldest_at=None, is_pressed=False)

    assert (found.success_before, found.failed_before) == (0, 0)


def test_what_is_forgotten_stays_forgotten() -> None:
    """A longer history, or a clock that is behind, counts from then on."""
    old = Floors(success_before=NOW - DAY_MS, failed_before=NOW - DAY_MS, heartbeat_before=NOW)
    found = wanted(TERMS, old, now=NOW, position=41, oldest_at=None, is_pressed=False)

    assert (found.success_before, found.failed_before) == (NOW - DAY_MS, NOW - DAY_MS)
    assert found.heartbeat_before == NOW


def test_with_too_little_room_the_oldest_hour_goes_at_each_look() -> None:
    """It begins with what is there, and ends a day ago."""
    oldest_at = NOW - 2 * DAY_MS
    floors, looks = NOTHING_FORGOTTEN, 0
    while floors.success_before < NOW - LEAST_MS:
        before = floors.success_before
        floors = wanted(TERMS, floors, now=NOW, position=1, oldest_at=oldest_at, is_pressed=True)
        looks += 1
        assert before < floors.success_before <= NOW - LEAST_MS

    assert looks == DAY_MS // STEP_MS
    assert wanted(TERMS, floors, now=NOW, position=1, oldest_at=oldest_at, is_pressed=True) == floors


def test_with_too_little_room_a_history_for_ever_is_shortened_too() -> None:
    """Otherwise the database would stop."""
    terms = HistoryTerms(days=0, failed_days=0)
    found = wanted(terms, NOTHING_FORGOTTEN, now=NOW, position=1, oldest_at=NOW - 9 * DAY_MS, is_pressed=True)

    assert found.success_before == found.failed_before == NOW - 9 * DAY_MS + STEP_MS


def test_answers_are_kept_for_days_of_their_own() -> None:
    """Less than the jobs; while there is too little room only those of the last day; the floor never goes back."""

    def before(days: int, old: Floors = NOTHING_FORGOTTEN, *, is_pressed: bool = False) -> int:
        terms = HistoryTerms(response_days=days)
        found = wanted(terms, old, now=NOW, position=41, oldest_at=None, is_pressed=is_pressed)
        return found.responses_before

    assert before(7) == NOW - 7 * DAY_MS
    assert before(0) == 0
    assert before(7, is_pressed=True) == before(0, is_pressed=True) == NOW - DAY_MS
    assert before(7, Floors(responses_before=NOW - DAY_MS)) == NOW - DAY_MS
