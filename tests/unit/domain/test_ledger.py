"""The ledger: what each record of a partition does, as verdicts and as states."""

from __future__ import annotations

import pytest

from libs.domain.job import JobState, JobStatus
from libs.domain.ledger import GapInLog, Ledger, MustUnderstand, Verdict, names
from libs.domain.schedule import ScheduleStatus
from libs.events import (
    Claim,
    Event,
    JobCancelRequested,
    LogBarrier,
    OwnerClaimed,
    ScheduleTicked,
    Unknown,
    Unreadable,
    WebhookFinished,
)
from libs.events.ids import tick_job_id
from tests.unit.domain.ledger_records import (
    CLAIM,
    DELETED,
    JOB,
    MINUTE,
    NOW,
    OTHER,
    PAUSED,
    SCHEDULE,
    Reader,
    asked,
    cancelled,
    created,
    due,
    ended,
    finished,
    resumed,
    retried,
    ticked,
)


def test_a_tick_overtaken_by_a_resume_is_void() -> None:
    """A tick decided before a pause and a resume were read, whose instant the resume moved past, is no breach."""
    reader = Reader()
    reader.verdicts(created(), PAUSED, resumed(3))

    assert reader.read(ticked(1)).verdict is Verdict.REPEATED
    assert reader.ledger.states[SCHEDULE].next_run_at == NOW + 3 * MINUTE


def test_a_tick_overtaken_by_a_resume_is_void_after_earlier_ticks() -> None:
    """The same holds when the schedule has ticked before."""
    reader = Reader()
    reader.verdicts(created(), ticked(1), PAUSED, resumed(4))

    assert reader.read(ticked(2)).verdict is Verdict.REPEATED


def test_a_repeated_tick_overtaken_by_a_second_resume_is_void() -> None:
    """A late resume names an instant that was ticked; the tick made for it is overtaken by one more resume: no breach."""
    reader = Reader()
    reader.verdicts(created(), ticked(1), PAUSED, resumed(1), PAUSED, resumed(2))

    assert reader.read(ticked(1)).verdict is Verdict.REPEATED


def test_a_tick_made_twice_is_illegal() -> None:
    """An owner that ticks the same instant twice breaks the protocol."""
    reader = Reader()
    reader.verdicts(created(), ticked(1))

    assert reader.read(ticked(1)).verdict is Verdict.ILLEGAL


def test_a_job_from_its_request_to_its_end() -> None:
    """Every record of a plain life applies, and leaves its position in the job's timeline."""
    reader = Reader()

    assert (
        reader.verdicts(
            asked(max_retries=1), due(), finished(ok=False), retried(2), due(2), finished(2), ended(attempt=2)
        )
        == ["applied"] * 7
    )
    job = reader.ledger.states[JOB]
    assert (job.status, job.attempt, job.offsets) == (JobStatus.COMPLETED, 2, (1, 2, 3, 4, 5, 6, 7))


def test_a_cancelled_job() -> None:
    """A request and the owner's answer."""
    reader = Reader()

    assert reader.verdicts(asked(), JobCancelRequested(job_id=JOB, at=NOW), cancelled()) == ["applied"] * 3
    assert reader.ledger.states[JOB].status is JobStatus.CANCELLED


def test_facts_that_say_nothing_new_are_repeated() -> None:
    """First wins: for the request, the cancel, the result, the webhook; and for what comes too late."""
    reader = Reader()
    cancel = JobCancelRequested(job_id=JOB, at=NOW)
    webhook = WebhookFinished(job_id=JOB, at=NOW, ok=True, duration_ms=1)
    other = JOB[:-1] + "1"

    assert reader.verdicts(finished(), webhook, cancel) == ["repeated"] * 3
    assert reader.verdicts(asked(), asked(fire_at=NOW), cancel, cancel, webhook) == [
        "applied",
        "repeated",
        "applied",
        "repeated",
        "repeated",
    ]
    assert reader.verdicts(due(), cancel, finished(2), finished(), finished(ok=False)) == [
        "applied",
        "repeated",
        "repeated",
        "applied",
        "repeated",
    ]
    assert reader.verdicts(ended(), webhook, webhook, cancel, finished()) == [
        "applied",
        "applied",
        "repeated",
        "repeated",
        "repeated",
    ]
    assert other not in reader.ledger.states


def test_facts_of_schedules_are_first_wins_too() -> None:
    """Creating, pausing, resuming and deleting twice, or what does not exist, changes nothing."""
    reader = Reader()

    assert reader.verdicts(PAUSED, resumed(1), DELETED) == ["repeated"] * 3
    assert reader.verdicts(
        created(), created(), resumed(5), PAUSED, PAUSED, resumed(5), DELETED, DELETED, resumed(6)
    ) == [
        "applied",
        "repeated",
        "repeated",
        "applied",
        "repeated",
        "applied",
        "applied",
        "repeated",
        "repeated",
    ]
    assert reader.ledger.states[SCHEDULE].status is ScheduleStatus.DELETED


def test_decisions_that_do_not_apply_are_illegal() -> None:
    """An owner that decides what the state forbids breaks the protocol: counted, and nothing changes."""
    reader = Reader()
    assert reader.verdicts(due(), ended(), retried(2), cancelled(), ticked(1)) == ["illegal"] * 5

    reader.read(asked())
    assert reader.verdicts(due(2), ended(), retried(1)) == ["illegal"] * 3
    reader.read(due())
    assert reader.verdicts(due(), due(2), cancelled(), retried(2), ended()) == ["illegal"] * 5
    reader.read(finished(ok=False))
    assert reader.verdicts(retried(1), retried(3), due(2), cancelled()) == ["illegal"] * 4
    reader.read(ended("failed"))
    assert reader.verdicts(due(2), retried(2), ended(), cancelled()) == ["illegal"] * 4
    assert reader.ledger.states[JOB].status is JobStatus.FAILED


def test_a_tick_that_does_not_move_on_is_illegal() -> None:
    """A next run that is not later than the tick would tick for ever."""
    reader = Reader()
    reader.verdicts(created(), ticked(1))

    assert reader.read(ticked(1, 1)).verdict is Verdict.ILLEGAL
    reader.verdicts(PAUSED, resumed(2))
    assert reader.read(ticked(2, 2)).verdict is not Verdict.APPLIED


def test_a_tick_moves_the_schedule_and_spawns_the_job_at_once() -> None:
    """The job inherits from the schedule, and shares its spec."""
    reader = Reader()
    reader.read(created())

    applied = reader.read(ticked(1))

    job_id = ticked(1).job_id
    assert set(applied.changed) == {SCHEDULE, job_id}
    assert applied.new_id == job_id
    job, schedule = applied.changed[job_id], applied.changed[SCHEDULE]
    assert (job.schedule_id, job.spec_id) == (SCHEDULE, SCHEDULE)
    assert (job.fire_at, job.max_retries, job.has_webhook) == (NOW + MINUTE, 2, True)
    assert (schedule.last_run_at, schedule.next_run_at) == (NOW + MINUTE, NOW + 2 * MINUTE)


def test_a_tick_after_a_resume_to_the_same_instant_spawns_no_second_job() -> None:
    """A resume between an early tick and its instant names that instant again: the schedule moves on, the job is the one."""
    reader = Reader()
    reader.verdicts(created(), ticked(1), PAUSED, resumed(1))

    applied = reader.read(ticked(1))

    assert applied.verdict is Verdict.APPLIED
    assert set(applied.changed) == {SCHEDULE}
    assert len(reader.ledger.states.of(JobState)) == 1


def test_a_tick_behind_a_pause_or_a_deletion_is_void() -> None:
    """It was decided before its owner read of it."""
    reader = Reader()
    reader.verdicts(created(), PAUSED)
    assert reader.read(ticked(1)).verdict is Verdict.REPEATED

    reader.read(DELETED)
    assert reader.read(ticked(1)).verdict is Verdict.REPEATED
    assert reader.ledger.states.of(JobState) == {}


def test_a_rule_that_ends_ticks_no_more() -> None:
    """A last tick without a next run is taken; another one is illegal."""
    reader = Reader()
    last = ScheduleTicked(
        schedule_id=SCHEDULE, at=NOW, tick_at=NOW + MINUTE, job_id=tick_job_id(SCHEDULE, NOW + MINUTE)
    )
    reader.read(created())

    assert reader.read(last).verdict is Verdict.APPLIED
    assert reader.ledger.states[SCHEDULE].next_run_at is None
    assert reader.read(ticked(1)).verdict is Verdict.ILLEGAL


def test_only_the_last_admitted_claim_decides() -> None:
    """Epoch and nonce both count; a claim that is not higher is void; facts need none."""
    reader = Reader()
    reader.read(asked())

    assert reader.read(due(), claim=OTHER).verdict is Verdict.VOID
    assert reader.read(due(), claim=None).verdict is Verdict.VOID
    assert reader.read(OwnerClaimed(epoch=1, nonce=OTHER.nonce, node="m", at=NOW)).verdict is Verdict.VOID
    assert reader.read(OwnerClaimed(epoch=2, nonce=OTHER.nonce, node="m", at=NOW)).verdict is Verdict.APPLIED
    assert reader.ledger.claim == Claim(2, OTHER.nonce)
    assert reader.read(due()).verdict is Verdict.VOID
    assert reader.read(due(), claim=Claim(2, OTHER.nonce)).verdict is Verdict.APPLIED


def test_no_decision_counts_before_a_claim() -> None:
    """An empty log has no owner."""
    ledger = Ledger(0)

    assert ledger.apply(0, asked(), None).verdict is Verdict.APPLIED
    assert ledger.apply(1, due(), str(CLAIM)).verdict is Verdict.VOID


def test_poison_stops_its_own_job_or_schedule_and_nothing_else() -> None:
    """What can no longer be read holds what it names, if that lives; ends and deletions are not held."""
    reader = Reader()
    reader.verdicts(asked(), created())

    first = reader.read(Unreadable("attempt.finished", JOB, "torn"))
    again = reader.read(Unreadable("attempt.finished", JOB, "torn"))
    assert (first.verdict, again.verdict) == (Verdict.POISON, Verdict.POISON)
    assert first.changed[JOB].held
    assert not again.changed

    first = reader.read(Unreadable("schedule.paused", SCHEDULE, "torn"))
    again = reader.read(Unreadable("schedule.paused", SCHEDULE, "torn"))
    assert first.changed[SCHEDULE].held
    assert not again.changed

    assert reader.read(Unreadable("job.scheduled", "", "alien")).verdict is Verdict.POISON


def test_what_has_ended_is_not_held() -> None:
    """A terminal job and a deleted schedule stay as they are."""
    reader = Reader()
    reader.verdicts(asked(), due(), finished(), ended(), created(), DELETED)

    reader.verdicts(Unreadable("webhook.finished", JOB, "torn"), Unreadable("schedule.paused", SCHEDULE, "torn"))

    assert not reader.ledger.states[JOB].held
    assert not reader.ledger.states[SCHEDULE].held


def test_unknown_records_are_skipped_or_stop_the_reader() -> None:
    """As their writer said in the header; a reader that must stop has not moved."""
    reader = Reader()
    position = reader.ledger.position

    assert reader.read(Unknown("quota.granted", 1, False)).verdict is Verdict.SKIPPED
    with pytest.raises(MustUnderstand):
        reader.read(Unknown("quota.granted", 1, True))
    assert reader.ledger.position == position + 1


def test_a_barrier_is_taken() -> None:
    """`log.barrier` is read today and written by no one."""
    assert Reader().read(LogBarrier(min_version=1, at=NOW)).verdict is Verdict.APPLIED


def test_positions_are_contiguous() -> None:
    """A record from anywhere but the next position is a gap, before or after."""
    reader = Reader()

    for position in (0, 2):
        with pytest.raises(GapInLog):
            reader.ledger.apply(position, asked(), None)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (OwnerClaimed(epoch=1, nonce="a" * 16, node="n", at=NOW), ()),
        (LogBarrier(min_version=1, at=NOW), ()),
        (Unknown("x", 1, False), ()),
        (Unreadable("job.scheduled", "", "alien"), ()),
        (Unreadable("job.scheduled", JOB, "torn"), (JOB,)),
        (asked(), (JOB,)),
        (due(), (JOB,)),
        (WebhookFinished(job_id=JOB, at=NOW, ok=True, duration_ms=1), (JOB,)),
        (created(), (SCHEDULE,)),
        (PAUSED, (SCHEDULE,)),
        (resumed(1), (SCHEDULE,)),
        (DELETED, (SCHEDULE,)),
        (ticked(1), (SCHEDULE, tick_job_id(SCHEDULE, NOW + MINUTE))),
    ],
)
def test_names_says_whose_states_a_record_needs(item: Event | Unknown | Unreadable, expected: tuple[str, ...]) -> None:
    """What `apply` looks at must be in memory before."""
    assert names(item) == expected
