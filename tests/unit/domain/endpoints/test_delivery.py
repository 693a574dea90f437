"""The job that tells an endpoint of an event."""

from __future__ import annotations

import msgspec

from libs.domain.endpoints.delivery import (
    EVENT_HEADER,
    NOT_SENT,
    RETRY,
    SUBJECT_HEADER,
    delivery_job,
    is_exhausted,
    status_of,
)
from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig
from libs.domain.endpoints.fan_out import Told
from libs.domain.endpoints.webhook_event import TEST, WebhookEvent, of_disabling, of_end, of_test
from libs.domain.job import JobStatus, create, evolve
from libs.domain.jobs.decisions import decide
from libs.domain.responses.captured import Captured
from libs.events import JobFinished, JobScheduled
from libs.events.ids import delivery_id, new_endpoint_id, partition_of, redelivery_account
from libs.events.retry_policy import RetryPolicy
from tests.unit.domain.endpoints.test_webhook_events import AT, JOB, URL, ended, tried

ENDPOINT_ID = new_endpoint_id(AT, 3, "acme", b"1234")


def delivery(event: WebhookEvent, name: str, endpoint_id: str = ENDPOINT_ID, **config: object) -> JobScheduled:
    """Return the job that tells an endpoint of *event*."""
    asked = EndpointConfig(**({"url": URL, "events": ("*",)} | config))  # type: ignore[arg-type]
    endpoint = Endpoint(endpoint_id=endpoint_id, account="acme", config=asked, version=1, created_at=0, changed_at=0)
    return delivery_job(Told(event, endpoint, name), 3)


def test_a_delivery_is_the_same_however_often_it_is_made() -> None:
    """The id follows from the event and the endpoint; the job belongs to the endpoint and is due at the event."""
    event = of_end(ended("failed"), schedule_id=None, host=None)
    made = delivery(event, "job.failed", headers={"X-Mine": "1", "CONTENT-TYPE": "text/plain"}, format="cloudevents")

    assert made == delivery(event, "job.failed", headers={"X-Mine": "1"}, format="cloudevents")
    assert (made.account, made.at, made.fire_at, partition_of(made.job_id)) == (ENDPOINT_ID, AT, AT, 3)
    assert made.spec.headers == {
        "X-Mine": "1",
        "Content-Type": "application/cloudevents+json",
        EVENT_HEADER: "job.failed",
        SUBJECT_HEADER: JOB,
    }
    assert f'"id":"{delivery_id(made.job_id)}"' in (made.spec.body or "")
    assert (made.spec.url, made.spec.method, made.spec.timeout_ms) == (URL, "POST", 10_000)


def test_each_event_and_endpoint_has_a_delivery_of_its_own() -> None:
    """An attempt, the end of its job, a test and a disabled endpoint, told to two endpoints, are eight jobs."""
    events = [
        (tried(ok=False), "attempt.failed"),
        (of_end(ended("failed"), schedule_id=None, host=None), "job.failed"),
        (of_test(ENDPOINT_ID, AT), TEST),
        (of_disabling(ENDPOINT_ID, URL, "gone", AT), "endpoint.disabled"),
    ]
    other = new_endpoint_id(AT, 3, "acme", b"4321")
    ids = {delivery(event, name, each).job_id for event, name in events for each in (ENDPOINT_ID, other)}

    assert len(ids) == 8
    assert JOB not in ids


def test_what_a_disabled_endpoint_is_not_told_expires_at_once() -> None:
    """So it is kept, and never sent; the id is that which it would have had."""
    event = of_end(ended("failed"), schedule_id=None, host=None)
    made = delivery(event, "job.failed")
    config = EndpointConfig(url=URL, events=("*",))
    disabled = Endpoint(
        endpoint_id=ENDPOINT_ID,
        account="acme",
        config=config,
        version=2,
        created_at=0,
        changed_at=0,
        disabled_reason="requested",
    )
    kept = delivery_job(Told(event, disabled, "job.failed"), 3)

    assert (made.expires_at, made.idempotency_key) == (None, JOB)
    assert kept == msgspec.structs.replace(made, expires_at=AT)
    ended_job = evolve(create(kept, 0), decide(create(kept, 0), AT, 0.5, 30.0), 1)
    assert (ended_job.status, ended_job.attempt) == (JobStatus.FAILED, 0)
    assert status_of(ended_job, is_delivered_again=False) == "dropped"


def test_how_a_delivery_stands() -> None:
    """It follows from the job that makes it, and from redeliveries."""
    first = create(delivery(of_test(ENDPOINT_ID, AT), TEST), 0)
    for status, error, again, word in (
        (JobStatus.SCHEDULED, None, False, "pending"),
        (JobStatus.RETRYING, "HTTP 500", False, "pending"),
        (JobStatus.COMPLETED, None, False, "delivered"),
        (JobStatus.FAILED, "HTTP 500", False, "exhausted"),
        (JobStatus.FAILED, "HTTP 500", True, "delivered"),
        (JobStatus.FAILED, NOT_SENT, False, "dropped"),
        (JobStatus.FAILED, NOT_SENT, True, "delivered"),
    ):
        job = msgspec.structs.replace(first, status=status, attempt=1, last_error=error)
        assert status_of(job, is_delivered_again=again) == word


def test_a_delivery_is_repeated_as_its_endpoint_asks() -> None:
    """For a little more than a day if it asks for nothing."""
    event = of_test(ENDPOINT_ID, AT)
    mine = RetryPolicy(max_retries=2)

    assert (delivery(event, TEST).retry, delivery(event, TEST).max_retries) == (RETRY, 7)
    assert (delivery(event, TEST, retry=mine).retry, delivery(event, TEST, retry=mine).max_retries) == (mine, 2)


def test_a_delivery_is_exhausted_when_its_last_try_failed() -> None:
    """Not when it succeeded, was never sent, or was a redelivery; and the end of an account's own job is no delivery's."""
    end = ended("failed")
    assert isinstance(end, JobFinished)
    failed = msgspec.structs.replace(end, account=ENDPOINT_ID)

    assert is_exhausted(failed)
    assert not is_exhausted(end)
    assert not is_exhausted(msgspec.structs.replace(failed, status="completed"))
    assert not is_exhausted(msgspec.structs.replace(failed, attempt=0))
    assert not is_exhausted(msgspec.structs.replace(failed, last_error=NOT_SENT))
    assert not is_exhausted(msgspec.structs.replace(failed, account=redelivery_account(ENDPOINT_ID)))


def test_an_endpoint_that_asks_is_shown_the_answer() -> None:
    """As the API shows it, with what is about a job; null if nothing was kept; what is about no job has no such field."""
    kept = Captured(headers={"server": "x"}, length=3, sha256="ab", head="no!")
    end = of_end(ended("failed"), schedule_id=None, host=None, response=kept)
    attempt = msgspec.structs.replace(tried(ok=False), response=kept)

    def told(event: WebhookEvent, **config: object) -> object:
        body = msgspec.json.decode(delivery(event, event.names[0], **config).spec.body or "")  # type: ignore[arg-type]
        return body["data"].get("response", "no such field")

    for event in (end, attempt):
        assert told(event, include_response=True) == {
            "status_code": event.status_code,
            "headers": {"server": "x"},
            "length": 3,
            "sha256": "ab",
            "head": "no!",
            "tail": None,
            "truncated": False,
            "redacted": 0,
        }
        assert told(event) == "no such field"
    assert told(msgspec.structs.replace(end, response=None), include_response=True) is None
    assert told(of_test(ENDPOINT_ID, AT), include_response=True) == "no such field"


def test_what_was_sent_before_may_hold_answers() -> None:
    """An endpoint that included responses once counts as one that sends them, also when it does not any more."""
    off = EndpointConfig(url=URL, events=("job.failed",))
    before = msgspec.structs.replace(off, included_response=True)
    now = msgspec.structs.replace(off, include_response=True)
    assert [each.may_send_responses for each in (off, before, now)] == [False, True, True]
