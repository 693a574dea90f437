"""Runs of schedules that a caller asks for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client

URL = "https://example.com/digest"


async def create(api: Client, **fields: Any) -> dict[str, Any]:
    status, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "cron": "0 8 1 1 *", **fields})
    assert status == 201, schedule
    return dict(schedule)


async def run(api: Client, schedule_id: str, fields: Any = None, **headers: str) -> tuple[int, Any, Any]:
    return await api.call("POST", f"/v1/schedules/{schedule_id}/run", fields, headers=headers)


async def test_a_run_is_a_job_of_the_schedule(api: Client) -> None:
    """Due at once, with what the schedule calls; the schedule's next run and counters stay."""
    schedule = await create(api, timezone="Asia/Tokyo", headers={"A": "1"}, body="x", max_retries=3)
    _, before, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")

    status, made, _ = await run(api, schedule["id"])

    assert (status, made["schedule_id"], made["scheduled_at"]) == (201, schedule["id"], made["created_at"])
    job = await api.job(made["id"])
    assert (job["url"], job["headers"], job["body"], job["max_retries"]) == (URL, {"A": "1"}, "x", 3)
    _, listed, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}/jobs")
    assert [each["id"] for each in listed["jobs"]] == [made["id"]]
    assert (await api.call("GET", f"/v1/schedules/{schedule['id']}"))[1] == before


async def test_a_run_with_a_body_and_headers_of_its_own(api: Client) -> None:
    """They are of this run alone."""
    schedule = await create(api, body="x", headers={"A": "1"})

    _, own, _ = await run(api, schedule["id"], {"body": "y"})
    _, usual, _ = await run(api, schedule["id"], {})

    job = await api.job(own["id"])
    assert (job["body"], job["headers"]) == ("y", {"A": "1"})
    assert (await api.job(usual["id"]))["body"] == "x"
    assert (await api.call("GET", f"/v1/schedules/{schedule['id']}"))[1]["body"] == "x"


async def test_a_run_keeps_the_spec_of_its_moment(api: Client) -> None:
    """A later change is not its business; a run after the change has the new one."""
    schedule = await create(api, body="old")
    _, before, _ = await run(api, schedule["id"])
    await api.call("PATCH", f"/v1/schedules/{schedule['id']}", {"body": "new"})
    _, after, _ = await run(api, schedule["id"])

    assert [(await api.job(made["id"]))["body"] for made in (before, after)] == ["old", "new"]


async def test_a_paused_schedule_runs_if_asked(api: Client) -> None:
    """A pause stops ticks, not callers; a deleted schedule is 404."""
    schedule = await create(api)
    await api.call("POST", f"/v1/schedules/{schedule['id']}/pause")
    assert (await run(api, schedule["id"]))[0] == 201

    await api.call("DELETE", f"/v1/schedules/{schedule['id']}")
    assert (await run(api, schedule["id"]))[0] == 404


async def test_a_repeat_with_the_same_key_is_the_same_run(api: Client) -> None:
    """Another run under the key is refused."""
    schedule = await create(api)

    answers = [
        await run(api, schedule["id"], fields, **{"Idempotency-Key": "k"}) for fields in ({}, {}, {"body": "other"})
    ]

    assert [status for status, _, _ in answers] == [201, 201, 409]
    assert answers[0][1] == answers[1][1]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": URL}, "unknown_field"),
        ({"body": 1}, "invalid_body"),
        ({"body": "x" * 262_145}, "invalid_body"),
        ({"headers": {"X-Fliq-Job-Id": "1"}}, "reserved_header"),
    ],
)
async def test_what_a_run_refuses(api: Client, fields: dict[str, Any], code: str) -> None:
    """It takes a body and headers, by the rules of a job."""
    schedule = await create(api)

    status, body, _ = await run(api, schedule["id"], fields)

    assert (status, body["error"]["code"]) == (400, code)


async def test_a_run_has_no_body_where_the_method_has_none(api: Client) -> None:
    """The schedule's method is GET."""
    schedule = await create(api, http_method="GET")

    assert (await run(api, schedule["id"], {"body": "x"}))[1]["error"]["code"] == "invalid_body"


async def test_a_run_is_not_taken_for_a_tick(api: Client, harness: Harness) -> None:
    """last_run_at is that of the rule."""
    schedule = await create(api, cron="* * * * *")
    await run(api, schedule["id"])
    tick = await api.job(await harness.tick(schedule["id"]))

    _, before, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
    harness.clock.ahead_ms = 120_000
    _, after, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")

    assert (before["last_run_at"], after["last_run_at"]) == (None, tick["scheduled_at"])
