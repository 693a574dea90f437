"""The decider as a script: a record is read, then these decisions are owed."""

from __future__ import annotations

import pytest

from libs.domain.ledger import GapInLog, Verdict
from libs.domain.state_kind import AT_ONCE
from libs.events import (
    AttemptDue,
    Claim,
    JobCancelled,
    JobFinished,
    JobRetryScheduled,
    OwnerClaimed,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTicked,
)
from libs.events.ids import execution_id, tick_job_id
from tests.unit.scheduler.harness import (
    JOB,
    LEAD_MS,
    MINUTE,
    NOW,
    OURS,
    SCHEDULE,
    Harness,
    asked,
    cancel,
    created,
    finished,
)

# The claim


def test_nothing_is_decided_before_the_claim_is_read_back() -> None:
    """Until its own claim comes back admitted, an owner is owed much and decides nothing."""
    harness = Harness(decide=False)
    harness.read(asked(in_ms=0))

    assert harness.decide() == []
    assert harness.decider.next_decision_at() is None

    harness.read(OURS)

    assert harness.decider.is_deciding
    assert harness.kinds() == ["attempt.due"]


def test_a_claim_that_is_not_admitted_ends_the_owner() -> None:
    """An equal epoch came first: this owner never decides, and has to start anew with a higher one."""
    harness = Harness(decide=False)
    harness.read(OwnerClaimed(epoch=2, nonce="b" * 16, node="m", at=NOW))

    assert harness.decider.superseded
    assert harness.read(OURS).verdict is Verdict.VOID
    assert not harness.decider.is_deciding


def test_a_lower_claim_before_ours_changes_nothing() -> None:
    """The claim of the owner before us may still stand between the tables and our own."""
    harness = Harness(decide=False)
    harness.read(OwnerClaimed(epoch=1, nonce="b" * 16, node="m", at=NOW), OURS)

    assert harness.decider.is_deciding
    assert not harness.decider.superseded


def test_a_newer_claim_ends_the_owner() -> None:
    """Once a higher claim is read nothing is decided any more, whatever is owed."""
    harness = Harness()
    harness.read(asked(in_ms=0), OwnerClaimed(epoch=3, nonce="b" * 16, node="m", at=NOW))

    assert harness.decider.superseded
    assert harness.decide() == []
    assert harness.decider.next_decision_at() is None


def test_a_void_claim_is_passed_over() -> None:
    """The claim of somebody who came too late ends nobody else."""
    harness = Harness()

    assert harness.read(OwnerClaimed(epoch=2, nonce="b" * 16, node="m", at=NOW)).verdict is Verdict.VOID
    assert harness.decider.is_deciding


def test_a_gap_in_the_log_is_raised() -> None:
    """A record that does not stand at the next position stops the owner."""
    with pytest.raises(GapInLog):
        Harness().decider.apply(7, asked(), None)


# The life of a job


def test_a_job_lives_from_due_to_its_end() -> None:
    """Due a lead before its instant, finished when its result is read; one decision at a time."""
    harness = Harness()
    harness.read(asked())

    assert harness.decider.next_decision_at() == NOW + 1_000 - LEAD_MS
    assert harness.decide(NOW + 1_000 - LEAD_MS - 1) == []
    (due,) = harness.decide(NOW + 1_000 - LEAD_MS)
    assert isinstance(due, AttemptDue)
    assert (due.attempt, due.not_before, due.execution_id) == (1, NOW + 1_000, execution_id(JOB, 1))

    harness.read(due)
    assert harness.decide(NOW + 5_000) == []
    assert harness.decider.next_decision_at() is None

    harness.read(finished(ok=True))
    assert harness.decider.next_decision_at() == AT_ONCE
    (end,) = harness.decide(NOW + 5_000)
    assert isinstance(end, JobFinished)
    assert (end.status, end.attempt) == ("completed", 1)

    harness.read(end)
    harness.decider.evict(())
    assert harness.decider.state_count == harness.decider.timer_count == harness.decider.overlay_count == 0


def test_a_failed_job_is_tried_again_and_then_given_up() -> None:
    """A job with one retry is due twice; its second failure is its end."""
    harness = Harness()
    harness.read(asked(in_ms=0, retries=1), *harness.decide(), *())
    assert harness.run() == ["attempt.due"]

    harness.read(finished(ok=False))
    (again,) = harness.decide(NOW)
    assert isinstance(again, JobRetryScheduled)
    assert (again.attempt, again.fire_at) == (2, NOW + 30_000)

    harness.read(again)
    assert harness.decider.next_decision_at() == NOW + 30_000 - LEAD_MS
    assert harness.run(NOW + 30_000) == ["attempt.due"]

    harness.read(finished(ok=False, attempt=2))
    (end,) = harness.decide(NOW + 31_000)
    assert isinstance(end, JobFinished)
    assert (end.status, end.attempt) == ("failed", 2)


def test_retry_after_takes_the_place_of_the_back_off() -> None:
    """A target that asked for two minutes gets two minutes."""
    harness = Harness()
    harness.read(asked(in_ms=0, retries=1))
    harness.run()
    harness.read(finished(ok=False, retry_after_ms=120_000))

    (again,) = harness.decide()

    assert isinstance(again, JobRetryScheduled)
    assert again.fire_at == NOW + 120_000


def test_a_cancel_is_answered_at_once() -> None:
    """A job that waits is cancelled as soon as its cancel is read, and its timer is gone."""
    harness = Harness()
    harness.read(asked(), cancel())

    (answer,) = harness.decide()
    assert isinstance(answer, JobCancelled)

    harness.read(answer)
    assert harness.run(NOW + 10_000) == []


def test_a_due_under_way_beats_a_cancel() -> None:
    """While a due stands in the overlay the cancel waits; when the due is read back there is nothing left to cancel."""
    harness = Harness()
    harness.read(asked(in_ms=0))
    (due,) = harness.decide()

    harness.read(cancel())
    assert harness.decide() == []

    harness.read(due)
    assert harness.decide() == []


def test_a_cancel_under_way_beats_the_due() -> None:
    """The same the other way round."""
    harness = Harness()
    harness.read(asked(in_ms=1_000), cancel())
    (answer,) = harness.decide()

    assert harness.decide(NOW + 5_000) == []

    harness.read(answer)
    assert harness.decide(NOW + 5_000) == []


def test_a_zombies_decision_changes_nothing() -> None:
    """A due under an older claim is void; ours is made all the same."""
    harness = Harness()
    harness.read(asked(in_ms=0))
    (due,) = harness.decide()

    assert harness.read(due, claim=Claim(1, "b" * 16)).verdict is Verdict.VOID
    assert harness.decider.overlay_count == 1
    assert harness.read(due).verdict is Verdict.APPLIED
    assert harness.decider.overlay_count == 0


# Schedules


def test_a_schedule_ticks_ahead_of_its_instant_and_its_job_fires_at_it() -> None:
    """Tick and due event are written one lead early; the job fires at the tick, and the next tick is in sight."""
    harness = Harness()
    harness.read(created())

    assert harness.decider.next_decision_at() == NOW + MINUTE - LEAD_MS
    (tick,) = harness.decide(NOW + MINUTE - LEAD_MS)
    assert isinstance(tick, ScheduleTicked)
    assert (tick.tick_at, tick.next_run_at, tick.missed_count) == (NOW + MINUTE, NOW + 2 * MINUTE, 0)
    assert tick.job_id == tick_job_id(SCHEDULE, NOW + MINUTE)

    harness.read(tick)
    assert harness.run(NOW + MINUTE - LEAD_MS) == ["attempt.due"]
    assert harness.decider.next_decision_at() == NOW + 2 * MINUTE - LEAD_MS


def test_after_an_outage_only_the_latest_missed_tick_is_made() -> None:
    """Five minutes and a bit too late: the tick of the fifth minute, four missed, and the next one as the rule says."""
    harness = Harness()
    harness.read(created())

    (tick,) = harness.decide(NOW + 5 * MINUTE + 10)

    assert isinstance(tick, ScheduleTicked)
    assert (tick.tick_at, tick.missed_count) == (NOW + 5 * MINUTE, 4)
    assert tick.next_run_at == NOW + 6 * MINUTE


def test_a_paused_schedule_does_not_tick_until_it_goes_on() -> None:
    """Pausing takes the timer away, resuming sets the one that the resume names, deleting takes it for good."""
    harness = Harness()
    harness.read(created(), SchedulePaused(schedule_id=SCHEDULE, at=NOW))
    assert harness.run(NOW + 10 * MINUTE) == []

    harness.read(ScheduleResumed(schedule_id=SCHEDULE, at=NOW, next_run_at=NOW + 90_000))
    assert harness.decider.next_decision_at() == NOW + 90_000 - LEAD_MS

    harness.read(ScheduleDeleted(schedule_id=SCHEDULE, at=NOW))
    assert harness.decider.next_decision_at() is None


def test_a_tick_under_way_is_void_behind_a_deletion() -> None:
    """A tick that lands behind the deletion of its schedule spawns nothing and is no breach."""
    harness = Harness()
    harness.read(created(in_ms=0))
    (tick,) = harness.decide()
    harness.read(ScheduleDeleted(schedule_id=SCHEDULE, at=NOW))

    assert harness.read(tick).verdict is Verdict.REPEATED
    assert harness.decider.overlay_count == 0
    assert harness.run(NOW + MINUTE) == []


def test_a_rule_that_cannot_be_read_spawns_nothing() -> None:
    """A cron expression of a newer build, or nonsense, must not stop the partition."""
    harness = Harness()
    harness.read(created(cron="@daily"))

    assert harness.run(NOW + 10 * MINUTE) == []
