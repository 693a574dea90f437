"""Changes, pauses and resumes of schedules: which of them count, and what they leave."""

from __future__ import annotations

from typing import Any

from libs.domain import schedule as fold
from libs.domain.job import spawn
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.events import (
    ScheduleChanged,
    SchedulePaused,
    ScheduleResumed,
    ScheduleRule,
    Spec,
)
from libs.events.ids import changed_spec_id
from tests.fakes import events
from tests.unit.domain.schedules.schedule_states import DAY, ID, MINUTE, NOW, decided, defined


def changed(state: ScheduleState, **changes: Any) -> ScheduleChanged:
    """Return a change that makes the next version of *state*, and nothing else."""
    fields = {"schedule_id": ID, "at": NOW, "version": state.version + 1, "change_id": "c", "rule": state.rule}
    return ScheduleChanged(**(fields | changes))


def test_a_change_makes_the_next_version_or_nothing() -> None:
    """Of two changes of the same version the first counts; the row keeps the ids of the last eight."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    for number in range(10):
        state = fold.evolve(state, changed(state, change_id=str(number), max_retries=number), number)
    late = changed(state, change_id="late", version=state.version)

    assert fold.evolve(state, late, 11) is state
    assert state.more is not None
    assert (state.version, state.max_retries, state.more.change_ids) == (11, 9, tuple("23456789"))
    assert state.next_run_at == NOW + MINUTE


def test_a_change_of_a_schedule_of_the_first_contract_takes_it_from_older_builds() -> None:
    """It gets a version, and its cron is kept where they do not read it."""
    plain = fold.create(events.created(ID, NOW), 0)

    state = fold.evolve(plain, changed(plain, max_retries=3), 1)

    assert (plain.version, state.version, state.cron, state.rule.cron) == (0, 1, "", "* * * * *")
    assert decided(state, NOW + MINUTE).version == 1


def test_a_new_rule_is_void_if_a_tick_came_between() -> None:
    """Else the tick that was made could be made once more: the one who changes reads again."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    rule = ScheduleRule(every_s=30, anchor_at=NOW)
    change = changed(state, rule=rule, after_at=NOW + 59_000, next_run_at=NOW + MINUTE)
    ticked = fold.evolve(state, decided(state, NOW + MINUTE), 1)

    assert fold.evolve(ticked, change, 2) is ticked
    assert fold.evolve(state, change, 1).next_run_at == NOW + MINUTE


def test_jobs_keep_the_spec_that_they_were_spawned_with() -> None:
    """A changed spec has an id of its own, which jobs name from the next tick on."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    before = spawn(decided(state, NOW + MINUTE), 1, state)
    spec = Spec(url="https://example.com/new", timeout_ms=5_000, webhook_url="https://example.com/hook")
    state = fold.evolve(state, changed(state, spec=spec), 2)
    after = spawn(decided(state, NOW + MINUTE), 3, state)

    assert before.spec_id == ID
    assert after.spec_id == state.spec_id == changed_spec_id(ID, 2)
    assert (after.timeout_ms, after.has_webhook) == (5_000, True)


def test_a_pause_with_an_end_goes_on_by_itself() -> None:
    """The schedule waits for the first run from the end on; its tick ends the pause; a tick of before is void."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    overtaken = decided(state, NOW + MINUTE)
    until = NOW + 5 * MINUTE
    pause = SchedulePaused(schedule_id=ID, at=NOW, note="closed", until=until, next_run_at=until, version=1)

    state = fold.evolve(state, pause, 1)

    assert state.is_paused_at(NOW)
    assert not state.is_paused_at(until)
    assert fold.owed_at(state, 0) == until
    assert fold.evolve(state, overtaken, 2) is state
    ticked = fold.evolve(state, decided(state, until), 2)
    assert ticked.more is not None
    assert (ticked.more.paused_until, ticked.more.note) == (None, None)


def test_a_pause_with_an_end_can_be_ended_before_and_made_endless() -> None:
    """A resume goes on at once; a pause without an end takes its place."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    pause = SchedulePaused(schedule_id=ID, at=NOW, until=NOW + DAY, next_run_at=NOW + DAY, version=1)
    paused = fold.evolve(state, pause, 1)
    resume = ScheduleResumed(schedule_id=ID, at=NOW, next_run_at=NOW + MINUTE, version=1)

    assert fold.evolve(paused, resume, 2).next_run_at == NOW + MINUTE
    assert fold.evolve(state, resume, 2) is state  # it is not paused
    endless = fold.evolve(paused, SchedulePaused(schedule_id=ID, at=NOW, note="for good", version=1), 2)
    assert (endless.status, endless.next_run_at, endless.more and endless.more.note) == (
        ScheduleStatus.PAUSED,
        None,
        "for good",
    )


def test_a_pause_that_says_nothing_new_changes_nothing() -> None:
    """With a note or without: of two that are the same the first counts."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    for pause in (
        SchedulePaused(schedule_id=ID, at=NOW),
        SchedulePaused(schedule_id=ID, at=NOW, note="closed", version=1),
    ):
        paused = fold.evolve(state, pause, 1)
        assert paused.status == ScheduleStatus.PAUSED
        assert fold.evolve(paused, pause, 2) is paused


def test_a_pause_with_an_end_is_void_if_the_rule_was_changed() -> None:
    """Its next run is none of the new rule."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    pause = SchedulePaused(schedule_id=ID, at=NOW, until=NOW + DAY, next_run_at=NOW + DAY, version=state.version + 1)
    assert fold.evolve(state, pause, 1) is state


def test_a_resume_by_a_rule_that_was_changed_is_void() -> None:
    """Its next run is none of the new rule."""
    paused = fold.evolve(defined(ScheduleRule(every_s=60)), SchedulePaused(schedule_id=ID, at=NOW), 1)
    state = fold.evolve(paused, changed(paused, rule=ScheduleRule(every_s=7)), 2)
    resume = ScheduleResumed(schedule_id=ID, at=NOW, next_run_at=NOW + MINUTE, version=1)

    assert fold.evolve(state, resume, 3) is state
    assert state.next_run_at is None
