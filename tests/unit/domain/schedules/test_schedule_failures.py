"""Schedules that pause themselves after failures."""

from __future__ import annotations

from typing import Any

import pytest

from libs.domain import schedule as fold
from libs.domain.schedule import ScheduleStatus
from libs.domain.state_registry import owed_at
from libs.events import (
    RunPolicy,
    ScheduleAutopaused,
    ScheduleChanged,
    ScheduleResumed,
    ScheduleRule,
)
from tests.fakes import events
from tests.unit.domain.schedules.run_story import LEAD_MS, Story, slot
from tests.unit.domain.schedules.schedule_states import ID, MINUTE, NOW


def test_a_schedule_pauses_itself_after_failures() -> None:
    """Three failed runs in a row, retries used up; the reason stands in the note."""
    story = Story(RunPolicy(pause_after_failures=3))
    for minute in (1, 2, 3):
        assert story.schedule.is_active
        story.until(NOW + minute * MINUTE)
        story.end(slot(minute), ok=False)

    assert story.said[-1] == ScheduleAutopaused(schedule_id=ID, account="acme", at=story.now, failures=3, version=1)
    assert (story.schedule.status, story.schedule.next_run_at) == (ScheduleStatus.PAUSED, None)
    assert story.more.note == "paused after 3 failed runs in a row"
    assert story.more.active == (), "runs are not followed for this"


def test_a_success_between_failures_starts_the_count_anew() -> None:
    """So does a resume."""
    story = Story(RunPolicy(pause_after_failures=2))
    for minute, ok in enumerate((False, True, False, False), 1):
        story.until(NOW + minute * MINUTE)
        story.end(slot(minute), ok=ok)

    assert story.schedule.status is ScheduleStatus.PAUSED
    story.tell(ScheduleResumed(schedule_id=ID, at=story.now, next_run_at=NOW + 5 * MINUTE, version=1))
    assert (story.more.failures_in_row, story.more.note) == (0, None)
    story.until(NOW + 5 * MINUTE)
    story.end(slot(5), ok=False)
    assert story.schedule.is_active


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"ended_by": "stopped"}, False),
        ({"ended_by": "replaced"}, False),
        ({"ended_by": "expired"}, True),
        ({"ended_by": None}, True),
    ],
)
def test_what_counts_as_a_failed_run(changes: dict[str, Any], counts: bool) -> None:
    """A run that somebody stopped says nothing about its target."""
    story = Story(RunPolicy(pause_after_failures=5))
    story.until(NOW + MINUTE)
    expected = fold.evolve(
        story.schedule, events.ended(slot(1), story.now, status="failed", schedule_id=ID, **changes), 99
    )

    assert expected.more is not None
    assert (expected.more.failures_in_row > story.more.failures_in_row) == counts


def test_a_pause_after_failures_that_a_success_or_a_change_overtakes_is_void() -> None:
    """It counts only while as many runs have failed in a row, by the version that decided."""
    story = Story(RunPolicy(pause_after_failures=1))
    pause = ScheduleAutopaused(schedule_id=ID, account="acme", at=NOW, failures=1, version=1)

    assert fold.evolve(story.schedule, pause, 99) is story.schedule
    assert fold.is_overtaken(pause, story.ledger.states)


def test_a_change_of_the_policy_counts_anew() -> None:
    """A lower limit does not pause a schedule for failures of before."""
    story = Story(RunPolicy(pause_after_failures=5))
    for minute in (1, 2):
        story.until(NOW + minute * MINUTE)
        story.end(slot(minute), ok=False)
    story.tell(
        ScheduleChanged(
            schedule_id=ID,
            at=story.now,
            version=2,
            change_id="c",
            rule=ScheduleRule(cron="* * * * *"),
            runs=RunPolicy(pause_after_failures=1),
        )
    )

    assert story.more.failures_in_row == 0
    assert owed_at(story.schedule, lead_ms=LEAD_MS) == NOW + 3 * MINUTE - LEAD_MS
