"""The decider as a script: a record is read, then these decisions are owed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from libs.domain.ledger import Applied, GapInLog, Ledger, Verdict
from libs.domain.obligations import AT_ONCE, TICK_LEAD_MS, State
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Claim,
    Event,
    JobCancelled,
    JobCancelRequested,
    JobFinished,
    JobRetryScheduled,
    JobScheduled,
    OwnerClaimed,
    ScheduleCreated,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTicked,
    Spec,
    Unknown,
    Unreadable,
)
from libs.events.codec import kind_of
from libs.events.ids import execution_id, new_job_id, new_schedule_id, tick_job_id
from services.scheduler.decider import DECISIONS_MAX, Decider

NOW = 1_800_000_000_000
MINUTE = 60_000
CLAIM = Claim(2, "a" * 16)
LEAD_MS = 75
HORIZON_MS = 120_000
JOB = new_job_id(NOW, 0, bytes(8))
SCHEDULE = new_schedule_id(NOW, 0, bytes(8))
OURS = OwnerClaimed(epoch=2, nonce=CLAIM.nonce, node="n", at=NOW)


class Bench:
    """A decider, and a log that is read to it one record at a time."""

    def __init__(self, *, credit: int = 1_000, states: Sequence[State] = (), lead: bool = True) -> None:
        self.decider = Decider(
            Ledger(0), CLAIM, lead_ms=LEAD_MS, retry_base_s=30.0, credit=credit, horizon_at=NOW + HORIZON_MS
        )
        self.decider.load(states)
        if lead:
            self.read(OURS)

    def read(self, *items: Event | Unknown | Unreadable, claim: Claim = CLAIM) -> Applied:
        """Read more records, decisions under *claim*; return what the last one did."""
        for item in items:
            is_decision = not isinstance(item, Unreadable | Unknown) and kind_of(item).role == "decision"
            applied = self.decider.apply(self.decider.ledger.position + 1, item, str(claim) if is_decision else None)
        return applied

    def decide(self, now: int = NOW, *, early_ms: int = 0) -> list[Event]:
        """Return what is owed at *now*."""
        return self.decider.decide(now, lambda: 0.5, early_ms=early_ms)

    def kinds(self, now: int = NOW) -> list[str]:
        """Return the names of what is owed at *now*."""
        return [kind_of(each).name for each in self.decide(now)]

    def run(self, now: int = NOW) -> list[str]:
        """Decide and read back until nothing more is owed at *now*; return the names of all decisions."""
        names: list[str] = []
        while decisions := self.decide(now):
            names += [kind_of(each).name for each in decisions]
            self.read(*decisions)
        return names


def job(number: int) -> str:
    """Return the id of the *number*-th job."""
    return new_job_id(NOW, 0, number.to_bytes(8, "big"))


def asked(job_id: str = JOB, *, in_ms: int = 1_000, retries: int = 0, account: str = "acme") -> JobScheduled:
    """Return the request for a job."""
    return JobScheduled(
        job_id=job_id,
        account=account,
        at=NOW,
        spec=Spec(url="https://example.com/"),
        fire_at=NOW + in_ms,
        max_retries=retries,
    )


def cancel(job_id: str = JOB) -> JobCancelRequested:
    """Return the request to cancel a job."""
    return JobCancelRequested(job_id=job_id, at=NOW)


def finished(job_id: str = JOB, *, ok: bool, attempt: int = 1, retry_after_ms: int | None = None) -> AttemptFinished:
    """Return the result of an attempt."""
    return AttemptFinished(
        job_id=job_id,
        at=NOW,
        attempt=attempt,
        execution_id=execution_id(job_id, attempt),
        ok=ok,
        started_at=NOW,
        duration_ms=5,
        status_code=200 if ok else 500,
        retry_after_ms=retry_after_ms,
    )


def created(*, cron: str = "* * * * *", in_ms: int = MINUTE) -> ScheduleCreated:
    """Return the request for a schedule."""
    return ScheduleCreated(
        schedule_id=SCHEDULE,
        account="acme",
        at=NOW,
        spec=Spec(url="https://example.com/"),
        cron=cron,
        next_run_at=NOW + in_ms,
    )


# The claim


def test_nothing_is_decided_before_the_claim_is_read_back() -> None:
    """Until its own claim comes back admitted, an owner is owed much and decides nothing."""
    bench = Bench(lead=False)
    bench.read(asked(in_ms=0))

    assert bench.decide() == []
    assert bench.decider.next_decision_at() is None

    bench.read(OURS)

    assert bench.decider.leading
    assert bench.kinds() == ["attempt.due"]


def test_a_claim_that_is_not_admitted_ends_the_owner() -> None:
    """An equal epoch came first: this owner never leads, and has to start anew with a higher one."""
    bench = Bench(lead=False)
    bench.read(OwnerClaimed(epoch=2, nonce="b" * 16, node="m", at=NOW))

    assert bench.decider.superseded
    assert bench.read(OURS).verdict is Verdict.VOID
    assert not bench.decider.leading


def test_a_lower_claim_before_ours_changes_nothing() -> None:
    """The claim of the owner before us may still stand between the tables and our own."""
    bench = Bench(lead=False)
    bench.read(OwnerClaimed(epoch=1, nonce="b" * 16, node="m", at=NOW), OURS)

    assert bench.decider.leading
    assert not bench.decider.superseded


def test_a_newer_claim_ends_the_owner() -> None:
    """Once a higher claim is read nothing is decided any more, whatever is owed."""
    bench = Bench()
    bench.read(asked(in_ms=0), OwnerClaimed(epoch=3, nonce="b" * 16, node="m", at=NOW))

    assert bench.decider.superseded
    assert bench.decide() == []
    assert bench.decider.next_decision_at() is None


def test_a_void_claim_is_passed_over() -> None:
    """The claim of somebody who came too late ends nobody else."""
    bench = Bench()

    assert bench.read(OwnerClaimed(epoch=2, nonce="b" * 16, node="m", at=NOW)).verdict is Verdict.VOID
    assert bench.decider.leading


def test_a_gap_in_the_log_is_raised() -> None:
    """A record that does not stand at the next position stops the owner."""
    with pytest.raises(GapInLog):
        Bench().decider.apply(7, asked(), None)


# The life of a job


def test_a_job_lives_from_due_to_its_end() -> None:
    """Due a lead before its instant, finished when its result is read; one decision at a time."""
    bench = Bench()
    bench.read(asked())

    assert bench.decider.next_decision_at() == NOW + 1_000 - LEAD_MS
    assert bench.decide(NOW + 1_000 - LEAD_MS - 1) == []
    (due,) = bench.decide(NOW + 1_000 - LEAD_MS)
    assert isinstance(due, AttemptDue)
    assert (due.attempt, due.not_before, due.execution_id) == (1, NOW + 1_000, execution_id(JOB, 1))

    bench.read(due)
    assert bench.decide(NOW + 5_000) == []
    assert bench.decider.next_decision_at() is None

    bench.read(finished(ok=True))
    assert bench.decider.next_decision_at() == AT_ONCE
    (end,) = bench.decide(NOW + 5_000)
    assert isinstance(end, JobFinished)
    assert (end.status, end.attempt) == ("completed", 1)

    bench.read(end)
    bench.decider.evict(())
    assert bench.decider.state_count == bench.decider.timer_count == bench.decider.overlay_count == 0


def test_a_failed_job_is_tried_again_and_then_given_up() -> None:
    """A job with one retry is due twice; its second failure is its end."""
    bench = Bench()
    bench.read(asked(in_ms=0, retries=1), *bench.decide(), *())
    assert bench.run() == ["attempt.due"]

    bench.read(finished(ok=False))
    (again,) = bench.decide(NOW)
    assert isinstance(again, JobRetryScheduled)
    assert (again.attempt, again.fire_at) == (2, NOW + 30_000)

    bench.read(again)
    assert bench.decider.next_decision_at() == NOW + 30_000 - LEAD_MS
    assert bench.run(NOW + 30_000) == ["attempt.due"]

    bench.read(finished(ok=False, attempt=2))
    (end,) = bench.decide(NOW + 31_000)
    assert isinstance(end, JobFinished)
    assert (end.status, end.attempt) == ("failed", 2)


def test_retry_after_takes_the_place_of_the_back_off() -> None:
    """A target that asked for two minutes gets two minutes."""
    bench = Bench()
    bench.read(asked(in_ms=0, retries=1))
    bench.run()
    bench.read(finished(ok=False, retry_after_ms=120_000))

    (again,) = bench.decide()

    assert isinstance(again, JobRetryScheduled)
    assert again.fire_at == NOW + 120_000


def test_a_cancel_is_answered_at_once() -> None:
    """A job that waits is cancelled as soon as its cancel is read, and its timer is gone."""
    bench = Bench()
    bench.read(asked(), cancel())

    (answer,) = bench.decide()
    assert isinstance(answer, JobCancelled)

    bench.read(answer)
    assert bench.run(NOW + 10_000) == []


def test_a_due_under_way_beats_a_cancel() -> None:
    """While a due stands in the overlay the cancel waits; when the due is read back there is nothing left to cancel."""
    bench = Bench()
    bench.read(asked(in_ms=0))
    (due,) = bench.decide()

    bench.read(cancel())
    assert bench.decide() == []

    bench.read(due)
    assert bench.decide() == []


def test_a_cancel_under_way_beats_the_due() -> None:
    """The same the other way round."""
    bench = Bench()
    bench.read(asked(in_ms=1_000), cancel())
    (answer,) = bench.decide()

    assert bench.decide(NOW + 5_000) == []

    bench.read(answer)
    assert bench.decide(NOW + 5_000) == []


def test_a_zombies_decision_changes_nothing() -> None:
    """A due under an older claim is void; ours is made all the same."""
    bench = Bench()
    bench.read(asked(in_ms=0))
    (due,) = bench.decide()

    assert bench.read(due, claim=Claim(1, "b" * 16)).verdict is Verdict.VOID
    assert bench.decider.overlay_count == 1
    assert bench.read(due).verdict is Verdict.APPLIED
    assert bench.decider.overlay_count == 0


# Schedules


def test_a_schedule_ticks_ahead_of_its_instant_and_its_job_fires_at_it() -> None:
    """The tick is written two seconds early; the job that it spawns fires at the tick, and the next tick is in sight."""
    bench = Bench()
    bench.read(created())

    assert bench.decider.next_decision_at() == NOW + MINUTE - TICK_LEAD_MS
    (tick,) = bench.decide(NOW + MINUTE - TICK_LEAD_MS)
    assert isinstance(tick, ScheduleTicked)
    assert (tick.tick_at, tick.next_run_at, tick.missed_count) == (NOW + MINUTE, NOW + 2 * MINUTE, 0)
    assert tick.job_id == tick_job_id(SCHEDULE, NOW + MINUTE)

    bench.read(tick)
    assert bench.decider.next_decision_at() == NOW + MINUTE - LEAD_MS
    assert bench.run(NOW + MINUTE) == ["attempt.due"]
    assert bench.decider.next_decision_at() == NOW + 2 * MINUTE - TICK_LEAD_MS


def test_after_an_outage_only_the_latest_missed_tick_is_made() -> None:
    """Five minutes and a bit too late: the tick of the fifth minute, four missed, and the next one as the rule says."""
    bench = Bench()
    bench.read(created())

    (tick,) = bench.decide(NOW + 5 * MINUTE + 10)

    assert isinstance(tick, ScheduleTicked)
    assert (tick.tick_at, tick.missed_count) == (NOW + 5 * MINUTE, 4)
    assert tick.next_run_at == NOW + 6 * MINUTE


def test_a_paused_schedule_does_not_tick_until_it_goes_on() -> None:
    """Pausing takes the timer away, resuming sets the one that the resume names, deleting takes it for good."""
    bench = Bench()
    bench.read(created(), SchedulePaused(schedule_id=SCHEDULE, at=NOW))
    assert bench.run(NOW + 10 * MINUTE) == []

    bench.read(ScheduleResumed(schedule_id=SCHEDULE, at=NOW, next_run_at=NOW + 90_000))
    assert bench.decider.next_decision_at() == NOW + 90_000 - TICK_LEAD_MS

    bench.read(ScheduleDeleted(schedule_id=SCHEDULE, at=NOW))
    assert bench.decider.next_decision_at() is None


def test_a_tick_under_way_is_void_behind_a_deletion() -> None:
    """A tick that lands behind the deletion of its schedule spawns nothing and is no breach."""
    bench = Bench()
    bench.read(created(in_ms=0))
    (tick,) = bench.decide()
    bench.read(ScheduleDeleted(schedule_id=SCHEDULE, at=NOW))

    assert bench.read(tick).verdict is Verdict.REPEATED
    assert bench.decider.overlay_count == 0
    assert bench.run(NOW + MINUTE) == []


def test_a_rule_that_cannot_be_read_spawns_nothing() -> None:
    """A cron expression of a newer build, or nonsense, must not stop the partition."""
    bench = Bench()
    bench.read(created(cron="@daily"))

    assert bench.run(NOW + 10 * MINUTE) == []


# Poison


def test_a_held_job_is_left_alone() -> None:
    """A record of a job that cannot be read takes its timer away."""
    bench = Bench()
    bench.read(asked(in_ms=0), Unreadable("job.cancel_requested", JOB, "torn"))

    assert bench.run(NOW + MINUTE) == []
    bench.decider.evict(())
    assert bench.decider.state_count == 0


def test_a_held_job_gives_its_credit_back() -> None:
    """A job that was running when it was held does not keep the others from firing."""
    bench = Bench(credit=1)
    bench.read(asked(job(1), in_ms=0), asked(job(2), in_ms=0))
    (due,) = bench.decide()
    assert isinstance(due, AttemptDue)
    bench.read(due)
    assert bench.decide() == []

    bench.read(Unreadable("attempt.finished", due.job_id, "torn"))

    assert bench.decider.next_decision_at() == AT_ONCE
    assert bench.kinds() == ["attempt.due"]


def test_a_job_held_while_its_due_is_under_way_gives_its_credit_back() -> None:
    """The same when the record that cannot be read comes before the due is read back."""
    bench = Bench(credit=1)
    bench.read(asked(job(1), in_ms=0), asked(job(2), in_ms=0))
    (due,) = bench.decide()
    assert isinstance(due, AttemptDue)

    bench.read(Unreadable("job.scheduled", due.job_id, "torn"), due)

    assert bench.kinds() == ["attempt.due"]


# Credit


def test_due_jobs_wait_for_credit_and_accounts_take_turns() -> None:
    """With eight credits an account holds at most two; one job's end lets the next of its account go."""
    bench = Bench(credit=8)
    bench.read(*[asked(job(number), in_ms=0, account="busy") for number in range(5)])
    bench.read(asked(job(9), in_ms=0, account="small"))

    first = bench.decide()
    assert [each.account for each in first] == ["busy", "small", "busy"]  # type: ignore[union-attr]
    bench.read(*first)
    assert bench.decide() == []

    bench.read(finished(job(0), ok=True))
    assert sorted(bench.kinds()) == ["attempt.due", "job.finished"]


def test_a_job_that_waits_for_credit_can_be_cancelled() -> None:
    """A cancel takes a job out of the queue."""
    bench = Bench(credit=1)
    bench.read(asked(job(1), in_ms=0), asked(job(2), in_ms=0))
    bench.run()

    bench.read(cancel(job(2)))

    assert bench.run() == ["job.cancelled"]


def test_what_is_found_running_takes_credit() -> None:
    """A new owner counts the attempts that its predecessor made due."""
    before = Bench()
    before.read(asked(job(1), in_ms=0))
    before.run()
    bench = Bench(credit=1, states=list(before.decider.ledger.jobs.values()))
    bench.read(asked(job(2), in_ms=0))

    assert bench.decide() == []

    bench.read(finished(job(1), ok=True))
    assert sorted(bench.run()) == ["attempt.due", "job.finished"]


# Bounds


def test_a_burst_is_decided_in_portions() -> None:
    """At most so many decisions at a time, and the rest at once afterwards."""
    bench = Bench(credit=1_000_000)
    bench.read(*[asked(job(number), in_ms=0) for number in range(DECISIONS_MAX + 1)])

    assert len(bench.decide()) == DECISIONS_MAX
    assert bench.decider.next_decision_at() == AT_ONCE
    assert len(bench.decide()) == 1
    assert bench.decider.next_decision_at() is None


def test_a_burst_of_ends_is_decided_in_portions() -> None:
    """The same for decisions that need no credit."""
    bench = Bench()
    bench.read(*[asked(job(number)) for number in range(DECISIONS_MAX + 1)])
    bench.read(*[cancel(job(number)) for number in range(DECISIONS_MAX + 1)])

    assert len(bench.decide()) == DECISIONS_MAX
    assert bench.decider.next_decision_at() == AT_ONCE
    assert len(bench.decide()) == 1


def test_the_hand_off_writes_dues_early() -> None:
    """What is due within the next second is written before the partition is handed over, with its own instant."""
    bench = Bench()
    bench.read(asked(job(1), in_ms=900), asked(job(2), in_ms=5_000), created(in_ms=4_000))

    (due,) = bench.decide(early_ms=1_000)

    assert isinstance(due, AttemptDue)
    assert (due.job_id, due.not_before) == (job(1), NOW + 900)
    assert bench.decider.next_decision_at() == NOW + 4_000 - TICK_LEAD_MS


def test_a_tick_is_not_made_early_at_hand_off() -> None:
    """A tick has a lead of its own: the hand-off leaves its timer where it is."""
    bench = Bench()
    bench.read(created(in_ms=2_500))

    assert bench.decide(early_ms=1_000) == []
    assert bench.decider.next_decision_at() == NOW + 2_500 - TICK_LEAD_MS


# The working set


def test_what_lies_beyond_the_horizon_is_left_to_the_tables() -> None:
    """A job far ahead has no timer, and leaves memory once it is saved."""
    bench = Bench()
    bench.read(asked(in_ms=HORIZON_MS + 1_000))

    bench.decider.evict({JOB})
    assert bench.decider.state_count == 1
    assert bench.decider.missing([JOB, SCHEDULE]) == [SCHEDULE]

    bench.decider.evict(())
    assert bench.decider.state_count == 0
    assert bench.decider.missing([JOB]) == [JOB]


def test_a_job_left_in_memory_beyond_the_horizon_fires_when_the_horizon_moves_on() -> None:
    """A job that was folded beyond the horizon and not yet evicted gets its timer when the horizon passes it."""
    bench = Bench()
    bench.read(asked(in_ms=HORIZON_MS + MINUTE))
    assert bench.decider.timer_count == 0

    bench.decider.extend(NOW + 2 * HORIZON_MS)
    bench.decider.load([bench.decider.ledger.jobs[JOB]])  # what the tables answer is passed over: it is in memory

    assert bench.decider.next_decision_at() == NOW + HORIZON_MS + MINUTE - LEAD_MS
    assert bench.kinds(NOW + HORIZON_MS + MINUTE) == ["attempt.due"]


def test_drawing_the_horizon_in_frees_memory() -> None:
    """Timers behind the new horizon go, and their states with them; the others stay."""
    bench = Bench()
    bench.read(asked(job(1), in_ms=1_000), asked(job(2), in_ms=60_000), created(in_ms=MINUTE))

    bench.decider.shrink(NOW + 30_000)
    bench.decider.evict(())

    assert set(bench.decider.ledger.jobs) == {job(1)}
    assert bench.decider.ledger.schedules == {}
    assert bench.decider.timer_count == 1


def test_what_is_in_memory_wins_over_the_tables() -> None:
    """An answer of the tables that is older than what was folded meanwhile changes nothing."""
    bench = Bench()
    bench.read(asked(in_ms=0), created())
    old = [*bench.decider.ledger.jobs.values(), *bench.decider.ledger.schedules.values()]
    bench.run()
    bench.read(SchedulePaused(schedule_id=SCHEDULE, at=NOW))
    now = (dict(bench.decider.ledger.jobs), dict(bench.decider.ledger.schedules))

    bench.decider.load(old)

    assert (bench.decider.ledger.jobs, bench.decider.ledger.schedules) == now


def test_loaded_states_get_their_timers() -> None:
    """A new owner arms what it loads, jobs and schedules, and what is owed at once is owed at once."""
    before = Bench()
    before.read(asked(job(1), in_ms=5_000), asked(job(2)), cancel(job(2)), created())
    states = [*before.decider.ledger.jobs.values(), *before.decider.ledger.schedules.values()]

    bench = Bench(states=states)

    assert bench.run() == ["job.cancelled"]
    assert bench.decider.next_decision_at() == NOW + 5_000 - LEAD_MS
    assert bench.decider.timer_count == 2


def test_a_record_that_may_be_skipped_changes_nothing() -> None:
    """Neither an alien record nor one of an alien key moves anything but the position."""
    bench = Bench()
    bench.read(asked())

    assert bench.read(Unknown("quota.granted", 1, False)).verdict is Verdict.SKIPPED
    assert bench.read(Unreadable("job.scheduled", "", "alien")).verdict is Verdict.POISON
    assert bench.decider.next_decision_at() == NOW + 1_000 - LEAD_MS


def test_a_held_attempt_gives_its_credit_back() -> None:
    """A running job that is held may never end; with one credit, the next job still fires."""
    other = new_job_id(NOW, 0, bytes([1] * 8))
    bench = Bench(credit=1)
    for job_id in (JOB, other):
        bench.read(JobScheduled(job_id=job_id, account="a", at=NOW, spec=Spec(url="http://t.example/"), fire_at=NOW))
    (due,) = bench.decider.decide(NOW, lambda: 0.5)
    bench.read(due)
    assert bench.decider.decide(NOW, lambda: 0.5) == []

    bench.read(Unreadable("attempt.finished", key=JOB, reason="torn"))

    (next_due,) = bench.decider.decide(NOW, lambda: 0.5)
    assert isinstance(next_due, AttemptDue)
    assert next_due.job_id == other
