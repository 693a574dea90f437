"""The bytes of each format: receivers check signatures over them, so they never change."""

from __future__ import annotations

from typing import get_args

import pytest

from libs.domain.endpoints.body import CONTENT_TYPES, body
from libs.domain.endpoints.endpoint import Format
from libs.domain.endpoints.webhook_event import FAILING, WebhookEvent, of_disabling, of_end, of_test
from services.webhooks.payload import payload
from tests.unit.domain.endpoints.test_webhook_events import AT, JOB, URL, ended, tried

DELIVERY = "whd_01m8mfsb6j000hnbjj6f4rh1ft"
FAILED = (
    b'{"job_id":"%b","status":"failed","status_code":503,"last_error":"HTTP 503","completed_at":"1970-01-01T00:16:40Z",'
    b'"attempt_num":2}' % JOB.encode()
)
TRIED = (
    b'{"job_id":"%b","execution_id":"exec_00000000z8001m3cz2cnj2wjrv","attempt_num":2,"status":"success","status_code":200,'
    b'"error":null,"duration_ms":20,"executed_at":"1970-01-01T00:16:39.980Z"}' % JOB.encode()
)
DISABLED = (
    b'{"endpoint_id":"whe_1","url":"https://example.com/hook","reason":"failing","disabled_at":"1970-01-01T00:16:40Z"}'
)
TESTED = b'{"endpoint_id":"whe_1","sent_at":"1970-01-01T00:16:40Z"}'

FAILED_EVENT = of_end(ended("failed"), schedule_id=None, host=None)
CASES: dict[str, tuple[WebhookEvent, bytes]] = {
    "job.failed": (FAILED_EVENT, FAILED),
    "attempt.finished": (tried(ok=True), TRIED),
    "endpoint.disabled": (of_disabling("whe_1", URL, FAILING, AT), DISABLED),
    "endpoint.test": (of_test("whe_1", AT), TESTED),
}


def sent(form: Format, event: WebhookEvent) -> bytes:
    """Return *event* in format *form*."""
    return body(
        form,
        delivery_id=DELIVERY,
        account="acme",
        name=event.names[0],
        at=event.at,
        subject=event.job_id,
        data=event.data,
    )


@pytest.mark.parametrize("name", CASES)
def test_flat_is_the_data(name: str) -> None:
    """The flat format sends what is said of the event, and nothing else."""
    event, data = CASES[name]
    assert sent("flat", event) == data


@pytest.mark.parametrize("name", CASES)
def test_standard_names_the_event(name: str) -> None:
    """The standard format is {type, timestamp, data}."""
    event, data = CASES[name]
    assert sent("standard", event) == (
        b'{"type":"%b","timestamp":"1970-01-01T00:16:40Z","data":%b}' % (name.encode(), data)
    )


@pytest.mark.parametrize("name", CASES)
def test_cloudevents_has_the_attributes(name: str) -> None:
    """A CloudEvent has id, source, type and time; the job is its subject."""
    event, data = CASES[name]
    subject = b'"subject":"%b",' % JOB.encode() if event.job_id else b""
    assert sent("cloudevents", event) == (
        b'{"specversion":"1.0","id":"%b","source":"/fliq/accounts/acme","type":"%b",%b"time":"1970-01-01T00:16:40Z",'
        b'"datacontenttype":"application/json","data":%b}' % (DELIVERY.encode(), name.encode(), subject, data)
    )


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_flat_is_what_a_webhook_url_gets(status: str) -> None:
    """A receiver of `webhook_url` can become an endpoint of format `flat`: the bytes are the same."""
    event = ended(status)
    assert sent("flat", of_end(event, schedule_id=None, host=None)) == payload(event)


def test_every_format_has_its_content_type() -> None:
    """A CloudEvent is announced as one."""
    assert set(CONTENT_TYPES) == set(get_args(Format))
    assert CONTENT_TYPES["cloudevents"] == "application/cloudevents+json"
