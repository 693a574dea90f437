"""Webhooks: one report at each end, saying what the API says."""

from __future__ import annotations

import json

import pytest

from tests.e2e.test_firing import nothing_more_comes
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, instant_ms


@pytest.mark.parametrize(
    ("target", "retries", "expected"),
    [
        ("ok", 0, {"status": "completed", "status_code": 200, "attempt_num": 1}),
        ("status/500", 1, {"status": "failed", "status_code": 500, "attempt_num": 2}),
    ],
)
@pytest.mark.everywhere
async def test_a_job_that_ends_reports_it_once(
    client: Client, sink: Sink, target: str, retries: int, expected: dict[str, object]
) -> None:
    """The report has the six documented fields, the caller's headers, and comes once."""
    job = await client.create(
        f"{sink.url}/{target}",
        0.2,
        max_retries=retries,
        webhook_url=f"{sink.url}/hook",
        webhook_headers={"X-Mine": "yes"},
    )
    await sink.wait_for(lambda: sink.at("/hook"))
    ended = await client.wait_status(job["id"])
    await nothing_more_comes(client, sink)

    (hook,) = sink.at("/hook")
    told = json.loads(hook.body)
    assert told.keys() == {"job_id", "status", "status_code", "last_error", "completed_at", "attempt_num"}
    assert told["job_id"] == job["id"]
    assert {name: told[name] for name in expected} == expected
    assert told["completed_at"] == ended["completed_at"]
    assert told["last_error"] == ended["last_error"]
    assert instant_ms(told["completed_at"]) >= instant_ms(job["scheduled_at"])
    assert (hook.method, hook.headers["X-Mine"], hook.headers["Content-Type"]) == ("POST", "yes", "application/json")


@pytest.mark.everywhere
async def test_a_cancelled_job_reports_it(client: Client, sink: Sink) -> None:
    """Nothing was tried: attempt 0, no status code, no error."""
    job = await client.create(f"{sink.url}/ok", 60, webhook_url=f"{sink.url}/hook")
    assert (await client.call("DELETE", f"/v1/jobs/{job['id']}"))[0] == 204
    await sink.wait_for(lambda: sink.at("/hook"))

    told = json.loads(sink.at("/hook")[0].body)
    assert (told["job_id"], told["status"], told["attempt_num"]) == (job["id"], "cancelled", 0)
    assert (told["status_code"], told["last_error"]) == (None, None)


async def test_a_webhook_that_fails_changes_nothing(client: Client, sink: Sink) -> None:
    """The receiver answers 500: the job stays a success, there is no second report, and it counts as no execution."""
    job = await client.create(f"{sink.url}/ok", 0.2, webhook_url=f"{sink.url}/status/500")
    await sink.wait_for(lambda: sink.at("/status/500"))
    await nothing_more_comes(client, sink)

    ended = await client.job(job["id"])
    assert (ended["status"], ended["execution_count"]) == ("success", 1)
    assert len(sink.at("/status/500")) == 1
