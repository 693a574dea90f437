"""
Delivery: telling an endpoint of an event is a job of its own, whose account is the endpoint.

So a delivery is durable, repeated, recorded and shared out like every other call, and no list of the account shows it. Its id
follows from the event and the endpoint: if the fact is written twice, the first one counts.
"""

from typing import Final

from libs.domain.endpoints.body import CONTENT_TYPES, body
from libs.domain.endpoints.fan_out import Told
from libs.events import JobScheduled, Spec
from libs.events.ids import delivery_id, delivery_job_id
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


def delivery_job(told: Told, partition: int) -> JobScheduled:
    """Return the job that tells an endpoint of an event, in *partition*: the same one however often it is made."""
    event, endpoint = told.event, told.endpoint
    config = endpoint.config
    about = event.job_id or f"{told.name} {event.data['endpoint_id']}"
    job_id = delivery_job_id(event.at, partition, f"{about}#{event.attempt}#{endpoint.endpoint_id}")
    headers = {name: value for name, value in (config.headers or {}).items() if name.lower() != "content-type"}
    about_job = {} if event.job_id is None else {SUBJECT_HEADER: event.job_id}
    retry = config.retry or RETRY
    content = body(
        config.format,
        delivery_id=delivery_id(job_id),
        account=endpoint.account,
        name=told.name,
        at=event.at,
        subject=event.job_id,
        data=event.data,
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
    )
