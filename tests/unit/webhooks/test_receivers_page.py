"""The page for receivers: each of its examples does what it says."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from libs.domain.endpoints.delivery import delivery_job
from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig
from libs.domain.endpoints.fan_out import Told
from libs.domain.endpoints.webhook_event import of_end
from libs.egress.outcome import Outcome
from libs.events import JobFinished, Spec
from libs.events.retry_policy import RetryPolicy
from services.api.contract.field import Rules
from services.api.contract.requests import job_request
from services.webhooks.payload import attempted, outgoing, payload
from tests.fakes.partition import OTHER_SECRET, SECRET

PAGE = (Path(__file__).parents[3] / "docs/webhooks.md").read_text(encoding="utf-8")
JOB = "job_01m8ymky3t002j3dd0kk9q5xsw"
DELIVERY = "whd_01m8ymky3t002j3dd0kk9q5xsw"
END = JobFinished(
    job_id=JOB,
    account="default",
    at=1_775_034_001_000,
    status="failed",
    attempt=4,
    status_code=503,
    last_error="HTTP 503",
    has_webhook=True,
    spec_id=JOB,
)


def example(language: str, number: int = 0) -> str:
    """Return an example of the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)[number]


def sent(*secrets: str, message_id: str = DELIVERY) -> tuple[dict[str, str], bytes]:
    """Return headers and body of the webhook as it is sent."""
    spec = Spec(url="https://target.example/", webhook_url="https://shop.example/done")
    request = outgoing(
        END, spec, secrets=secrets, message_id=message_id, timestamp_s=int(time.time()), user_agent="Fliq/1"
    )
    return dict(request.headers), request.body or b""


def receiver() -> Any:
    """Return the function of the page, as a receiver that has just started."""
    namespace: dict[str, Any] = {}
    exec(compile(example("python"), "docs/webhooks.md", "exec"), namespace)  # noqa: S102 - our own page
    return namespace["receive"]


def test_the_body_is_the_one_that_is_sent() -> None:
    """Field by field."""
    assert json.loads(payload(END)) == json.loads(example("json"))


def test_the_receiver_takes_a_webhook_once() -> None:
    """A repeat under the same id is answered and does nothing; another id is another webhook."""
    receive, work = receiver(), list[Any]()
    for message_id in (DELIVERY, DELIVERY, JOB):
        headers, body = sent(SECRET, message_id=message_id)
        assert receive(headers, body, secrets=[SECRET], work=work) == 200

    assert [each["job_id"] for each in work] == [JOB, JOB]


def test_the_receiver_refuses_what_is_not_signed_for_it() -> None:
    """Another secret, another body: 401, and nothing is done. During a rotation either secret will do."""
    receive, work = receiver(), list[Any]()
    headers, body = sent(OTHER_SECRET)
    assert receive(headers, body, secrets=[SECRET], work=work) == 401
    assert receive(headers, body + b" ", secrets=[OTHER_SECRET], work=work) == 401
    assert work == []
    headers, body = sent(SECRET, OTHER_SECRET)
    assert [receive(headers, body, secrets=[one], work=work) for one in (SECRET, OTHER_SECRET)] == [200, 200]


def test_the_body_of_an_endpoint_is_the_one_that_is_sent() -> None:
    """In the standard format; its delays are those of the text."""
    config = EndpointConfig(url="https://shop.example/events", events=("job.failed",))
    endpoint = Endpoint(
        endpoint_id="whe_01m8ymky3t002j3dd0kk9q5xsw",
        account="default",
        config=config,
        version=1,
        created_at=0,
        changed_at=0,
    )
    made = delivery_job(Told(of_end(END, schedule_id=None, host=None), endpoint, "job.failed"), 0)

    assert json.loads(made.spec.body or "") == json.loads(example("json", 2))
    assert (made.spec.headers or {})["X-Fliq-Event"] == "job.failed"
    assert "5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h" in PAGE.replace("\n", " ")
    assert made.retry is not None
    assert made.retry.delays_ms == tuple(1_000 * each for each in (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000))


def test_the_request_of_the_page_is_taken() -> None:
    """Its policy is that of the text."""
    asked = json.loads(example("json", 1))
    job = job_request(asked, Rules(now=END.at, check_url=lambda url: url))
    assert job.spec.webhook_retry is not None
    assert job.spec.webhook_retry.delays_ms == (5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000)


@pytest.mark.parametrize(
    ("status", "error", "retry_after_ms", "expected"),
    [
        (204, None, None, "success"),
        (429, "HTTP 429", 9_000, "free"),
        (503, "HTTP 503", 9_000, "free"),
        (429, "HTTP 429", None, "failure"),
        (410, "HTTP 410", None, "stopped"),
        (302, "redirect_not_followed", None, "failure"),
        (500, "HTTP 500", None, "failure"),
        (None, "timeout", None, "failure"),
        (200, "incomplete_answer", None, "failure"),
    ],
)
def test_answers_mean_what_the_table_says(
    status: int | None, error: str | None, retry_after_ms: int | None, expected: str
) -> None:
    """One line of the table after the other."""
    outcome = Outcome(
        ok=error is None,
        status_code=status,
        error=error,
        duration_ms=1,
        retry_after_ms=retry_after_ms,
        sent_at=0,
    )
    policy = RetryPolicy(max_retries=3, delay_ms=1_000)
    assert attempted(END, policy, 1, outcome, delivery_id=DELIVERY, at=END.at).outcome == expected
