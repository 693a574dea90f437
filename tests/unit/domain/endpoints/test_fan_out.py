"""Which endpoints are told of a decision, and in which order."""

from __future__ import annotations

import pytest

from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig, Filter
from libs.domain.endpoints.fan_out import (
    SLACK_MS,
    JobFacts,
    asks_for_attempts,
    asks_for_hosts,
    attempt_of,
    needs_facts,
    told_of,
)
from libs.domain.endpoints.webhook_event import Attempt
from libs.events import JobRetryScheduled
from tests.unit.domain.endpoints.test_webhook_events import AT, JOB, URL, A, ended

FAILED = Attempt(JOB, 2, False, 503, "HTTP 503", 20, AT - 20)
RETRY = JobRetryScheduled(job_id=JOB, at=AT, attempt=3, fire_at=AT + 1)


def endpoint(name: str, *events: str, wanted: Filter | None = None, created_at: int = 0) -> Endpoint:
    """Return an endpoint that asks for *events*."""
    config = EndpointConfig(url=URL, events=events, filter=wanted)
    return Endpoint(
        endpoint_id=name, account="acme", config=config, version=1, created_at=created_at, changed_at=created_at
    )


ENDPOINTS = [endpoint("all", "*"), endpoint("ends", "job.failed"), endpoint("tries", "attempt.finished")]


def told(decision: object, facts: JobFacts, endpoints: list[Endpoint] = ENDPOINTS) -> list[tuple[str, str]]:
    """Return who is told what."""
    return [(each.endpoint.endpoint_id, each.name) for each in told_of(decision, facts, endpoints)]  # type: ignore[arg-type]


def test_the_attempt_is_told_before_the_end() -> None:
    """The last attempt of a job and its end follow from one decision."""
    assert told(ended("failed"), JobFacts("acme", attempt=FAILED)) == [
        ("all", "attempt.failed"),
        ("tries", "attempt.finished"),
        ("all", "job.failed"),
        ("ends", "job.failed"),
    ]


def test_a_retry_ends_an_attempt_alone() -> None:
    """The job goes on: only its attempt is told."""
    assert told(RETRY, JobFacts("acme", attempt=FAILED)) == [("all", "attempt.failed"), ("tries", "attempt.finished")]


def test_a_cancelled_job_had_no_attempt() -> None:
    """Only its end is told."""
    assert told(ended("cancelled"), JobFacts("acme")) == [("all", "job.cancelled")]


def test_nothing_is_told_from_before_an_endpoint() -> None:
    """An endpoint is told of what happens after it was made, as far as clocks agree."""
    made = [
        endpoint("late", "*", created_at=AT + SLACK_MS + 1),
        endpoint("just", "*", created_at=AT + SLACK_MS),
    ]
    assert told(ended("failed"), JobFacts("acme"), made) == [("just", "job.failed")]


@pytest.mark.parametrize(("decision", "number"), [(ended("failed"), 2), (ended("cancelled"), 0), (RETRY, 2)])
def test_a_decision_follows_an_attempt(decision: object, number: int) -> None:
    """A retry is planned after the attempt before it."""
    assert attempt_of(decision) == number  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "facts", "attempts", "hosts"),
    [
        (endpoint("e", "job.failed"), False, False, False),
        (endpoint("e", "job.failed", wanted=Filter(status_codes=(500,))), False, False, False),
        (endpoint("e", "job.failed", wanted=Filter(schedule_ids=(A,))), True, False, False),
        (endpoint("e", "job.failed", wanted=Filter(labels=("a:b",))), True, False, False),
        (endpoint("e", "job.failed", wanted=Filter(hosts=("a.example",))), True, False, True),
        (endpoint("e", "attempt.failed"), True, True, False),
        (endpoint("e", "*"), True, True, False),
    ],
)
def test_who_needs_a_look_at_the_tables(made: Endpoint, facts: bool, attempts: bool, hosts: bool) -> None:
    """An endpoint that is told of ends alone, and not by schedule, labels or host, costs no query."""
    assert (needs_facts(made), asks_for_attempts(made), asks_for_hosts(made)) == (facts, attempts, hosts)
