"""
Delivery: one webhook that is repeated if it fails, as a fold of its tries.

    (nothing) --first try--> pending --success--> delivered
                                |----last try---> exhausted
    delivered | exhausted --redelivery asked for--> one try more; a success makes it delivered, a failure changes nothing

The first try of a job's webhook is made because the job is at its end and has a webhook without an outcome; its outcome makes the
delivery. What happens next follows from the facts alone: the fold computes when the next try is due (`next_at`), with a jitter that
depends on the delivery and the try, so that every reader computes the same instant. The owner of the partition decides nothing. The
webhooks service finds what is due in the table, as it finds the webhooks that are pending.

Source: ARCHITECTURE.md, "A job's life"; docs/adr/0027; docs/job-lifecycle.md is drawn from the table below.
"""

from collections.abc import Mapping
from enum import IntEnum
from hashlib import blake2b
from typing import Final

import msgspec

from libs.domain.retry_policy import counted, delay_ms, ended_by, too_late_at
from libs.domain.state_kind import StateKind
from libs.events import Event, Unreadable, WebhookAttempted, WebhookRedeliverRequested
from libs.events.codec import kind_of
from libs.events.retry_policy import RetryPolicy

MAX_OFFSETS: Final = 72  # positions kept: of 21 tries, of redeliveries
BASE_S: Final = 30.0  # the delay of a policy that names none; a first try fills it in, so this is never used
NO_RETRY: Final = RetryPolicy()


class DeliveryStatus(IntEnum):
    """The numbers are stored in the tables and never change."""

    PENDING = 0
    DELIVERED = 1
    EXHAUSTED = 2


MEANINGS: Final[Mapping[DeliveryStatus, str]] = {
    DeliveryStatus.PENDING: "the last try failed, and another one follows",
    DeliveryStatus.DELIVERED: "a try was answered with 200-299",
    DeliveryStatus.EXHAUSTED: "the last try failed, and none follows",
}

# (status, stored name of the event) -> statuses it may lead to. What is not here does not apply.
TRANSITIONS: Final[Mapping[tuple[DeliveryStatus, str], tuple[DeliveryStatus, ...]]] = {
    (DeliveryStatus.PENDING, "webhook.attempted"): tuple(DeliveryStatus),
    (DeliveryStatus.DELIVERED, "webhook.attempted"): (DeliveryStatus.DELIVERED,),
    (DeliveryStatus.EXHAUSTED, "webhook.attempted"): (DeliveryStatus.EXHAUSTED, DeliveryStatus.DELIVERED),
    (DeliveryStatus.DELIVERED, "webhook.redeliver_requested"): (DeliveryStatus.DELIVERED,),
    (DeliveryStatus.EXHAUSTED, "webhook.redeliver_requested"): (DeliveryStatus.EXHAUSTED,),
}


class DeliveryState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What is known of a delivery.

    Args:
        job_id: the job that it is about.
        event: what the receiver is told of.
        held: a record of this delivery could not be read; it is not tried again until it can.
        attempt: tries made so far.
        charged, free_count, snooze_count: tries that used up a retry, and those that did not.
        created_at: the instant of the first try.
        next_at: when the next try is due; None if none follows.
        last_at, last_status_code, last_error: how the last try ended.
        policy: when it is tried again.
        spec_id: the id under which the URL is kept.
        last_request_id: the last redelivery that was asked for.
        offsets: positions of its events, oldest first, at most `MAX_OFFSETS`.
    """

    delivery_id: str
    account: str
    job_id: str
    event: str
    status: DeliveryStatus = DeliveryStatus.PENDING
    held: bool = False
    attempt: int = 0
    charged: int = 0
    free_count: int = 0
    snooze_count: int = 0
    created_at: int
    next_at: int | None = None
    last_at: int
    last_status_code: int | None = None
    last_error: str | None = None
    policy: RetryPolicy = NO_RETRY
    spec_id: str | None = None
    last_request_id: str | None = None
    offsets: tuple[int, ...] = ()

    @property
    def is_pending(self) -> bool:
        """Whether tries follow by themselves."""
        return self.status is DeliveryStatus.PENDING


def jitter_of(any_delivery_id: str, attempt: int) -> float:
    """Return the fraction in [0, 1) by which the delay after try *attempt* is drawn: the same however often it is computed."""
    digest = blake2b(f"{any_delivery_id}#{attempt}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def create(event: WebhookAttempted, position: int) -> DeliveryState | None:
    """Return the first state of a delivery: after its first try; None if *event* is of a later one."""
    if event.attempt != 1:
        return None
    first = DeliveryState(
        delivery_id=event.delivery_id,
        account=event.account,
        job_id=event.job_id,
        event=event.event or "",
        created_at=event.at,
        last_at=event.at,
        policy=event.retry or NO_RETRY,
        spec_id=event.spec_id,
    )
    return _tried(first, event, position)


def evolve(state: DeliveryState, event: Event, position: int) -> DeliveryState:
    """Return the state after *event*, which stands at *position*; the same object when it does not apply."""
    if (state.status, kind_of(event).name) not in TRANSITIONS:
        return state
    match event:
        case WebhookAttempted():
            if event.attempt != state.attempt + 1 or state.next_at is None:
                return state
            return _tried(state, event, position)
        case WebhookRedeliverRequested():
            if state.next_at is not None or event.request_id == state.last_request_id:
                return state
            return _with(state, position, next_at=event.at, last_request_id=event.request_id)
        case _:  # pragma: no cover - TRANSITIONS names no other event
            return state


def hold(state: DeliveryState, _: Unreadable) -> DeliveryState:
    """Return the state after a record of this delivery that could not be read: it is not tried again."""
    return state if state.held else msgspec.structs.replace(state, held=True)


def _tried(state: DeliveryState, event: WebhookAttempted, position: int) -> DeliveryState:
    last = {
        "attempt": event.attempt,
        "last_at": event.at,
        "last_status_code": event.status_code,
        "last_error": event.error,
    }
    if state.status is not DeliveryStatus.PENDING:  # a redelivery: one try, which is not repeated
        status = DeliveryStatus.DELIVERED if event.outcome == "success" else state.status
        return _with(state, position, status=status, next_at=None, **last)
    outcome = counted(event.outcome, free_count=state.free_count, snooze_count=state.snooze_count)
    charged = state.charged + (outcome == "failure")
    next_at = None
    end = ended_by(outcome, charged=charged, max_retries=state.policy.max_retries)
    if end is None:
        next_at = event.at + delay_ms(
            state.policy,
            charged=charged,
            base_s=BASE_S,
            jitter=jitter_of(state.delivery_id, event.attempt),
            asked_ms=event.asked_ms,
            snoozed=outcome == "snoozed",
        )
        bound = too_late_at(state.policy, first_at=state.created_at, expires_at=None)
        if bound is not None and next_at >= bound:
            next_at = None
    ended_as = DeliveryStatus.DELIVERED if end == "success" else DeliveryStatus.EXHAUSTED
    return _with(
        state,
        position,
        status=DeliveryStatus.PENDING if next_at is not None else ended_as,
        charged=charged,
        free_count=state.free_count + (outcome == "free"),
        snooze_count=state.snooze_count + (outcome == "snoozed"),
        next_at=next_at,
        **last,
    )


def _nothing_is_owed(_state: DeliveryState, _lead_ms: int) -> None:
    return None


def _decide(state: DeliveryState, _now: int, _jitter: float, _retry_base_s: float, _zone_of: object) -> Event:
    raise ValueError(f"nothing is owed for {state.delivery_id}")


def _first_state(event: Event, position: int, _: object) -> DeliveryState | None:
    return create(event, position) if isinstance(event, WebhookAttempted) else None


def _with(state: DeliveryState, position: int, **changes: object) -> DeliveryState:
    offsets = state.offsets
    if len(offsets) < MAX_OFFSETS:
        offsets = (*offsets, position)
    return msgspec.structs.replace(state, offsets=offsets, **changes)


KIND: Final = StateKind(
    name="delivery",
    state=DeliveryState,
    statuses=MEANINGS,
    transitions=TRANSITIONS,
    key="delivery_id",
    id_kind="whd",
    events=(WebhookAttempted, WebhookRedeliverRequested),
    create=_first_state,
    evolve=evolve,
    hold=hold,
    owed_at=_nothing_is_owed,
    decide=_decide,
    timer="next_at",
    is_owed=False,
    notes=(
        "A webhook without `webhook_retry` has one try and is no delivery: its outcome is `webhook.finished`, of its job.",
        "The owner decides nothing of a delivery: the webhooks service makes the tries that are due.",
    ),
)
