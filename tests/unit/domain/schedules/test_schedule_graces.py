"""Runs whose last call timed out: for how long they still count as under way."""

from __future__ import annotations

from typing import Any

import pytest

from libs.domain import schedule as fold
from libs.domain.state_registry import owed_at
from libs.events import RunPolicy, ScheduleChanged, SchedulePaused, ScheduleRule
from tests.fakes import events
from tests.unit.domain.schedules.run_story import LEAD_MS, Story, slot
from tests.unit.domain.schedules.schedule_states import ID, MINUTE, NOW

TIMEOUT = {"ok": False, "error": "timeout"}


def timed_out(grace_s: int, overlap: Any = "skip", **changes: Any) -> Story:
    """Return a schedule whose first run, of minute 1, ends with a timeout half a minute later."""
    story = Story(RunPolicy(overlap=overlap, grace_s=grace_s), **changes)
    story.until(NOW + MINUTE + 30_000)
    story.tell(events.finished(slot(1), story.now, story.job(slot(1)).attempt, **TIMEOUT))
    story.until(story.now)
    return story


@pytest.mark.parametrize(
    ("overlap", "ticks", "spawned"),
    [
        ("skip", ["spawned", "skipped", "spawned"], [1, 3]),
        ("buffer_one", ["spawned", "buffered", "buffered"], [1, 2]),
        ("buffer_all", ["spawned", "buffered", "buffered"], [1, 2]),
    ],
)
def test_a_run_counts_for_as_long_as_the_grace_is(overlap: Any, ticks: list[str], spawned: list[int]) -> None:
    """It timed out at 1:30; with a grace of 85 s the tick of 2 min meets it, and that of 3 min does not."""
    story = timed_out(85, overlap)
    story.until(NOW + 3 * MINUTE)

    assert [action for _, action, _ in story.ticks()] == ticks
    assert story.spawned() == spawned


def test_the_edge_of_a_grace() -> None:
    """A tick at the very end of the grace is free, also if it is decided 75 ms ahead; one that the grace outlives is not."""
    for grace_s, spawned in ((30, [1, 2]), (31, [1])):
        story = timed_out(grace_s)
        story.until(NOW + 2 * MINUTE)
        assert story.spawned() == spawned, grace_s


def test_a_tick_that_waits_is_called_when_the_grace_ends() -> None:
    """Nothing else need happen: its owner owes it then, and the row says so to the next owner."""
    story = timed_out(45, "buffer_one")
    story.until(NOW + 2 * MINUTE)

    assert (story.more.active, story.more.buffered, story.more.owes_now) == ((), (NOW + 2 * MINUTE,), True)
    assert owed_at(story.schedule, lead_ms=LEAD_MS) == NOW + 2 * MINUTE + 15_000
    story.until(NOW + 2 * MINUTE + 15_000)
    assert story.job(slot(2)).fire_at == NOW + 2 * MINUTE + 15_000
    assert (story.more.grace_until, story.more.owes_now) == (None, False)


def test_the_next_tick_comes_before_the_end_of_a_grace() -> None:
    """It is decided at its instant, and the one that waits keeps its turn."""
    story = timed_out(200, "buffer_all")
    story.until(NOW + 5 * MINUTE)
    story.end(slot(2))

    assert [minute for minute, action, _ in story.ticks() if action == "buffered"] == [2, 3, 4, 5]
    assert story.spawned() == [1, 2, 3]


def test_only_a_timeout_of_the_last_call_has_a_grace() -> None:
    """Another failure, a success and a call that is tried again leave none."""
    for result in ({"ok": True}, {"ok": False, "status_code": 500, "error": "HTTP 500"}):
        story = Story(RunPolicy(overlap="skip", grace_s=3_600))
        story.until(NOW + MINUTE)
        story.tell(events.finished(slot(1), story.now, 1, **result))
        story.until(NOW + 2 * MINUTE)
        assert story.spawned() == [1, 2]
    story = timed_out(3_600, max_retries=1)
    assert (story.more.active, story.more.grace_until) == ((slot(1),), None)


def test_a_run_that_was_stopped_has_no_grace() -> None:
    """Its caller wanted it to be over."""
    story = Story(RunPolicy(overlap="buffer_one", grace_s=60))
    story.until(NOW + MINUTE)
    story.tell(
        events.ended(slot(1), story.now, status="failed", last_error="stopped", ended_by="stopped", schedule_id=ID)
    )
    story.until(NOW + 2 * MINUTE)

    assert story.spawned() == [1, 2]


def test_a_pause_drops_what_waits_for_a_grace_and_the_grace_goes_on() -> None:
    """A schedule that is resumed at once meets it still."""
    story = timed_out(600, "buffer_one")
    story.until(NOW + 2 * MINUTE)
    story.tell(SchedulePaused(schedule_id=ID, at=story.now, version=1, note="x"))

    assert (story.more.buffered, story.more.owes_now) == ((), False)
    assert owed_at(story.schedule, lead_ms=LEAD_MS) is None
    assert story.more.grace_until == NOW + MINUTE + 30_000 + 600_000


@pytest.mark.parametrize("runs", [None, RunPolicy(overlap="skip"), RunPolicy(grace_s=60)])
def test_a_change_to_no_grace_ends_it(runs: RunPolicy | None) -> None:
    """Also one to `allow`; a change that keeps a grace leaves the one that runs."""
    story = timed_out(600)
    story.tell(change(RunPolicy(overlap="buffer_one", grace_s=60), 2))
    assert story.more.grace_until is not None
    story.tell(change(runs, 3))
    story.until(NOW + 2 * MINUTE)

    assert story.spawned() == [1, 2]


def change(runs: RunPolicy | None, version: int) -> ScheduleChanged:
    rule = ScheduleRule(cron="* * * * *")
    return ScheduleChanged(schedule_id=ID, at=NOW, version=version, change_id="c", rule=rule, runs=runs)


def test_of_two_graces_the_later_end_counts() -> None:
    """A run of a caller may time out beside it."""
    story = timed_out(60)
    state = fold.evolve(
        story.schedule,
        events.ended(slot(1), NOW, status="failed", last_error="timeout", schedule_id=ID),
        99,
    )

    assert state is story.schedule, "a run that is not under way says nothing"
    assert story.more.grace_until == NOW + MINUTE + 90_000
