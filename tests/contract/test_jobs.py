"""Jobs, sentence by sentence of the contract."""

from __future__ import annotations

import re

import pytest

from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client, in_seconds

pytestmark = pytest.mark.everywhere

URL = "https://example.com/api/charge"
SEVEN = ["id", "url", "http_method", "scheduled_at", "max_retries", "status", "created_at"]
GET_ADDS = [
    *("execution_count", "headers", "body", "idempotency_key", "webhook_url", "webhook_headers", "schedule_id"),
    *("next_attempt_at", "started_at", "completed_at", "last_status_code", "last_error"),
]


async def test_created(api: Client) -> None:
    """POST answers 201 with exactly the seven documented fields, in their order."""
    status, job, headers = await api.call(
        "POST", "/v1/jobs", {"url": URL, "scheduled_at": "2032-04-01T11:00:00+02:00", "max_retries": 3}
    )

    assert status == 201
    assert list(job) == SEVEN
    assert re.fullmatch(r"job_[0-9a-z]{26}", job["id"])
    assert job | {"id": "", "created_at": ""} == {
        "id": "",
        "url": URL,
        "http_method": "POST",
        "scheduled_at": "2032-04-01T09:00:00Z",
        "max_retries": 3,
        "status": "scheduled",
        "created_at": "",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", job["created_at"])
    assert headers["Content-Type"] == "application/json"


async def test_get_has_the_documented_fields(api: Client) -> None:
    """GET adds exactly the documented fields, null where they do not apply."""
    at = in_seconds(3600)
    created = await api.create(URL, at, headers={"X-A": "1"}, body="{}", webhook_url="https://example.com/done")

    job = await api.job(created["id"])

    assert set(job) == {*SEVEN, *GET_ADDS}
    assert {name: job[name] for name in SEVEN} == created
    assert job["execution_count"] == 0
    assert job["headers"] == {"X-A": "1"}
    assert job["body"] == "{}"
    assert job["next_attempt_at"] == created["scheduled_at"]
    for name in ("idempotency_key", "webhook_headers", "schedule_id", "started_at", "completed_at", "last_error"):
        assert job[name] is None


async def test_list_shows_what_was_just_made(api: Client) -> None:
    """A list straight after a 201 has the job, without headers, body and webhook_headers."""
    created = await api.create(URL, 3600, headers={"X-A": "1"}, body="x")

    status, listed, _ = await api.call("GET", "/v1/jobs")

    assert status == 200
    assert [job["id"] for job in listed["jobs"]] == [created["id"]]
    assert set(listed["jobs"][0]) == {*SEVEN, *GET_ADDS} - {"headers", "body", "webhook_headers"}
    assert listed["next_cursor"] is None


async def test_cancel(api: Client) -> None:
    """DELETE answers 204 with an empty body, the job reads cancelled, and cancelling again is 204."""
    created = await api.create(URL, 3600)

    assert (await api.call("DELETE", f"/v1/jobs/{created['id']}"))[:2] == (204, None)
    job = await api.job(created["id"])
    assert job["status"] == "cancelled"
    assert job["completed_at"] is not None
    assert job["next_attempt_at"] is None
    assert (await api.call("DELETE", f"/v1/jobs/{created['id']}"))[0] == 204


async def test_cancel_after_the_first_attempt(api: Client, harness: Harness) -> None:
    """Once the first attempt is admitted a cancel is 409 for good, also while the job waits for a retry."""
    created = await api.create(URL, 3600, max_retries=1)
    path = f"/v1/jobs/{created['id']}"
    await harness.fire(created["id"])

    for _ in range(2):
        status, body, _ = await api.call("DELETE", path)
        assert (status, body["error"]["code"]) == (409, "job_already_fired")
        assert (await api.job(created["id"]))["status"] == "running"
        if (await api.job(created["id"]))["last_status_code"] is None:
            await harness.finish(created["id"], ok=False, status_code=500, error="HTTP 500")

    job = await api.job(created["id"])
    assert job["execution_count"] == 1
    assert job["last_error"] == "HTTP 500"
    assert job["next_attempt_at"] is not None


async def test_missing(api: Client) -> None:
    """An id that never was is 404 not_found, on every route of a job."""
    missing = "job_" + "0" * 26
    for method, suffix in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/executions"),
        ("GET", "/events"),
        ("POST", "/replay"),
    ):
        status, body, _ = await api.call(method, f"/v1/jobs/{missing}{suffix}")
        assert (status, body["error"]["code"]) == (404, "not_found")
        status, body, _ = await api.call(method, f"/v1/jobs/nonsense{suffix}")
        assert (status, body["error"]["code"]) == (404, "not_found")
