"""What a webhook says, and how it is sent."""

import json

import pytest
from standardwebhooks import Webhook

from libs.egress.outcome import Outcome
from libs.events import JobCancelled, JobFinished, Spec, encode, read
from libs.events.ids import new_job_id
from services.webhooks.payload import finished, not_made, outgoing, payload
from tests.fakes.partition import SECRET

T = 1_775_034_001_000  # 2026-04-01T09:00:01Z
JOB = new_job_id(T, 2, b"12345678")
COMPLETED = JobFinished(job_id=JOB, account="default", at=T, status="completed", attempt=1, status_code=200)
FAILED = JobFinished(
    job_id=JOB, account="default", at=T + 7, status="failed", attempt=3, status_code=500, last_error="HTTP 500"
)
CANCELLED = JobCancelled(job_id=JOB, account="default", at=T)


def test_a_completed_job_is_told_as_documented() -> None:
    """Exactly the six fields, in the documented order."""
    assert payload(COMPLETED) == (
        b'{"job_id":"' + JOB.encode() + b'","status":"completed","status_code":200,"last_error":null,'
        b'"completed_at":"2026-04-01T09:00:01Z","attempt_num":1}'
    )


def test_a_failed_job_is_told_with_its_last_error() -> None:
    """The last status and error, and how many attempts there were."""
    assert json.loads(payload(FAILED)) == {
        "job_id": JOB,
        "status": "failed",
        "status_code": 500,
        "last_error": "HTTP 500",
        "completed_at": "2026-04-01T09:00:01.007Z",
        "attempt_num": 3,
    }


def test_a_cancelled_job_was_never_attempted() -> None:
    """No status, no error, attempt 0."""
    assert json.loads(payload(CANCELLED)) == {
        "job_id": JOB,
        "status": "cancelled",
        "status_code": None,
        "last_error": None,
        "completed_at": "2026-04-01T09:00:01Z",
        "attempt_num": 0,
    }


def request_of(**spec: object):
    made = Spec(url="https://t.example/", webhook_url="https://hooks.example/me?k=1", **spec)  # type: ignore[arg-type]
    return outgoing(
        COMPLETED, made, secrets=[SECRET], message_id=COMPLETED.job_id, timestamp_s=T // 1000, user_agent="Fliq/1.2.3"
    )


def header(request, name: str) -> list[str]:
    return [value for key, value in request.headers if key.lower() == name.lower()]


def test_a_webhook_is_a_signed_json_post() -> None:
    """To webhook_url, with the job id as message id: what is sent again after a crash can be recognised."""
    request = request_of()

    assert (request.method, request.url, request.body) == ("POST", "https://hooks.example/me?k=1", payload(COMPLETED))
    assert header(request, "Content-Type") == ["application/json"]
    assert header(request, "webhook-id") == [JOB]
    assert header(request, "User-Agent") == ["Fliq/1.2.3"]
    assert len(header(request, "X-Fliq-Signature")) == 1


def test_custom_headers_are_sent() -> None:
    """For instance a token; the job's own headers are not."""
    request = request_of(webhook_headers={"Authorization": "Bearer t", "user-agent": "me"}, headers={"X-Job": "1"})

    assert header(request, "Authorization") == ["Bearer t"]
    assert header(request, "User-Agent") == ["me"]
    assert header(request, "X-Job") == []


@pytest.mark.parametrize("name", ["content-type", "Content-Type", "webhook-id", "X-Fliq-Signature", "Content-Length"])
def test_what_fliq_says_cannot_be_overridden(name: str) -> None:
    """Content-Type is fixed by the contract, signatures and framing are ours."""
    request = request_of(webhook_headers={name: "forged"})

    assert "forged" not in [value for _, value in request.headers]


def test_the_standard_library_of_the_scheme_verifies_the_webhook() -> None:
    """The three Standard Webhooks headers verify with their own implementation."""
    import time

    spec = Spec(url="https://t.example/", webhook_url="https://hooks.example/")
    request = outgoing(
        COMPLETED, spec, secrets=[SECRET], message_id=COMPLETED.job_id, timestamp_s=int(time.time()), user_agent="x"
    )
    headers = {key.lower(): value for key, value in request.headers}

    assert Webhook(SECRET).verify(payload(COMPLETED), headers)["job_id"] == JOB


def test_a_job_without_a_webhook_has_no_request() -> None:
    """That is a defect of the caller."""
    with pytest.raises(ValueError, match="no webhook_url"):
        outgoing(
            COMPLETED,
            Spec(url="https://t.example/"),
            secrets=[SECRET],
            message_id=COMPLETED.job_id,
            timestamp_s=1,
            user_agent="x",
        )


def test_every_fact_can_be_read_back() -> None:
    """What is written fits the event's own checks."""
    outcome = Outcome(
        ok=False, status_code=500, error="a\x00" + "b" * 500, duration_ms=3, retry_after_ms=None, sent_at=T
    )
    for event in (finished(COMPLETED, outcome, at=T), not_made(CANCELLED, "spec_missing", at=T)):
        assert read(2, encode(event)) == event
