"""What the jobs of a schedule inherit besides its request: retry policy, success, expiry."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.harness import Harness
from tests.contract.schedules.test_changes import create, patch
from tests.fakes.running.topologies import Client, instant_ms

RETRY = {"max_retries": 4, "backoff": "fixed", "delay_seconds": 5, "retry_on": ["5xx"]}


async def job_of(api: Client, harness: Harness, schedule_id: str) -> dict[str, Any]:
    await harness.tick(schedule_id)
    _, listed, _ = await api.call("GET", f"/v1/schedules/{schedule_id}/jobs")
    return dict(listed["jobs"][0])


async def test_jobs_inherit_the_terms_of_their_schedule(api: Client, harness: Harness) -> None:
    """The job of a tick has the policy, and expires that long after its tick."""
    schedule = await create(api, retry=RETRY, success_on=["404"], expires_in_seconds=90)
    _, shown, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
    assert {name: shown["retry"][name] for name in RETRY} == RETRY
    assert (shown["max_retries"], shown["success_on"], shown["expires_in_seconds"]) == (4, ["404"], 90)

    job = await job_of(api, harness, schedule["id"])

    assert {name: job["retry"][name] for name in RETRY} == RETRY
    assert (job["max_retries"], job["success_on"]) == (4, ["404"])
    assert instant_ms(job["expires_at"]) == instant_ms(job["scheduled_at"]) + 90_000


async def test_a_plain_schedule_has_plain_jobs(api: Client, harness: Harness) -> None:
    """It is shown with the defaults, and its jobs without any of it."""
    schedule = await create(api)
    _, shown, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")

    job = await job_of(api, harness, schedule["id"])

    assert (shown["retry"], shown["success_on"], shown["expires_in_seconds"]) == (None, ["2xx"], None)
    assert {"retry", "success_on", "expires_at"} & set(job) == set()


async def test_a_patch_changes_the_terms(api: Client, harness: Harness) -> None:
    """Objects are merged; how often may be said in either place; null takes a policy away."""
    schedule = await create(api, retry=RETRY)

    _, jitter, _ = await patch(api, schedule["id"], {"retry": {"jitter": "none"}})
    _, outside, _ = await patch(api, schedule["id"], {"max_retries": 7})
    _, inside, _ = await patch(api, schedule["id"], {"retry": {"max_retries": 2}, "expires_in_seconds": 1.5})
    job = await job_of(api, harness, schedule["id"])
    _, none, _ = await patch(api, schedule["id"], {"retry": None, "expires_in_seconds": None})

    assert (jitter["retry"]["jitter"], jitter["retry"]["backoff"], jitter["max_retries"]) == ("none", "fixed", 4)
    assert (outside["max_retries"], outside["retry"]["max_retries"], outside["retry"]["jitter"]) == (7, 7, "none")
    assert (inside["max_retries"], inside["retry"]["max_retries"], inside["expires_in_seconds"]) == (2, 2, 1.5)
    assert (job["max_retries"], job["retry"]["jitter"]) == (2, "none")
    assert (none["retry"], none["expires_in_seconds"]) == (None, None)


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("invalid_retry", {"retry": {"max_retries": 101}}),
        ("invalid_retry", {"max_retries": 1, "retry": {"max_retries": 2}}),
        ("invalid_success_on", {"success_on": ["timeout"]}),
        ("invalid_expires_at", {"expires_in_seconds": 0.5}),
        ("unknown_field", {"expires_at": "2030-01-01T00:00:00Z"}),
    ],
)
async def test_terms_beyond_their_limits_are_refused(api: Client, code: str, fields: dict[str, Any]) -> None:
    """As on a job; an instant at which all jobs of a schedule would expire is none of its fields."""
    status, answer, _ = await api.call(
        "POST", "/v1/schedules", {"url": "https://example.com/", "cron": "* * * * *", **fields}
    )
    assert (status, answer["error"]["code"]) == (400, code)
