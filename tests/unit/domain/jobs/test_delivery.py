"""Deliveries: a webhook that is repeated if it fails, as a fold of its tries."""

from __future__ import annotations

from typing import Any

import pytest

from libs.domain.jobs.delivery import KIND, MAX_OFFSETS, DeliveryState, DeliveryStatus, create, evolve, hold
from libs.events import Unreadable, WebhookAttempted, WebhookRedeliverRequested
from libs.events.ids import delivery_id, new_job_id
from libs.events.retry_policy import RetryPolicy

AT = 1_800_000_000_000
JOB = new_job_id(AT, 0, bytes(8))
DELIVERY = delivery_id(JOB)
POLICY = RetryPolicy(max_retries=2, backoff="fixed", delay_ms=10_000, jitter="none", max_elapsed_ms=60_000)


def tried(attempt: int, outcome: str, at: int = AT, **more: Any) -> WebhookAttempted:
    """Return the fact that a try ended so; the first one names the policy."""
    first = {"retry": POLICY, "event": "job.failed", "spec_id": JOB} if attempt == 1 else {}
    fields: dict[str, Any] = {"attempt": attempt, "outcome": outcome, "at": at, "duration_ms": 3, **first, **more}
    return WebhookAttempted(delivery_id=DELIVERY, job_id=JOB, account="a", **fields)


def after(*events: WebhookAttempted | WebhookRedeliverRequested) -> DeliveryState:
    """Return the state after these; the first one makes it."""
    first, *others = events
    assert isinstance(first, WebhookAttempted)
    state = create(first, 0)
    assert state is not None
    for position, event in enumerate(others, 1):
        state = evolve(state, event, position)
    return state


def asked(request_id: str, at: int = AT + 90_000) -> WebhookRedeliverRequested:
    return WebhookRedeliverRequested(delivery_id=DELIVERY, at=at, request_id=request_id)


EXHAUSTED = (tried(1, "failure"), tried(2, "failure", AT + 10_000), tried(3, "failure", AT + 20_000))


def test_a_failure_is_tried_again_as_the_policy_says() -> None:
    """The next try is due a delay after the last one's end, until the retries are used up."""
    once, twice, all_ = (after(*EXHAUSTED[:count]) for count in (1, 2, 3))

    assert (once.status, once.next_at, once.is_pending) == (DeliveryStatus.PENDING, AT + 10_000, True)
    assert (twice.next_at, twice.charged) == (AT + 20_000, 2)
    assert (all_.status, all_.next_at, all_.is_pending, all_.attempt) == (DeliveryStatus.EXHAUSTED, None, False, 3)


def test_a_success_ends_it() -> None:
    """Nothing follows, whatever comes."""
    state = after(EXHAUSTED[0], tried(2, "success", AT + 10_000, status_code=204))

    assert (state.status, state.last_status_code, state.next_at) == (DeliveryStatus.DELIVERED, 204, None)
    assert evolve(state, tried(3, "failure"), 9) is state


def test_tries_that_are_free_use_up_no_retry() -> None:
    """A 429 that asks for a delay, and a snooze, are counted apart."""
    state = after(tried(1, "free", asked_ms=20_000), tried(2, "snoozed", AT + 20_000, asked_ms=15_000))

    assert (state.charged, state.free_count, state.snooze_count) == (0, 1, 1)
    assert state.next_at == AT + 35_000


def test_no_try_starts_after_the_time_that_is_allowed() -> None:
    """A delay that leads beyond `max_elapsed` ends it."""
    assert after(tried(1, "free", asked_ms=60_000)).next_at == AT + 60_000
    assert after(tried(1, "free", asked_ms=60_001)).status is DeliveryStatus.EXHAUSTED


def test_of_one_try_the_first_outcome_counts() -> None:
    """A fact may stand in the log twice; one of a later try alone makes nothing."""
    state = after(EXHAUSTED[0])

    assert evolve(state, tried(1, "success"), 1) is state
    assert evolve(state, tried(3, "success"), 1) is state
    assert create(tried(2, "success"), 0) is None
    assert KIND.create(asked("r"), 0, None) is None


def test_a_redelivery_is_one_try_more() -> None:
    """Its success delivers; its failure changes nothing; it is not repeated; one that is asked for twice is made once."""
    state = after(*EXHAUSTED, asked("r1"))

    assert (state.next_at, state.status) == (AT + 90_000, DeliveryStatus.EXHAUSTED)
    assert evolve(state, asked("r2"), 9) is state  # one is under way
    failed = evolve(state, tried(4, "failure", AT + 90_001), 9)
    assert (failed.status, failed.next_at, failed.attempt) == (DeliveryStatus.EXHAUSTED, None, 4)
    assert evolve(failed, asked("r1"), 10) is failed
    assert evolve(state, tried(4, "success", AT + 90_001), 9).status is DeliveryStatus.DELIVERED
    pending = after(EXHAUSTED[0])
    assert evolve(pending, asked("r1"), 1) is pending  # tries follow by themselves


def test_what_cannot_be_read_stops_it() -> None:
    """It is held once; the owner of the partition owes it nothing, ever."""
    state = after(EXHAUSTED[0])
    held = hold(state, Unreadable("webhook.attempted", DELIVERY, "broken"))

    assert held.held
    assert hold(held, Unreadable("webhook.attempted", DELIVERY, "broken")) is held
    assert KIND.owed_at(state, 75) is None
    with pytest.raises(ValueError, match="nothing is owed"):
        KIND.decide(state, AT, 0.0, 30.0, None)  # type: ignore[arg-type]


def test_the_positions_that_are_kept_are_bounded() -> None:
    """However often it is redelivered, its state does not grow."""
    state = after(*EXHAUSTED)
    for number in range(MAX_OFFSETS):
        state = evolve(state, asked(str(number)), 10 + number)
        state = evolve(state, tried(state.attempt + 1, "failure"), 10 + number)

    assert len(state.offsets) == MAX_OFFSETS
