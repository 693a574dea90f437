"""What a decider keeps in memory, which jobs it lets wait, and which it leaves in the tables."""

from __future__ import annotations

import msgspec

from libs.domain import schedule
from libs.domain.job import JobState
from libs.domain.ledger import Verdict
from libs.domain.schedule import ScheduleState
from libs.domain.schedules.optional_state import ScheduleMore
from libs.domain.state_kind import AT_ONCE
from libs.events import (
    AttemptDue,
    JobScheduled,
    RunPolicy,
    SchedulePaused,
    ScheduleRule,
    ScheduleTicked,
    Spec,
    Unknown,
    Unreadable,
)
from libs.events.ids import new_job_id
from services.scheduler.new_jobs import NewJobs
from services.scheduler.sharing.unread_decisions import UNREAD_MAX
from tests.unit.scheduler.harness import (
    HORIZON_MS,
    JOB,
    LEAD_MS,
    MINUTE,
    NOW,
    SCHEDULE,
    Harness,
    asked,
    cancel,
    created,
    finished,
    job,
)

# New jobs


def test_a_job_above_all_that_were_there_is_new() -> None:
    """The tables are asked for a job only if they may hold it: if its id is not above all that they, or the records, had."""
    earlier, later, latest = (new_job_id(NOW + n, 0, bytes(8)) for n in range(3))
    decider = Harness().decider
    assert decider.missing([later, SCHEDULE]) == [later, SCHEDULE]  # as long as nothing is known of the tables

    decider.new_jobs = NewJobs(earlier)
    assert decider.missing([earlier, later, latest, SCHEDULE]) == [earlier, SCHEDULE]


def test_a_job_that_left_memory_is_not_new_again() -> None:
    """A fact that is written twice finds its job, however long it has been in the tables alone."""
    harness = Harness()
    harness.decider.new_jobs = NewJobs("")
    harness.read(asked(in_ms=2 * HORIZON_MS))
    harness.decider.evict(set())

    assert harness.decider.state_count == 0
    assert harness.decider.missing([JOB]) == [JOB]


def test_jobs_that_come_in_another_order_than_their_ids_are_new() -> None:
    """What was made earlier and appended later is not looked up in the tables, and is known once it was folded."""
    harness = Harness()
    harness.decider.new_jobs = NewJobs(job(1))
    harness.read(asked(job(3), in_ms=2 * HORIZON_MS))
    harness.decider.evict(set())

    assert harness.decider.missing([job(1), job(2), job(3), job(4)]) == [job(1), job(3)]


# Poison


def test_a_held_job_is_left_alone() -> None:
    """A record of a job that cannot be read takes its timer away."""
    harness = Harness()
    harness.read(asked(in_ms=0), Unreadable("job.cancel_requested", JOB, "torn"))

    assert harness.run(NOW + MINUTE) == []
    harness.decider.evict(())
    assert harness.decider.state_count == 0


def test_a_held_job_gives_its_slot_back() -> None:
    """A job that was running when it was held does not keep the others from firing."""
    harness = Harness(concurrency=1)
    harness.read(asked(job(1), in_ms=0), asked(job(2), in_ms=0))
    (due,) = harness.decide()
    assert isinstance(due, AttemptDue)
    harness.read(due)
    assert harness.decide() == []

    harness.read(Unreadable("attempt.finished", due.job_id, "torn"))

    assert harness.decider.next_decision_at() == AT_ONCE
    assert harness.kinds() == ["attempt.due"]


def test_a_job_held_while_its_due_is_under_way_gives_its_slot_back() -> None:
    """The same when the record that cannot be read comes before the due is read back."""
    harness = Harness(concurrency=1)
    harness.read(asked(job(1), in_ms=0), asked(job(2), in_ms=0))
    (due,) = harness.decide()
    assert isinstance(due, AttemptDue)

    harness.read(Unreadable("job.scheduled", due.job_id, "torn"), due)

    assert harness.kinds() == ["attempt.due"]


# Concurrency


def test_due_jobs_wait_for_a_slot_and_accounts_take_turns() -> None:
    """With four slots one stays free for newcomers; one job's end lets the next of its account go."""
    harness = Harness(concurrency=4)
    harness.read(*[asked(job(number), in_ms=0, account="busy") for number in range(5)])
    harness.read(asked(job(9), in_ms=0, account="small"))

    first = harness.decide()
    assert [each.account for each in first] == ["busy", "small", "busy"]  # type: ignore[union-attr]
    harness.read(*first)
    assert harness.decide() == []

    harness.read(finished(job(0), ok=True))
    assert sorted(harness.kinds()) == ["attempt.due", "job.finished"]


def test_a_job_that_waits_for_a_slot_can_be_cancelled() -> None:
    """A cancel takes a job out of the queue."""
    harness = Harness(concurrency=1)
    harness.read(asked(job(1), in_ms=0), asked(job(2), in_ms=0))
    harness.run()

    harness.read(cancel(job(2)))

    assert harness.run() == ["job.cancelled"]


def test_what_is_found_running_takes_a_slot() -> None:
    """A new owner counts the attempts that its predecessor made due."""
    before = Harness()
    before.read(asked(job(1), in_ms=0))
    before.run()
    harness = Harness(concurrency=1, states=list(before.decider.ledger.states.of(JobState).values()))
    harness.read(asked(job(2), in_ms=0))

    assert harness.decide() == []

    harness.read(finished(job(1), ok=True))
    assert sorted(harness.run()) == ["attempt.due", "job.finished"]


# Bounds


def test_a_burst_is_decided_in_portions() -> None:
    """Of one account's decisions at most half of all that may be unread; the rest as these are read back. Others find room."""
    harness = Harness(concurrency=1_000_000)
    harness.read(*[asked(job(number), in_ms=0) for number in range(UNREAD_MAX)])

    first = harness.decide()
    assert len(first) == UNREAD_MAX // 2
    assert harness.decide() == []
    assert harness.decider.next_decision_at() is None

    harness.read(asked(job(UNREAD_MAX), in_ms=0, account="other"))
    (other,) = harness.decide()
    assert isinstance(other, AttemptDue)
    assert other.account == "other"

    harness.read(*first)
    assert harness.decider.next_decision_at() == AT_ONCE
    assert len(harness.decide()) == UNREAD_MAX // 2


def test_a_burst_of_ends_is_decided_in_portions() -> None:
    """The same for decisions that need no concurrency."""
    harness = Harness()
    harness.read(*[asked(job(number)) for number in range(UNREAD_MAX)])
    harness.read(*[cancel(job(number)) for number in range(UNREAD_MAX)])

    first = harness.decide()
    assert len(first) == UNREAD_MAX // 2
    assert harness.decide() == []

    harness.read(*first)
    assert harness.decider.next_decision_at() == AT_ONCE
    assert len(harness.decide()) == UNREAD_MAX // 2


def test_the_hand_off_writes_dues_early() -> None:
    """What is due within the next second is written before the partition is handed over, with its own instant."""
    harness = Harness()
    harness.read(asked(job(1), in_ms=900), asked(job(2), in_ms=5_000), created(in_ms=4_000))

    (due,) = harness.decide(early_ms=1_000)

    assert isinstance(due, AttemptDue)
    assert (due.job_id, due.not_before) == (job(1), NOW + 900)
    assert harness.decider.next_decision_at() == NOW + 4_000 - LEAD_MS


def test_the_hand_off_writes_ticks_early_and_what_they_spawn() -> None:
    """A schedule that ticks within the next second, too: its tick, then the due event of the job, with its own instant."""
    harness = Harness()
    harness.read(created(in_ms=900))

    (tick,) = harness.decide(early_ms=1_000)
    harness.read(tick)
    (due,) = harness.decide(early_ms=1_000)

    assert isinstance(tick, ScheduleTicked)
    assert isinstance(due, AttemptDue)
    assert (tick.tick_at, due.job_id, due.not_before) == (NOW + 900, tick.job_id, NOW + 900)


# The working set


def test_what_lies_beyond_the_horizon_is_left_to_the_tables() -> None:
    """A job far ahead has no timer, and leaves memory once it is saved."""
    harness = Harness()
    harness.read(asked(in_ms=HORIZON_MS + 1_000))

    harness.decider.evict({JOB})
    assert harness.decider.state_count == 1
    assert harness.decider.missing([JOB, SCHEDULE]) == [SCHEDULE]

    harness.decider.evict(())
    assert harness.decider.state_count == 0
    assert harness.decider.missing([JOB]) == [JOB]


def test_a_job_left_in_memory_beyond_the_horizon_fires_when_the_horizon_moves_on() -> None:
    """A job that was folded beyond the horizon and not yet evicted gets its timer when the horizon passes it."""
    harness = Harness()
    harness.read(asked(in_ms=HORIZON_MS + MINUTE))
    assert harness.decider.timer_count == 0

    harness.decider.extend(NOW + 2 * HORIZON_MS)
    harness.decider.load([harness.decider.ledger.states[JOB]])  # what the tables answer is passed over: it is in memory

    assert harness.decider.next_decision_at() == NOW + HORIZON_MS + MINUTE - LEAD_MS
    assert harness.kinds(NOW + HORIZON_MS + MINUTE) == ["attempt.due"]


def test_drawing_the_horizon_in_frees_memory() -> None:
    """Timers behind the new horizon go, and their states with them; the others stay."""
    harness = Harness()
    harness.read(asked(job(1), in_ms=1_000), asked(job(2), in_ms=60_000), created(in_ms=MINUTE))

    harness.decider.shrink(NOW + 30_000)
    harness.decider.evict(())

    assert set(harness.decider.ledger.states.of(JobState)) == {job(1)}
    assert harness.decider.ledger.states.of(ScheduleState) == {}
    assert harness.decider.timer_count == 1


def test_what_is_in_memory_wins_over_the_tables() -> None:
    """An answer of the tables that is older than what was folded meanwhile changes nothing."""
    harness = Harness()
    harness.read(asked(in_ms=0), created())
    old = list(harness.decider.ledger.states.values())
    harness.run()
    harness.read(SchedulePaused(schedule_id=SCHEDULE, at=NOW))
    now = (harness.decider.ledger.states.of(JobState), harness.decider.ledger.states.of(ScheduleState))

    harness.decider.load(old)

    assert (harness.decider.ledger.states.of(JobState), harness.decider.ledger.states.of(ScheduleState)) == now


def test_loaded_states_get_their_timers() -> None:
    """A new owner arms what it loads, jobs and schedules, and what is owed at once is owed at once."""
    before = Harness()
    before.read(asked(job(1), in_ms=5_000), asked(job(2)), cancel(job(2)), created())
    states = list(before.decider.ledger.states.values())

    harness = Harness(states=states)

    assert harness.run() == ["job.cancelled"]
    assert harness.decider.next_decision_at() == NOW + 5_000 - LEAD_MS
    assert harness.decider.timer_count == 2


def test_a_record_that_may_be_skipped_changes_nothing() -> None:
    """Neither an alien record nor one of an alien key moves anything but the position."""
    harness = Harness()
    harness.read(asked())

    assert harness.read(Unknown("quota.granted", 1, False)).verdict is Verdict.SKIPPED
    assert harness.read(Unreadable("job.scheduled", "", "alien")).verdict is Verdict.POISON
    assert harness.decider.next_decision_at() == NOW + 1_000 - LEAD_MS


def test_a_held_attempt_gives_its_slot_back() -> None:
    """A running job that is held may never end; with one concurrency, the next job still fires."""
    other = new_job_id(NOW, 0, bytes([1] * 8))
    harness = Harness(concurrency=1)
    for job_id in (JOB, other):
        harness.read(JobScheduled(job_id=job_id, account="a", at=NOW, spec=Spec(url="http://t.example/"), fire_at=NOW))
    (due,) = harness.decider.decide(NOW, lambda: 0.5)
    harness.read(due)
    assert harness.decider.decide(NOW, lambda: 0.5) == []

    harness.read(Unreadable("attempt.finished", key=JOB, reason="torn"))

    (next_due,) = harness.decider.decide(NOW, lambda: 0.5)
    assert isinstance(next_due, AttemptDue)
    assert next_due.job_id == other


# Graces


def test_a_tick_that_waits_for_a_grace_is_kept_and_called_at_its_end() -> None:
    """The tables find a schedule by its next run, and that is later: so it stays in memory, and after a restart as well."""
    grace_end = NOW + 2 * HORIZON_MS
    more = ScheduleMore(
        rule=ScheduleRule(every_s=3_600, anchor_at=NOW),
        runs=RunPolicy(overlap="buffer_one", grace_s=600),
        buffered=(NOW,),
        grace_until=grace_end,
        owes_now=True,
    )
    waiting = msgspec.structs.replace(
        schedule.create(created(), 0), cron="", more=more, next_run_at=NOW + 60 * MINUTE, last_run_at=NOW - 60 * MINUTE
    )
    harness = Harness(states=[waiting])
    assert harness.decider.next_decision_at() is None

    harness.decider.evict(())
    assert harness.decider.state_count == 1
    harness.decider.extend(grace_end + 1)
    assert harness.decider.next_decision_at() == grace_end
    assert harness.kinds(grace_end - 1) == []
    assert harness.kinds(grace_end) == ["schedule.spawned"]
