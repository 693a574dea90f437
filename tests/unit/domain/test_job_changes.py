"""Changes of jobs that wait: asked for as facts, decided by the owner."""

from __future__ import annotations

from typing import Any

import msgspec

from libs.domain import job as job_fold
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.optional_state import ANSWERS_KEPT, CHANGES_MAX, JobMore
from libs.events import (
    AttemptDue,
    Event,
    JobCancelled,
    JobCancelRequested,
    JobChanged,
    JobChangeRefused,
    JobChangeRequested,
    JobStopRequested,
    Spec,
)
from libs.events.ids import new_job_id
from libs.events.retry_policy import RetryPolicy
from tests.fakes import events

START = 1_800_000_000_000
LATER = START + 60_000
JOB = new_job_id(START, 0, bytes(8))
SPEC_ID = new_job_id(START, 0, bytes([1]) * 8)


def asked(name: str = "a", version: int = 0, **changes: Any) -> JobChangeRequested:
    return JobChangeRequested(job_id=JOB, at=START, request_id=name, version=version, **({"fire_at": LATER} | changes))


def folded(*steps: Event) -> JobState:
    state = job_fold.create(events.asked(JOB, START, max_retries=1), 0)
    for position, event in enumerate(steps, 1):
        state = job_fold.evolve(state, event, position)
    return state


def decided(state: JobState) -> tuple[JobState, Event]:
    """Take the decision that is owed at once, and fold it."""
    assert job_fold.owed_at(state, 0) == 0
    decision = job_fold.decide(state, START, 0.5, 30.0)
    return job_fold.evolve(state, decision, 9), decision


def test_a_change_is_made_as_a_whole() -> None:
    """Instant, spec and policy are those of the request; the version goes up; the due that follows carries them."""
    spec = Spec(url="https://example.com/new", timeout_ms=5_000, webhook_url="https://example.com/hook")
    retry = RetryPolicy(max_retries=4)
    request = asked(
        max_retries=4, retry=retry, success_on=("404",), expires_at=LATER + 1, spec=spec, new_spec_id=SPEC_ID
    )
    state, decision = decided(folded(request))

    assert isinstance(decision, JobChanged)
    assert (state.fire_at, state.scheduled_at, state.max_retries) == (LATER, LATER, 4)
    assert (state.spec_id, state.timeout_ms, state.has_webhook) == (SPEC_ID, 5_000, True)
    assert (state.version, state.cancel_requested) == (1, False)
    assert state.more == JobMore(retry=retry, success_on=("404",), expires_at=LATER + 1, version=1, changed_ids=("a",))
    due = job_fold.decide(state, LATER, 0.5, 30.0)
    assert isinstance(due, AttemptDue)
    assert (due.not_before, due.scheduled_at, due.spec_id, due.retry) == (LATER, LATER, SPEC_ID, retry)


def test_a_job_of_a_schedule_that_is_moved_has_no_local_time_any_more() -> None:
    """It was that of the tick; a change that leaves the instant leaves it, too."""
    spawned = msgspec.structs.replace(folded(), more=JobMore(local_time="2027-01-15T09:00:00+01:00[Europe/Berlin]"))
    kept, _ = decided(job_fold.evolve(spawned, asked(fire_at=spawned.scheduled_at), 1))
    moved, _ = decided(job_fold.evolve(spawned, asked(), 1))

    assert (kept.more and kept.more.local_time) == (spawned.more and spawned.more.local_time)
    assert (moved.more and moved.more.local_time) is None


def test_a_change_without_a_spec_keeps_it() -> None:
    """What is called stays, and with it its limit and its webhook."""
    state, _ = decided(folded(asked()))
    assert (state.spec_id, state.timeout_ms, state.has_webhook) == (JOB, 30_000, False)


def test_of_two_changes_of_one_version_the_first_counts() -> None:
    """The other is refused: its caller has not seen what the job is now."""
    state, first = decided(folded(asked("a"), asked("b", fire_at=LATER + 1)))
    state, second = decided(state)

    assert (type(first), type(second)) == (JobChanged, JobChangeRefused)
    assert (state.fire_at, state.version, state.more and state.more.refused_ids) == (LATER, 1, ("b",))
    assert job_fold.owed_at(state, 0) == LATER


def test_a_change_that_a_due_overtook_is_none() -> None:
    """The due was decided first: the job is called as it was, and no change waits any more."""
    state = folded(asked(), events.due(JOB, START))
    assert (state.status, state.fire_at, state.more, state.cancel_requested) == (JobStatus.RUNNING, START, None, False)
    assert job_fold.owed_at(state, 0) is None
    late = JobChanged(job_id=JOB, at=START, request_id="a", fire_at=LATER)
    assert job_fold.evolve(state, late, 9) is state


def test_a_cancel_comes_before_the_changes_that_wait() -> None:
    """Whichever was asked for first, and so does a stop; a change of a job that is to be cancelled is passed over."""
    cancel = JobCancelRequested(job_id=JOB, at=START)
    for steps in ((asked(), cancel), (asked(), JobStopRequested(job_id=JOB, at=START))):
        state, decision = decided(folded(*steps))
        assert isinstance(decision, JobCancelled)
        assert (state.status, state.more) == (JobStatus.CANCELLED, None)
    state = folded(cancel)
    assert job_fold.evolve(state, asked(), 2) is state
    both = folded(asked(), cancel)
    assert job_fold.evolve(both, cancel, 3) is both
    made = JobChanged(job_id=JOB, at=START, request_id="a", fire_at=LATER)
    assert job_fold.evolve(both, made, 3).cancel_requested


def test_a_request_counts_once() -> None:
    """Repeated it changes nothing, before and after its decision; of very many that wait the last are passed over."""
    waiting = folded(asked())
    assert job_fold.evolve(waiting, asked(), 2) is waiting
    made, _ = decided(waiting)
    assert job_fold.evolve(made, asked(), 3) is made
    many = folded(*[asked(str(number)) for number in range(CHANGES_MAX)])
    assert job_fold.evolve(many, asked("more"), 99) is many


def test_the_last_answers_are_kept() -> None:
    """By them the writers of changes see what became of theirs."""
    state = folded()
    for number in range(ANSWERS_KEPT + 1):
        state, _ = decided(job_fold.evolve(state, asked(str(number), number), 2))
    assert state.more is not None
    assert state.more.changed_ids == tuple(str(number) for number in range(1, ANSWERS_KEPT + 1))
    other = JobChanged(job_id=JOB, at=START, request_id="x", fire_at=LATER)
    assert job_fold.evolve(state, other, 9) is state
    wrong = job_fold.evolve(state, asked("y", 3), 9)
    assert job_fold.evolve(wrong, other, 10) is wrong


def test_what_a_policy_has_survives_a_due_after_a_change() -> None:
    """Only the changes that waited go."""
    state = folded(asked(expires_at=LATER + 1))
    made, _ = decided(state)
    again = job_fold.evolve(made, asked("b", 1), 3)
    due = job_fold.evolve(again, events.due(JOB, LATER), 4)
    assert due.more == msgspec.structs.replace(made.more or JobMore(), changes=())
