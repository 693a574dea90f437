"""Telling an endpoint once more: of one event, or of all that it was told in vain."""

from __future__ import annotations

from typing import Any

import msgspec

from libs.domain.endpoints.delivery import DELIVERY_HEADER, EVENT_HEADER, RETRY, SUBJECT_HEADER, redelivery_job
from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig
from libs.domain.endpoints.recovery import begun, first_id, recovery_jobs
from libs.domain.endpoints.webhook_event import of_end
from libs.domain.job import create
from libs.events import JobScheduled
from libs.events.ids import delivery_id, partition_of, redelivery_account
from libs.events.retry_policy import RetryPolicy
from tests.unit.domain.endpoints.test_delivery import ENDPOINT_ID, delivery
from tests.unit.domain.endpoints.test_webhook_events import AT, JOB, ended

LATER = AT + 60_000
FIRST = delivery(
    of_end(ended("failed"), schedule_id=None, host=None), "job.failed", headers={"X-Mine": "1", "X-Old": "1"}
)


def endpoint(**config: Any) -> Endpoint:
    """Return the endpoint after it moved to another URL."""
    asked = EndpointConfig(**({"url": "https://example.com/new", "events": ("*",)} | config))
    return Endpoint(endpoint_id=ENDPOINT_ID, account="acme", config=asked, version=2, created_at=0, changed_at=AT)


def again(request_id: str = "r", **more: Any) -> JobScheduled:
    """Return the job that repeats `FIRST`."""
    now = endpoint(headers={"X-Mine": "2", "content-type": "text/plain"})
    return redelivery_job(create(FIRST, 0), FIRST.spec, now, at=LATER, request_id=request_id, **more)


def test_a_redelivery_says_the_same_to_the_endpoint_as_it_is_now() -> None:
    """The body and what it is about stay; the URL and the endpoint's own headers are those of today."""
    made = again()

    assert (made.spec.url, made.spec.body) == ("https://example.com/new", FIRST.spec.body)
    assert made.spec.headers == {
        "X-Mine": "2",
        "Content-Type": "application/json",
        EVENT_HEADER: "job.failed",
        SUBJECT_HEADER: JOB,
        DELIVERY_HEADER: delivery_id(FIRST.job_id),
    }
    assert (made.account, made.replay_of) == (redelivery_account(ENDPOINT_ID), FIRST.job_id)
    assert (made.at, made.fire_at, partition_of(made.job_id)) == (LATER, LATER, partition_of(FIRST.job_id))


def test_one_request_makes_one_redelivery() -> None:
    """A repeat of the request makes the same job; another request makes another one."""
    assert again() == again()
    assert again("other").job_id != again().job_id


def test_a_redelivery_is_repeated_only_if_that_is_asked_for() -> None:
    """Somebody who asks for one try gets one."""
    mine = RetryPolicy(max_retries=2)

    assert (again().retry, again().max_retries) == (None, 0)
    assert (again(retry=mine).retry, again(retry=mine).max_retries) == (mine, 2)


def test_a_redelivery_of_a_job_without_headers_has_those_of_the_endpoint() -> None:
    """Nothing is required of what is repeated but its body."""
    spec = msgspec.structs.replace(FIRST.spec, headers=None)
    made = redelivery_job(create(FIRST, 0), spec, endpoint(), at=LATER, request_id="r")

    assert made.spec.headers == {DELIVERY_HEADER: delivery_id(FIRST.job_id)}


def test_a_recovery_begins_before_the_first_delivery_of_its_time() -> None:
    """An id sorts by its instant: what is older than `since` sorts before the place where the recovery begins."""
    recovery = begun(ENDPOINT_ID, "r", since=AT, until=LATER, now=LATER)

    assert (recovery.status, recovery.recovered_count, recovery.ended_at) == ("running", 0, None)
    assert recovery.reached == first_id(AT)
    assert first_id(AT - 1) < recovery.reached < delivery_id(FIRST.job_id) < first_id(AT + 1)


def test_a_recovery_repeats_each_delivery_as_the_endpoint_asks() -> None:
    """A page that is made twice makes the same jobs."""
    recovery = begun(ENDPOINT_ID, "r", since=AT, until=LATER, now=LATER)
    failed = [(create(FIRST, 0), FIRST.spec)]
    mine = RetryPolicy(max_retries=2)

    made = recovery_jobs(recovery, endpoint(), failed)

    assert made == recovery_jobs(recovery, endpoint(), failed)
    assert [(each.replay_of, each.at, each.retry) for each in made] == [(FIRST.job_id, LATER, RETRY)]
    assert [each.retry for each in recovery_jobs(recovery, endpoint(retry=mine), failed)] == [mine]
    assert recovery_jobs(recovery, endpoint(), []) == []
