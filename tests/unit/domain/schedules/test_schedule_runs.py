"""Runs of a schedule that meet, and runs that fail."""

from __future__ import annotations

from typing import Any

import pytest

from libs.domain import schedule as fold
from libs.domain.job import JobStatus
from libs.domain.schedules.runs import ACTIVE_MAX
from libs.domain.state_registry import owed_at
from libs.events import (
    AttemptDue,
    Event,
    JobFinished,
    JobStopRequested,
    RunPolicy,
    ScheduleChanged,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleRule,
    ScheduleRunStopped,
    ScheduleSpawned,
    ScheduleTicked,
)
from libs.events.ids import new_job_id
from tests.fakes import events
from tests.unit.domain.schedules.run_story import LEAD_MS, Story, slot
from tests.unit.domain.schedules.schedule_states import ID, MINUTE, NOW


@pytest.mark.parametrize(
    ("overlap", "ticks", "spawned", "skipped"),
    [
        ("allow", ["spawned"] * 6, [1, 2, 3, 4, 5, 6], 0),
        ("skip", ["spawned", "skipped", "skipped", "spawned", "skipped", "skipped"], [1, 4], 4),
        ("buffer_one", ["spawned", "buffered", "buffered", "buffered", "buffered", "buffered"], [1, 3, 6], 3),
        ("buffer_all", ["spawned", *["buffered"] * 5], [1, 2, 3], 0),
        ("replace", ["spawned", *["buffered"] * 5], [1, 2, 3, 4, 5, 6], 0),
    ],
)
def test_what_becomes_of_ticks_while_a_run_takes_two_and_a_half_minutes(
    overlap: Any, ticks: list[str], spawned: list[int], skipped: int
) -> None:
    """The table of docs/schedules.md: a tick each minute, and each run takes 150 s."""
    story = Story(RunPolicy(overlap=overlap))
    for half_minute in range(2, 14):
        at = NOW + half_minute * MINUTE // 2
        story.until(at)
        for job_id in list(story.running):
            began_at = story.job(job_id).started_at
            if began_at is not None and at - began_at >= 150_000 - LEAD_MS:
                story.end(job_id)

    assert [action for _, action, _ in story.ticks()] == ticks
    assert story.spawned() == spawned
    assert story.more.skipped_count == skipped
    assert overlap == "allow" or len(story.running) <= 1


def test_a_skipped_tick_says_why_and_moves_the_schedule_on() -> None:
    """One record, with the reason and the slot; no job."""
    story = Story(RunPolicy(overlap="skip"))
    story.until(NOW + 2 * MINUTE)

    tick = story.said[-1]

    assert isinstance(tick, ScheduleTicked)
    assert (tick.action, tick.reason, tick.skipped) == ("skipped", "overlap", (NOW + 2 * MINUTE,))
    assert slot(2) not in story.ledger.states
    assert (story.schedule.next_run_at, story.schedule.last_run_at) == (NOW + 3 * MINUTE, NOW + MINUTE)
    assert story.more.run_count == 1


def test_the_buffer_has_an_end() -> None:
    """What finds `buffer_max` ticks waiting is skipped; those that wait go on in their order, one after the other."""
    story = Story(RunPolicy(overlap="buffer_all", buffer_max=2))
    story.until(NOW + 5 * MINUTE)

    assert story.ticks()[-2:] == [(4, "skipped", "buffer_full"), (5, "skipped", "buffer_full")]
    for minute in (1, 2, 3):
        story.end(slot(minute))
    assert story.spawned() == [1, 2, 3]
    assert (story.more.buffered, story.more.skipped_count, story.more.run_count) == ((), 2, 3)


def test_a_tick_that_waited_is_called_at_once() -> None:
    """The job is that of its slot; its call leaves when the run before has ended."""
    story = Story(RunPolicy(overlap="buffer_one"))
    story.until(NOW + 2 * MINUTE + 10_000)
    story.end(slot(1))

    job = story.job(slot(2))

    assert (job.scheduled_at, job.fire_at, job.status) == (NOW + 2 * MINUTE, story.now, JobStatus.RUNNING)
    assert story.schedule.last_run_at == NOW + 2 * MINUTE


def test_replace_stops_the_run_and_then_spawns() -> None:
    """tick waits -> run stopped -> run ends as `replaced` -> the tick's job: each a record, in this order."""
    story = Story(RunPolicy(overlap="replace"))
    story.until(NOW + 2 * MINUTE)

    kinds = [type(event) for event in story.said[3:]]

    assert kinds == [ScheduleTicked, ScheduleRunStopped, JobFinished, ScheduleSpawned, AttemptDue]
    ended = story.job(slot(1))
    assert (ended.status, ended.ended_by) == (JobStatus.FAILED, "replaced")
    assert story.job(slot(2)).fire_at == NOW + 2 * MINUTE, "not before its instant"


def test_the_schedule_of_a_stopped_run_goes_on() -> None:
    """A caller stops the run: it fails as `stopped`, and the next tick meets no run."""
    story = Story(RunPolicy(overlap="skip"))
    story.until(NOW + MINUTE + 10_000)
    story.tell(JobStopRequested(job_id=slot(1), at=story.now))
    story.until(NOW + 2 * MINUTE)

    ended = story.job(slot(1))
    assert (ended.status, ended.ended_by, story.more.failures_in_row) == (JobStatus.FAILED, "stopped", 0)
    assert story.spawned() == [1, 2]


def test_a_run_waits_for_a_retry_and_is_under_way_all_the_time() -> None:
    """A run is under way until its end, retries included."""
    story = Story(RunPolicy(overlap="skip"), max_retries=1)
    story.until(NOW + MINUTE)
    story.end(slot(1), ok=False)

    assert story.job(slot(1)).status is JobStatus.RETRYING
    assert story.more.active == (slot(1),)


def test_a_run_whose_target_snoozes_is_under_way_all_the_time() -> None:
    """A target that works longer than a call may take asks to be called again until it is done; no other run meets it."""
    story = Story(RunPolicy(overlap="skip"))
    story.until(NOW + MINUTE)
    snoozed = {"outcome": "snoozed", "retry_after_ms": 3 * MINUTE, "status_code": 200, "error": "snoozed"}
    story.tell(events.finished(slot(1), story.now, 1, ok=False, **snoozed))
    story.until(NOW + 3 * MINUTE)

    assert story.job(slot(1)).status is JobStatus.RETRYING
    assert story.ticks()[1:] == [(2, "skipped", "overlap"), (3, "skipped", "overlap")]


def test_a_run_of_a_caller_counts_once_it_is_under_way() -> None:
    """It starts whatever else runs; ticks see it."""
    story = Story(RunPolicy(overlap="skip"))
    manual = new_job_id(NOW, 0, bytes(8))
    story.tell(events.asked(manual, NOW, schedule_id=ID, is_tracked=True))
    story.until(NOW + MINUTE)

    assert story.ticks() == [(1, "skipped", "overlap")]
    story.end(manual)
    story.until(NOW + 2 * MINUTE)
    assert story.ticks()[-1] == (2, "spawned", None)


def test_runs_of_callers_have_a_limit_in_the_state() -> None:
    """Those beyond it run, and do not count."""
    story = Story(RunPolicy(overlap="skip"))
    for number in range(ACTIVE_MAX + 1):
        story.tell(events.asked(new_job_id(NOW, 0, number.to_bytes(8)), NOW, schedule_id=ID, is_tracked=True))

    assert len(story.more.active) == ACTIVE_MAX


def test_a_pause_drops_what_waits() -> None:
    """A pause that is answered before a tick's job is spawned stops that job; the run under way goes on."""
    story = Story(RunPolicy(overlap="buffer_all"))
    story.until(NOW + 3 * MINUTE)
    story.tell(SchedulePaused(schedule_id=ID, at=story.now, version=1, note="stop"))
    story.end(slot(1))

    assert (story.more.buffered, story.more.skipped_count, story.spawned()) == ((), 2, [1])


@pytest.mark.parametrize("is_crossed_by", ["pause", "delete"])
def test_a_waiting_tick_that_something_overtakes_is_void(is_crossed_by: str) -> None:
    """The spawn was decided before its owner read what came first: no breach, and no job."""
    story = Story(RunPolicy(overlap="buffer_one"))
    story.until(NOW + 2 * MINUTE)
    spawn = ScheduleSpawned(schedule_id=ID, at=story.now, tick_at=NOW + 2 * MINUTE, job_id=slot(2), fire_at=story.now)
    first: Event = ScheduleDeleted(schedule_id=ID, at=story.now)
    if is_crossed_by == "pause":
        first = SchedulePaused(schedule_id=ID, at=story.now, version=1, note="x")
    story.tell(first)

    assert fold.is_overtaken(spawn, story.ledger.states)
    assert fold.evolve(story.schedule, spawn, 99) is story.schedule


def test_a_slot_that_has_its_job_is_never_spawned_again() -> None:
    """A second spawn of one slot is a breach, not an overtaken one."""
    story = Story(RunPolicy(overlap="buffer_one"))
    story.until(NOW + 2 * MINUTE)
    story.end(slot(1))
    spawn = next(event for event in story.said if isinstance(event, ScheduleSpawned))

    assert fold.evolve(story.schedule, spawn, 99) is story.schedule
    assert not fold.is_overtaken(spawn, story.ledger.states)


def test_a_change_does_not_fire_a_waiting_slot_again() -> None:
    """A change that computed its next run from an instant before a tick that waits is void."""
    story = Story(RunPolicy(overlap="buffer_one"))
    story.until(NOW + 2 * MINUTE)
    change = ScheduleChanged(
        schedule_id=ID,
        at=story.now,
        version=2,
        change_id="c",
        rule=ScheduleRule(every_s=60),
        after_at=NOW + 2 * MINUTE - 1,
        next_run_at=NOW + 2 * MINUTE,
    )

    assert fold.evolve(story.schedule, change, 99) is story.schedule


def test_a_change_to_allow_forgets_what_runs() -> None:
    """Ticks that wait are spawned at once then, whatever runs."""
    story = Story(RunPolicy(overlap="buffer_all"))
    story.until(NOW + 3 * MINUTE)
    story.tell(
        ScheduleChanged(schedule_id=ID, at=story.now, version=2, change_id="c", rule=ScheduleRule(cron="* * * * *"))
    )
    story.until(story.now)

    assert (story.spawned(), story.more.active, story.more.buffered) == ([1, 2, 3], (), ())


def test_max_runs_counts_ticks_that_wait() -> None:
    """The tick that will use up the last run has no successor."""
    story = Story(RunPolicy(overlap="buffer_all"), max_runs=2)
    story.until(NOW + 2 * MINUTE)

    assert story.schedule.next_run_at is None
    story.end(slot(1))
    assert (story.spawned(), story.more.run_count) == ([1, 2], 2)


def test_what_is_owed_at_once_is_known_from_the_row() -> None:
    """`owes_now` says it after each event, so a new owner finds what the one before did not do."""
    story = Story(RunPolicy(overlap="buffer_one"))
    story.until(NOW + 2 * MINUTE)
    assert not story.more.owes_now

    story.tell(events.finished(slot(1), story.now))
    story.tell(events.ended(slot(1), story.now, schedule_id=ID))

    assert story.more.owes_now
    assert owed_at(story.schedule, lead_ms=LEAD_MS) == 0
    story.until(story.now)
    assert not story.more.owes_now


def test_records_without_a_job_are_remembered_for_the_timeline() -> None:
    """Skipped and waiting ticks, pauses and changes; what spawned a job is found by that job."""
    story = Story(RunPolicy(overlap="skip"))
    story.until(NOW + 3 * MINUTE)
    story.tell(SchedulePaused(schedule_id=ID, at=story.now, version=1, note="x"))

    noted = [story.said[position] for position in story.more.offsets]

    assert [getattr(event, "action", "paused") for event in noted] == ["skipped", "skipped", "paused"]


@pytest.mark.parametrize("has_ended", [False, True])
@pytest.mark.parametrize("overlap", ["skip", "buffer_all"])
def test_a_slot_that_a_back_fill_has_run_does_not_hold_up_the_schedule(overlap: Any, has_ended: bool) -> None:
    """Nobody tells the schedule of the end of such a job, so the tick whose job it is begins no run."""
    story = Story(RunPolicy(overlap=overlap))
    story.tell(events.asked(slot(1), NOW, fire_at=NOW, schedule_id=ID, tick_at=NOW + MINUTE))
    story.until(NOW + 1_000)
    if has_ended:
        story.end(slot(1))
    story.until(NOW + MINUTE)

    assert story.ticks() == [(1, "spawned", None)]
    assert story.more.active == ()
    story.until(NOW + 2 * MINUTE)
    assert story.ticks()[1:] == [(2, "spawned", None)]
    assert story.more.active == (slot(2),)
