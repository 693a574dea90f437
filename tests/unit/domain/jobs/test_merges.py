"""Requests to merge: what they make of a job that waits, alone, together, and beside everything else that may happen to it."""

from __future__ import annotations

from typing import Any

import pytest

from libs.domain import job as job_fold
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.merges import IDS_KEPT, later
from libs.domain.jobs.optional_state import JobMore
from libs.events import (
    AttemptDue,
    Event,
    JobCancelled,
    JobCancelRequested,
    JobChanged,
    JobChangeRequested,
    JobFinished,
    JobMerged,
    JobMergeRequested,
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
SPEC = Spec(url="https://example.com/new", timeout_ms=5_000, webhook_url="https://example.com/hook")


def extend(name: str = "a", fire_at: int = LATER) -> JobMergeRequested:
    return JobMergeRequested(job_id=JOB, at=START, request_id=name, how="extend", fire_at=fire_at)


def replace(name: str = "b", fire_at: int = LATER, **fields: Any) -> JobMergeRequested:
    return JobMergeRequested(
        job_id=JOB,
        at=START,
        request_id=name,
        how="replace",
        fire_at=fire_at,
        **({"spec": SPEC, "new_spec_id": SPEC_ID} | fields),
    )


def folded(*steps: Event, **fields: Any) -> JobState:
    state = job_fold.create(events.asked(JOB, START, max_retries=1, waiting_key="k", **fields), 0)
    for position, event in enumerate(steps, 1):
        state = job_fold.evolve(state, event, position)
    return state


def decided(state: JobState, position: int = 20) -> tuple[JobState, Event]:
    """Take the decision that is owed at once, and fold it."""
    assert job_fold.owed_at(state, 0) == 0
    decision = job_fold.decide(state, START, 0.5, 30.0)
    return job_fold.evolve(state, decision, position), decision


def test_a_replaced_job_is_the_new_request() -> None:
    """Instant, spec and policy are those of the request, the key stays, and the due that follows carries them."""
    retry = RetryPolicy(max_retries=4)
    state, decision = decided(folded(replace(max_retries=4, retry=retry, expires_at=LATER + 1)))

    assert isinstance(decision, JobMerged)
    assert (state.fire_at, state.scheduled_at, state.max_retries) == (LATER, LATER, 4)
    assert (state.spec_id, state.timeout_ms, state.has_webhook) == (SPEC_ID, 5_000, True)
    assert (state.version, state.cancel_requested) == (1, False)
    assert state.more == JobMore(
        retry=retry, expires_at=LATER + 1, waiting_key="k", version=1, merge_ids=("b",), merged_to=1
    )
    due = job_fold.decide(state, LATER, 0.5, 30.0)
    assert isinstance(due, AttemptDue)
    assert (due.not_before, due.scheduled_at, due.spec_id, due.retry) == (LATER, LATER, SPEC_ID, retry)


def test_an_extended_job_moves_alone_and_only_to_a_later_instant() -> None:
    """What it calls and how often it is tried again stay."""
    state, _ = decided(folded(extend()))
    assert (state.fire_at, state.scheduled_at, state.spec_id, state.max_retries) == (LATER, LATER, JOB, 1)
    again, _ = decided(job_fold.evolve(state, extend("c", LATER - 1), 21))
    assert (again.fire_at, again.version) == (LATER, 2)


@pytest.mark.parametrize(
    ("fire_at", "asked_at", "expires_at", "then"),
    [
        (5, 9, None, 9),
        (9, 5, None, 9),
        (5, 9, 9, 8),  # no attempt starts at or after the expiry
        (5, 9, 6, 5),
        (5, 9, 10, 9),
    ],
)
def test_extending_stops_before_the_expiry(fire_at: int, asked_at: int, expires_at: int | None, then: int) -> None:
    """A job that is put off is not put off until it expires."""
    assert later(fire_at, asked_at, expires_at) == then


def test_those_that_wait_are_one() -> None:
    """The last to replace counts, with the latest instant that was asked for after it; one decision answers them all."""
    other = new_job_id(START, 0, bytes([2]) * 8)
    state, _ = decided(
        folded(
            replace("a", LATER + 9),
            replace("b", LATER, spec=Spec(url="https://example.com/last"), new_spec_id=other),
            extend("c", LATER + 5),
            extend("d", LATER + 4),
        )
    )

    assert (state.spec_id, state.fire_at, state.timeout_ms) == (other, LATER + 5, 30_000)
    assert state.more is not None
    assert (state.more.merged_to, state.more.merge, state.version) == (4, None, 1)
    assert job_fold.owed_at(state, 0) == LATER + 5


def test_a_decision_answers_all_that_stand_before_it() -> None:
    """Also one that came after the owner decided and before its record: no due can stand between them."""
    asked = folded(extend("a"))
    decision = job_fold.decide(asked, START, 0.5, 30.0)
    state = job_fold.evolve(job_fold.evolve(asked, extend("b", LATER + 7), 2), decision, 3)

    assert (state.fire_at, state.more and state.more.merged_to, state.cancel_requested) == (LATER + 7, 2, False)


def test_a_merge_that_a_due_overtook_is_none() -> None:
    """The job is called as it was, and its writer sees that its position was not reached."""
    state = folded(replace(), events.due(JOB, START))
    assert (state.status, state.fire_at, state.spec_id) == (JobStatus.RUNNING, START, JOB)
    assert state.more == JobMore(waiting_key="k", merge_ids=("b",))
    assert job_fold.owed_at(state, 0) is None
    assert job_fold.evolve(state, JobMerged(job_id=JOB, at=START), 9) is state
    assert job_fold.evolve(state, extend(), 9) is state


def test_a_cancel_and_a_stop_come_before_merges() -> None:
    """Whichever was asked for first: a cancelled job takes nothing in, so the request makes the next job."""
    cancel = JobCancelRequested(job_id=JOB, at=START)
    for steps in ((extend(), cancel), (extend(), JobStopRequested(job_id=JOB, at=START)), (cancel, extend())):
        state, decision = decided(folded(*steps))
        assert isinstance(decision, JobCancelled)
        assert (state.status, state.more and state.more.merged_to) == (JobStatus.CANCELLED, -1)
        assert state.more is not None
        assert state.more.merge is None
    expired = folded(extend(), events.ended(JOB, START, 0, status="failed", ended_by="expired"))
    assert (expired.status, expired.more and expired.more.merged_to) == (JobStatus.FAILED, -1)


def test_a_change_is_decided_before_a_merge() -> None:
    """Both were asked for at the same time: both are made, and the merge, which describes the whole job, stands."""
    change = JobChangeRequested(job_id=JOB, at=START, request_id="p", version=0, fire_at=LATER + 50)
    state, first = decided(folded(replace(), change))
    assert isinstance(first, JobChanged)
    assert (state.fire_at, state.cancel_requested) == (LATER + 50, True)
    state, second = decided(state)
    assert isinstance(second, JobMerged)
    assert (state.fire_at, state.version, state.cancel_requested) == (LATER, 2, False)


def test_a_request_counts_once() -> None:
    """Repeated it changes nothing, before and after its decision, as long as it is among the last."""
    waiting = folded(replace())
    assert job_fold.evolve(waiting, replace(), 2) is waiting
    made, _ = decided(waiting)
    assert job_fold.evolve(made, replace(), 30) is made
    many = folded(*[extend(str(number)) for number in range(IDS_KEPT + 3)])
    assert many.more is not None
    assert many.more.merge_ids == tuple(str(number) for number in range(3, IDS_KEPT + 3))
    plain = job_fold.create(events.asked(JOB, START), 0)
    assert job_fold.evolve(plain, JobMerged(job_id=JOB, at=START), 1) is plain


def test_a_key_lives_as_long_as_its_job() -> None:
    """It is shown after the end, too."""
    ended = folded(
        events.due(JOB, START),
        events.finished(JOB, START),
        JobFinished(job_id=JOB, account="acme", at=START, status="completed", attempt=1),
    )
    assert ended.more == JobMore(waiting_key="k")
