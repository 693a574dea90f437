"""Decisions about runs that nothing follows from, and a slot that had its job before its tick."""

from __future__ import annotations

import msgspec
import pytest

from libs.domain import schedule as fold
from libs.domain.ledger import Ledger, Verdict
from libs.domain.schedules import runs
from libs.events import Event, RunPolicy, ScheduleAutopaused, ScheduleRunStopped
from libs.events.codec import kind_of
from tests.fakes import events
from tests.unit.domain.schedules.run_story import CLAIM, Story, slot
from tests.unit.domain.schedules.schedule_states import ID, MINUTE, NOW

STOPPED = ScheduleRunStopped(schedule_id=ID, at=NOW, job_id=slot(1))
PAUSED = ScheduleAutopaused(schedule_id=ID, at=NOW, account="acme", failures=3, version=1)


@pytest.mark.parametrize("event", [STOPPED, PAUSED], ids=lambda event: kind_of(event).name)
def test_a_schedule_of_the_first_contract_has_no_runs_to_decide_about(event: Event) -> None:
    """Such a decision changes nothing and is no breach: the schedule does not look at its runs."""
    ledger = Ledger(0, claim=CLAIM)
    ledger.apply(0, events.created(ID, NOW), None)
    before = ledger.states[ID]

    assert ledger.apply(1, event, str(CLAIM)).verdict is Verdict.REPEATED
    assert ledger.states[ID] is before
    assert fold.is_overtaken(event, ledger.states)


def test_the_end_of_a_run_tells_a_plain_schedule_nothing() -> None:
    """It has nothing in which to note it."""
    ledger = Ledger(0, claim=CLAIM)
    ledger.apply(0, events.created(ID, NOW), None)
    plain = ledger.states[ID]

    assert runs.run_ended(None, events.ended(slot(1), NOW)) is None
    assert runs.settled(plain, STOPPED, 1) is plain


def test_a_slot_that_runs_already_begins_no_second_run() -> None:
    """A caller started the job of a slot, and it still runs at the tick: the schedule waits for its end as for any other run."""
    story = Story(RunPolicy(overlap="skip"))
    story.tell(events.asked(slot(1), NOW, schedule_id=ID, tick_at=NOW + MINUTE, is_tracked=True, fire_at=NOW))
    story.until(NOW + MINUTE)

    assert story.more.active == (slot(1),)
    assert story.running == [slot(1)]


@pytest.mark.parametrize("event", [STOPPED, PAUSED], ids=lambda event: kind_of(event).name)
def test_what_a_change_or_an_end_overtook_is_void(event: Event) -> None:
    """The run that is to stop is not under way; the runs do not fail any more."""
    story = Story(RunPolicy(overlap="replace", pause_after_failures=3))
    before = story.schedule

    assert story.tell(event) is Verdict.REPEATED
    assert story.schedule is before


def test_a_pause_of_another_version_is_not_to_be() -> None:
    """Failures are counted anew by each change, so what an owner decided before it does not count."""
    story = Story(RunPolicy(pause_after_failures=1))

    assert not runs.is_to_pause(story.more, msgspec.structs.replace(PAUSED, version=story.more.version + 1))
