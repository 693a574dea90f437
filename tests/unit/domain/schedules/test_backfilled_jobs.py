"""Jobs that make up for ticks that have gone by: one for each slot, whoever asks for it, in whatever order."""

from __future__ import annotations

import pytest

from libs.domain.job import JobState
from libs.domain.jobs.decisions import due
from libs.domain.ledger import Ledger, Verdict
from libs.domain.schedule import ScheduleState
from libs.events import Claim, Event, JobScheduled, OwnerClaimed, ScheduleTicked, encode
from libs.events.codec import kind_of
from libs.events.ids import from_int, repeated_tick_job_id, tick_job_id, to_int
from tests.fakes import events
from tests.unit.domain.schedules.schedule_states import ID, MINUTE, NOW

CLAIM = Claim(1, "a" * 16)
TICK_AT = NOW + MINUTE
SPEC_ID = from_int("job", to_int(ID))


def backfilled(job_id: str = tick_job_id(ID, TICK_AT)) -> JobScheduled:
    """Return the fact of a back-fill, asked for five minutes after the tick."""
    at = TICK_AT + 5 * MINUTE
    return events.asked(
        job_id,
        at,
        fire_at=at + 1_000,
        schedule_id=ID,
        spec_id=SPEC_ID,
        tick_at=TICK_AT,
        local_time="a clock",
        max_retries=4,
    )


def ticked() -> ScheduleTicked:
    return events.ticked(ID, TICK_AT, at=TICK_AT, next_run_at=TICK_AT + MINUTE)


def folded(*said: Event) -> tuple[Ledger, list[Verdict]]:
    """Return the fold of a schedule of every minute, and what each of the records after it did."""
    ledger = Ledger(0)
    records = [
        OwnerClaimed(epoch=1, nonce=CLAIM.nonce, node="n", at=NOW),
        events.created(ID, NOW, next_run_at=TICK_AT),
        *said,
    ]
    verdicts = []
    for position, event in enumerate(records):
        stamp = str(CLAIM) if kind_of(event).role == "decision" else None
        verdicts.append(ledger.apply(position, event, stamp).verdict)
    return ledger, verdicts[2:]


def test_its_instant_is_the_tick_and_its_call_waits() -> None:
    """`scheduled_at` is the slot, the call leaves when the back-fill says; the target is told why."""
    ledger, verdicts = folded(backfilled())
    job = ledger.states[tick_job_id(ID, TICK_AT)]

    assert verdicts == [Verdict.APPLIED]
    assert isinstance(job, JobState)
    assert (job.scheduled_at, job.fire_at, job.schedule_id, job.max_retries) == (
        TICK_AT,
        TICK_AT + 5 * MINUTE + 1_000,
        ID,
        4,
    )
    attempt = due(job, 1, job.fire_at)
    assert (attempt.trigger, attempt.local_time, attempt.scheduled_at, attempt.spec_id) == (
        "backfill",
        "a clock",
        TICK_AT,
        ID,
    )


@pytest.mark.parametrize("tick_first", [True, False])
def test_a_slot_is_one_job(tick_first: bool) -> None:
    """The tick and the back-fill of one slot, in both orders: the second finds the job, and the schedule moves on all the same."""
    said = (ticked(), backfilled()) if tick_first else (backfilled(), ticked())

    ledger, verdicts = folded(*said)

    assert len(ledger.states.of(JobState)) == 1
    assert Verdict.ILLEGAL not in verdicts
    assert ledger.states.of(ScheduleState)[ID].next_run_at == TICK_AT + MINUTE
    (job,) = ledger.states.of(JobState).values()
    assert (job.more is None) == tick_first


def test_a_repeated_back_fill_changes_nothing() -> None:
    """A request whose answer was lost may be repeated."""
    _, verdicts = folded(backfilled(), backfilled())

    assert verdicts == [Verdict.APPLIED, Verdict.REPEATED]


def test_a_rerun_is_another_job() -> None:
    """Its id follows from slot and request, so that a repeat of the request is no third one."""
    again = repeated_tick_job_id(ID, TICK_AT, "request")
    ledger, _ = folded(ticked(), backfilled(again), backfilled(again))

    assert set(ledger.states.of(JobState)) == {tick_job_id(ID, TICK_AT), again}
    assert repeated_tick_job_id(ID, TICK_AT, "other") != again


def test_older_builds_stop_at_it() -> None:
    """They would call it at once as a run of now: the version is one that they do not read; a run of now is written as before."""
    run_now = events.asked(tick_job_id(ID, NOW), NOW, schedule_id=ID, spec_id=SPEC_ID)

    assert encode(backfilled()).version > encode(run_now).version
