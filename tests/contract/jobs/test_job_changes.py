"""Changes of jobs that wait for their first attempt: merge patches, versions, a call now."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client, in_seconds, instant_ms

URL = "https://example.com/x"


def tag(headers: Any) -> str:
    return next(value for name, value in headers.items() if name.lower() == "etag")


async def patch(api: Client, job_id: str, fields: Any, **headers: str) -> tuple[int, Any, Any]:
    return await api.call("PATCH", f"/v1/jobs/{job_id}", fields, headers=headers)


async def test_a_patch_changes_what_it_names(api: Client, harness: Harness) -> None:
    """The rest stays; objects are merged, null takes the default; the version is the entity tag."""
    made = await api.create(URL, 3600, headers={"A": "1", "B": "2"}, body="x", max_retries=4)
    _, before, headers = await api.call("GET", f"/v1/jobs/{made['id']}")
    assert tag(headers) == '"v0"'

    at = in_seconds(7200)
    status, job, headers = await patch(
        api, made["id"], {"headers": {"A": None, "C": "3"}, "scheduled_at": at, "retry": {"jitter": "none"}}
    )

    assert (status, tag(headers)) == (200, '"v1"')
    assert (job["headers"], job["body"], job["url"]) == ({"B": "2", "C": "3"}, "x", before["url"])
    assert instant_ms(job["scheduled_at"]) == instant_ms(job["next_attempt_at"]) == instant_ms(at)
    assert (job["max_retries"], job["retry"]["max_retries"], job["retry"]["jitter"]) == (4, 4, "none")
    assert (await api.call("GET", f"/v1/jobs/{made['id']}"))[1] == job
    _, again, headers = await patch(api, made["id"], {"body": None, "retry": None, "expires_in_seconds": 5})
    assert (again["body"], again["retry"], tag(headers)) == (None, None, '"v2"')
    assert instant_ms(again["expires_at"]) == instant_ms(again["scheduled_at"]) + 5_000


async def test_a_patch_of_another_field_leaves_the_policy_of_the_webhook(api: Client) -> None:
    """`webhook_retry` stays unless the patch names it; null takes the default."""
    hook = {"webhook_url": f"{URL}/hook", "webhook_retry": {"max_retries": 3}}
    made = await api.create(URL, 3600, **hook)
    _, job, _ = await patch(api, made["id"], {"body": "x"})
    assert job["webhook_retry"]["max_retries"] == 3
    _, job, _ = await patch(api, made["id"], {"webhook_retry": None})
    assert "webhook_retry" not in job


async def test_the_call_is_as_the_last_change_says(api: Client, harness: Harness) -> None:
    """The due that follows names the changed spec; a change after it is 409, and so is one of a cancelled job."""
    made = await api.create(URL, 3600)
    await patch(api, made["id"], {"url": "https://example.com/y", "delay_seconds": 1800})
    await harness.fire(made["id"])

    status, refused, _ = await patch(api, made["id"], {"body": "late"})
    _, job, _ = await api.call("GET", f"/v1/jobs/{made['id']}")
    assert (status, refused["error"]["code"]) == (409, "job_already_fired")
    assert (job["url"], job["body"]) == ("https://example.com/y", None)
    cancelled = await api.create(URL, 3600)
    await api.call("DELETE", f"/v1/jobs/{cancelled['id']}")
    for answer in (
        await patch(api, cancelled["id"], {"body": "late"}),
        await api.call("POST", f"/v1/jobs/{cancelled['id']}/run"),
    ):
        assert (answer[0], answer[1]["error"]["code"]) == (409, "job_not_waiting")


async def test_if_match(api: Client) -> None:
    """Of changes that name one version one counts, the others are 412; without a version each is made on the newest job."""
    made = await api.create(URL, 3600)
    answers = await asyncio.gather(
        *[patch(api, made["id"], {"body": str(number)}, **{"If-Match": '"v0"'}) for number in range(6)]
    )
    statuses = sorted(status for status, _, _ in answers)
    winner = next(job for status, job, _ in answers if status == 200)

    assert statuses == [200, 412, 412, 412, 412, 412]
    assert {job["error"]["code"] for status, job, _ in answers if status == 412} == {"version_conflict"}
    assert (await api.job(made["id"]))["body"] == winner["body"]
    both = await asyncio.gather(
        patch(api, made["id"], {"body": "new"}), patch(api, made["id"], {"headers": {"A": "1"}})
    )
    assert [status for status, _, _ in both] == [200, 200]
    job = await api.job(made["id"])
    assert (job["body"], job["headers"]) == ("new", {"A": "1"})
    assert (await patch(api, made["id"], {"body": "x"}, **{"If-Match": "v1"}))[1]["error"]["code"] == "invalid_if_match"


async def test_run_calls_a_job_now(api: Client) -> None:
    """Its instant is the request's; nothing else changes."""
    made = await api.create(URL, 3600, body="x", max_retries=2, expires_in_seconds=60)
    status, job, headers = await api.call("POST", f"/v1/jobs/{made['id']}/run")

    assert (status, tag(headers)) == (200, '"v1"')
    assert instant_ms(job["scheduled_at"]) < instant_ms(made["scheduled_at"]) - 3_500_000
    assert (job["body"], job["max_retries"]) == ("x", 2)
    assert instant_ms(job["expires_at"]) == instant_ms(made["scheduled_at"]) + 60_000


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("invalid_json", []),
        ("unknown_field", {"idempotency_key": "k"}),
        ("unknown_field", {"id": "x"}),
        ("invalid_scheduled_at", {"scheduled_at": "2020-01-01T00:00:00Z"}),
        ("invalid_scheduled_at", {"scheduled_at": None}),
        ("invalid_delay_seconds", {"delay_seconds": 0}),
        ("invalid_url", {"url": "nowhere"}),
        ("invalid_retry", {"retry": {"factor": 11}}),
        ("invalid_retry", {"max_retries": 1, "retry": {"max_retries": 2}}),
        ("invalid_expires_at", {"expires_at": "2020-01-01T00:00:00Z"}),
        ("invalid_body", {"http_method": "GET", "body": "x"}),
    ],
)
async def test_a_patch_is_judged_as_a_creation(api: Client, code: str, fields: Any) -> None:
    """Nothing is changed by one that is refused."""
    made = await api.create(URL, 3600)
    status, answer, _ = await patch(api, made["id"], fields)

    assert (status, answer["error"]["code"]) == (400, code)
    assert tag((await api.call("GET", f"/v1/jobs/{made['id']}"))[2]) == '"v0"'


async def test_another_accounts_job_is_not_found(api: Client) -> None:
    """As one that is not there."""
    status, answer, _ = await patch(api, "job_01m8mzrm9m0012zcj0daxyew30", {"body": "x"})
    assert (status, answer["error"]["code"]) == (404, "not_found")
