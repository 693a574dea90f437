"""
Deliveries: which of them a list is asked for, and deliveries to JSON. Pure.

A delivery to a webhook endpoint is a job of the endpoint; one to a job's own `webhook_url` is a state of its own. The API shows
both as the same object.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec

from libs.domain.endpoints.delivery import EVENT_HEADER, NOT_SENT, SUBJECT_HEADER, DeliveryWord, status_of
from libs.domain.endpoints.webhook_event import EVENTS, TEST, of_end
from libs.domain.instants import rfc3339
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs import delivery
from libs.domain.jobs.delivery import DeliveryState, DeliveryStatus
from libs.domain.jobs.ends import end_of
from libs.events import Event, WebhookAttempted
from libs.events.ids import delivery_id, from_int, is_id
from libs.store.reads.told_deliveries import EndpointDelivery, Try, WebhookDelivery
from services.api.contract.api_error import bad
from services.api.contract.instants import LATEST, parse_instant, why_no_instant

STATUSES: Final[tuple[DeliveryWord, ...]] = get_args(DeliveryWord)
TOLD: Final = (*EVENTS, TEST)  # the events that a list may be asked for

# The words -> the statuses of the jobs that may stand for them.
_JOBS: Final[Mapping[DeliveryWord, tuple[JobStatus, ...]]] = {
    "pending": tuple(status for status in JobStatus if status < JobStatus.COMPLETED),
    "delivered": (JobStatus.COMPLETED, JobStatus.FAILED),
    "exhausted": (JobStatus.FAILED, JobStatus.CANCELLED),
    "dropped": (JobStatus.FAILED,),
}
_WORDS: Final[Mapping[DeliveryStatus, DeliveryWord]] = {
    DeliveryStatus.PENDING: "pending",
    DeliveryStatus.DELIVERED: "delivered",
    DeliveryStatus.EXHAUSTED: "exhausted",
}

Delivery = EndpointDelivery | WebhookDelivery


class Asked(NamedTuple):
    """
    Which deliveries a list is asked for; None: all.

    Args:
        since, until: ids: only deliveries with an id that is not below the one, and below the other.
    """

    endpoint_id: str | None = None
    job_id: str | None = None
    event: str | None = None
    status: DeliveryWord | None = None
    since: str | None = None
    until: str | None = None

    @property
    def jobs(self) -> tuple[JobStatus, ...]:
        """The statuses of the jobs that may be asked for."""
        return tuple(JobStatus) if self.status is None else _JOBS[self.status]

    @property
    def states(self) -> tuple[DeliveryStatus, ...]:
        """The statuses of the deliveries of webhooks that are asked for."""
        if self.endpoint_id is not None:
            return ()
        return tuple(status for status, word in _WORDS.items() if self.status in (None, word))

    @property
    def is_looked_up(self) -> bool:
        """Whether the tables find exactly what is asked for."""
        return self.event is None and self.status in (None, "pending")

    def takes(self, found: Delivery) -> bool:
        """Whether *found* is asked for."""
        word, event = (
            (_word(found), _event(found))
            if isinstance(found, EndpointDelivery)
            else (_WORDS[found.delivery.status], found.delivery.event)
        )
        return self.status in (None, word) and self.event in (None, event)


def asked(parameters: Mapping[str, str]) -> Asked:
    """
    Return what the query parameters of a list ask for.

    Raises:
        ApiError: 400 `invalid_status` or `invalid_parameter`.
    """
    status = parameters.get("status")
    if status is not None and status not in STATUSES:
        raise bad("invalid_status", f"status must be one of {', '.join(STATUSES)}")
    event = parameters.get("event")
    if event is not None and event not in TOLD:
        raise bad("invalid_parameter", f"event must be one of {', '.join(TOLD)}")
    return Asked(
        endpoint_id=_id(parameters, "endpoint", "whe"),
        job_id=_id(parameters, "job", "job"),
        event=event,
        status=next((word for word in STATUSES if word == status), None),
        since=_bound(parameters, "since"),
        until=_bound(parameters, "until"),
    )


def id_of(found: Delivery) -> str:
    """Return the id of a delivery."""
    return delivery_id(found.first.job_id) if isinstance(found, EndpointDelivery) else found.delivery.delivery_id


def is_pending(found: Delivery) -> bool:
    """Whether tries follow by themselves."""
    return _word(found) == "pending" if isinstance(found, EndpointDelivery) else found.delivery.next_at is not None


def shown(found: Delivery) -> dict[str, Any]:
    """Return the delivery object of the API."""
    return _of_endpoint(found) if isinstance(found, EndpointDelivery) else _of_webhook(found.delivery, found.url)


def tries_of_endpoint(tries: Sequence[Try]) -> list[dict[str, Any]]:
    """Return the attempt objects of a delivery to an endpoint; the fields of an outcome that is not known yet are null."""
    return [
        {
            "is_redelivery": each.is_again,
            "status": None if (ok := each.execution.ok) is None else "success" if ok else "failed",
            "status_code": each.execution.status_code,
            "error": None if ok else each.execution.error,
            "duration_ms": each.execution.duration_ms,
            "executed_at": rfc3339(each.execution.executed_at),
        }
        for each in tries
        if each.execution.error != NOT_SENT
    ]


def tries_of_webhook(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return the attempt objects of a delivery to a job's `webhook_url` from its records, oldest first."""
    state: DeliveryState | None = None
    attempts = []
    for event in events:
        if isinstance(event, WebhookAttempted):
            attempts.append(
                {
                    "is_redelivery": state is not None and not state.is_pending,
                    "status": "success" if event.outcome == "success" else "failed",
                    "status_code": event.status_code,
                    "error": event.error,
                    "duration_ms": event.duration_ms,
                    "executed_at": rfc3339(event.at - event.duration_ms),
                }
            )
        if state is not None:
            state = delivery.evolve(state, event, 0)
        elif isinstance(event, WebhookAttempted):
            state = delivery.create(event, 0)
    return attempts


def body_of_webhook(job: JobState) -> str:
    """Return what the `webhook_url` of *job*, which is at its end, is sent."""
    return msgspec.json.encode(of_end(end_of(job), schedule_id=None, host=None).data).decode()


def _of_endpoint(found: EndpointDelivery) -> dict[str, Any]:
    first, word = found.first, _word(found)
    is_dropped = word == "dropped"
    return {
        "id": delivery_id(first.job_id),
        "endpoint_id": first.account,
        "event": _event(found),
        "job_id": (found.spec.headers or {}).get(SUBJECT_HEADER),
        "url": found.spec.url,
        "status": word,
        "attempt_count": (first.attempt - (first.last_error == NOT_SENT)) + found.again_count,
        "last_status_code": first.last_status_code,
        "last_error": NOT_SENT if is_dropped else first.last_error,
        "created_at": rfc3339(first.created_at),
        "next_attempt_at": rfc3339(first.fire_at) if first.is_waiting and not first.held else None,
        "ended_at": None if first.completed_at is None else rfc3339(first.completed_at),
    }


def _of_webhook(state: DeliveryState, url: str | None) -> dict[str, Any]:
    return {
        "id": state.delivery_id,
        "endpoint_id": None,
        "event": state.event,
        "job_id": state.job_id,
        "url": url,
        "status": _WORDS[state.status],
        "attempt_count": state.attempt,
        "last_status_code": state.last_status_code,
        "last_error": state.last_error,
        "created_at": rfc3339(state.created_at),
        "next_attempt_at": None if state.next_at is None or state.held else rfc3339(state.next_at),
        "ended_at": None if state.is_pending else rfc3339(state.last_at),
    }


def _word(found: EndpointDelivery) -> DeliveryWord:
    return status_of(found.first, is_delivered_again=found.is_delivered_again)


def _event(found: EndpointDelivery) -> str | None:
    return (found.spec.headers or {}).get(EVENT_HEADER)


def _id(parameters: Mapping[str, str], name: str, kind: Literal["whe", "job"]) -> str | None:
    text = parameters.get(name)
    if text is not None and not is_id(text, kind):
        raise bad("invalid_parameter", f"{name} must be an id of this kind: {kind}_…")
    return text


def _bound(parameters: Mapping[str, str], name: str) -> str | None:
    text = parameters.get(name)
    if text is None:
        return None
    at = parse_instant(text)
    if at is None or not 0 <= at <= LATEST:
        raise bad("invalid_parameter", f"{name} {why_no_instant(text)}")
    return from_int("whd", at << 80)
