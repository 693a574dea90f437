"""
Delivery: telling an endpoint of an event is a job of its own, whose account is the endpoint.

So a delivery is durable, repeated, recorded and shared out like every other call, and no list of the account shows it. Its id
follows from the event and the endpoint: if the fact is written twice, the first one counts.

    dropped      what a disabled endpoint would have been told is a job that expired when it was made: it is kept and never sent
    redelivery   telling an endpoint once more is another job, of an account of its own (`redelivery_account`), that names the
                 first one (`replay_of`) and carries the id of its delivery

What is found by them: `idempotency_key` of a delivery is the job that its event is about.
"""

from typing import Any, Final, Literal

import msgspec

from libs.domain.endpoints.body import CONTENT_TYPES, body
from libs.domain.endpoints.endpoint import Endpoint
from libs.domain.endpoints.fan_out import Told
from libs.domain.endpoints.webhook_event import WebhookEvent
from libs.domain.job import JobState, JobStatus
from libs.events import JobFinished, JobScheduled, Spec
from libs.events.ids import (
    delivery_id,
    delivery_job_id,
    is_redelivery,
    partition_of,
    redelivery_account,
    told_endpoint,
)
from libs.events.retry_policy import RetryPolicy

TIMEOUT_MS: Final = 10_000  # as of a job's webhook
_DELAYS_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
# Of an endpoint that asks for nothing else: for a little more than a day.
RETRY: Final = RetryPolicy(
    max_retries=len(_DELAYS_S),
    backoff="list",
    delays_ms=tuple(delay_s * 1000 for delay_s in _DELAYS_S),
    max_delay_ms=max(_DELAYS_S) * 1000,
)
EVENT_HEADER: Final = "X-Fliq-Event"
SUBJECT_HEADER: Final = "X-Fliq-Subject"  # the job that the event is about: kept for the account, and not sent
ORDER_HEADER: Final = "X-Fliq-Order"  # of a delivery that waits for earlier ones of its job: `job`; not sent
DELIVERY_HEADER: Final = "X-Fliq-Delivery"  # of a redelivery: the id of the delivery that it repeats; not sent
NOT_SENT: Final = (
    "endpoint_disabled"  # the error of a try that was not made, because the endpoint is disabled or deleted
)

DeliveryWord = Literal["pending", "delivered", "exhausted", "dropped"]


def delivery_job(told: Told, partition: int) -> JobScheduled:
    """Return the job that tells an endpoint of an event, in *partition*: the same one however often it is made."""
    event, endpoint = told.event, told.endpoint
    config = endpoint.config
    about = f"{event.job_id or event.key}#{event.attempt}#{endpoint.endpoint_id}"
    job_id = delivery_job_id(event.at, partition, about)
    headers = {name: value for name, value in (config.headers or {}).items() if name.lower() != "content-type"}
    about_job = {} if event.job_id is None else {SUBJECT_HEADER: event.job_id}
    if about_job and config.ordering == "job":
        about_job[ORDER_HEADER] = config.ordering
    retry = config.retry or RETRY
    with_response = config.include_response and event.job_id is not None
    content = body(
        config.format,
        delivery_id=delivery_id(job_id),
        account=endpoint.account,
        name=told.name,
        at=event.at,
        subject=event.job_id or event.schedule_id,
        data={**event.data, "response": _shown(event)} if with_response else event.data,
    )
    return JobScheduled(
        job_id=job_id,
        account=endpoint.endpoint_id,
        at=event.at,
        spec=Spec(
            url=config.url,
            headers={**headers, "Content-Type": CONTENT_TYPES[config.format], EVENT_HEADER: told.name, **about_job},
            body=content.decode(),
            timeout_ms=TIMEOUT_MS,
        ),
        fire_at=event.at,
        max_retries=retry.max_retries,
        retry=retry,
        idempotency_key=event.job_id,
        expires_at=None if endpoint.disabled_reason is None else event.at,
    )


def _shown(event: WebhookEvent) -> dict[str, Any] | None:
    """Return what was kept of the answer, as the API shows it."""
    kept = event.response
    return None if kept is None else {"status_code": event.status_code, **msgspec.structs.asdict(kept)}


def redelivery_job(
    first: JobState, spec: Spec, endpoint: Endpoint, *, at: int, request_id: str, retry: RetryPolicy | None = None
) -> JobScheduled:
    """
    Return the job that tells *endpoint* once more: what *first* told it, to the URL and with the headers that it has now.

    Args:
        first: the job that told it; *spec* is its spec.
        at: when it was asked for, ms since 1970.
        request_id: the same for each repeat of one request, which makes the same job.
        retry: when it is tried again if it fails; None: not at all.
    """
    asked_id = delivery_id(first.job_id)
    own = {name: value for name, value in (endpoint.config.headers or {}).items() if name.lower() != "content-type"}
    kept = {
        name: value
        for name, value in (spec.headers or {}).items()
        if name in ("Content-Type", EVENT_HEADER, SUBJECT_HEADER)
    }
    return JobScheduled(
        job_id=delivery_job_id(at, partition_of(first.job_id), f"{asked_id}#{request_id}"),
        account=redelivery_account(endpoint.endpoint_id),
        at=at,
        spec=Spec(
            url=endpoint.config.url,
            headers={**own, **kept, DELIVERY_HEADER: asked_id},
            body=spec.body,
            timeout_ms=TIMEOUT_MS,
        ),
        fire_at=at,
        max_retries=0 if retry is None else retry.max_retries,
        retry=retry,
        replay_of=first.job_id,
    )


def is_exhausted(event: JobFinished) -> bool:
    """Whether *event* ends a delivery to an endpoint because its last try failed; a redelivery never does."""
    if told_endpoint(event.account) is None or is_redelivery(event.account):
        return False
    return event.status == "failed" and event.attempt > 0 and event.last_error != NOT_SENT


def status_of(first: JobState, *, is_delivered_again: bool) -> DeliveryWord:
    """
    Return how a delivery stands.

    Args:
        first: the job that makes it.
        is_delivered_again: a redelivery was taken.
    """
    if first.status is JobStatus.COMPLETED or is_delivered_again:
        return "delivered"
    if not first.is_terminal:
        return "pending"
    return "dropped" if first.attempt == 0 or first.last_error == NOT_SENT else "exhausted"
