"""Schedules, sentence by sentence of the contract."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client, instant_ms

pytestmark = pytest.mark.everywhere("kafka")

URL = "https://example.com/digest"
MINUTE_MS = 60_000
SIX = ["id", "url", "cron", "status", "created_at", "next_run_at"]
GET_ADDS = [
    *("http_method", "headers", "body", "max_retries", "timeout_seconds", "webhook_url", "webhook_headers"),
    *(
        "last_run_at",
        "every",
        "timezone",
        "dst",
        "starts_at",
        "ends_at",
        "exclude",
        "spread",
        "max_runs",
        "next_tick_at",
    ),
    *("run_count", "missed_count", "zone_data", "version", "key", "paused_until", "note"),
    *("misfire", "catchup_window_seconds", "catchup_max"),
    *("overlap", "buffer_max", "overlap_grace_seconds", "pause_after_failures"),
    *("skipped_count", "failures_in_row", "active_jobs", "overlap_grace_until", "buffered"),
    *("retry", "success_on", "expires_in_seconds"),
]


async def create(api: Client, **fields: Any) -> dict[str, Any]:
    status, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "cron": "0 8 * * 1-5", **fields})
    assert status == 201, schedule
    return dict(schedule)


async def test_created(api: Client) -> None:
    """POST answers 201 with exactly the six documented fields; next_run_at is a weekday's 08:00."""
    schedule = await create(api)

    assert list(schedule) == SIX
    assert schedule["status"] == "active"
    assert schedule["cron"] == "0 8 * * 1-5"
    assert schedule["next_run_at"].endswith("T08:00:00Z")
    assert schedule["next_run_at"] > schedule["created_at"]


async def test_get_and_list(api: Client) -> None:
    """GET shows everything that was asked for; lists leave out headers, body and webhook_headers."""
    schedule = await create(
        api, headers={"A": "1"}, body="b", max_retries=2, timeout_seconds=5, webhook_url="https://example.com/w"
    )
    _, shown, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
    _, listed, _ = await api.call("GET", "/v1/schedules")

    assert set(shown) == {*SIX, *GET_ADDS}
    assert {name: shown[name] for name in SIX} == schedule
    assert (shown["headers"], shown["body"], shown["max_retries"]) == ({"A": "1"}, "b", 2)
    assert (shown["timeout_seconds"], shown["webhook_url"], shown["http_method"]) == (
        5,
        "https://example.com/w",
        "POST",
    )
    assert shown["last_run_at"] is shown["webhook_headers"] is None
    assert listed["next_cursor"] is None
    assert listed["schedules"] == [
        {name: value for name, value in shown.items() if name not in ("headers", "body", "webhook_headers")}
    ]


async def test_bad_cron(api: Client) -> None:
    """A rule outside the grammar, or that never fires, is 400 invalid_cron."""
    for cron in ("* * * * * *", "0 0 30 2 *", "@reboot"):
        status, body, _ = await api.call("POST", "/v1/schedules", {"url": URL, "cron": cron})
        assert (status, body["error"]["code"]) == (400, "invalid_cron")


async def test_delete(api: Client) -> None:
    """DELETE answers 204; the schedule is gone for reads, lists and a second DELETE."""
    schedule = await create(api)
    path = f"/v1/schedules/{schedule['id']}"

    assert (await api.call("DELETE", path))[:2] == (204, None)
    for method, suffix in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        status, body, _ = await api.call(method, path + suffix)
        assert (status, body["error"]["code"]) == (404, "not_found")
    assert (await api.call("GET", "/v1/schedules"))[1]["schedules"] == []


async def test_pause_and_resume(api: Client, harness: Harness) -> None:
    """A paused schedule has no next run; resumed, it runs next after now; repeating either changes nothing."""
    schedule = await create(api)
    path = f"/v1/schedules/{schedule['id']}"

    for _ in range(2):
        status, paused, _ = await api.call("POST", path + "/pause")
        assert (status, paused["status"], paused["next_run_at"]) == (200, "paused", None)
    harness.clock.ahead_ms = 30 * 86_400_000
    for _ in range(2):
        status, resumed, _ = await api.call("POST", path + "/resume")
        assert (status, resumed["status"]) == (200, "active")
        assert resumed["next_run_at"] > schedule["next_run_at"]
    assert set(resumed) == {*SIX, *GET_ADDS}
    assert (await api.call("POST", path + "/pause", {"for": "ever"}))[0] == 400


async def test_spawned_jobs(api: Client, harness: Harness) -> None:
    """A schedule's jobs are listed under it, carry its id, and inherit what it asks for."""
    hook = {
        "webhook_url": "https://example.com/w",
        "webhook_retry": {"backoff": "fixed", "delay_seconds": 5, "max_retries": 2},
    }
    schedule = await create(api, cron="* * * * *", headers={"A": "1"}, max_retries=4, **hook)
    await create(api)
    jobs = [await harness.tick(schedule["id"]) for _ in range(3)]

    status, listed, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}/jobs?limit=2")
    _, rest, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}/jobs?cursor={listed['next_cursor']}")

    assert status == 200
    assert [job["id"] for job in listed["jobs"] + rest["jobs"]] == jobs[::-1]
    job = await api.job(jobs[0])
    assert (job["schedule_id"], job["url"], job["headers"], job["max_retries"]) == (schedule["id"], URL, {"A": "1"}, 4)
    _, shown, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
    assert {name: job[name] for name in hook} == {name: shown[name] for name in hook}
    assert (job["webhook_url"], job["webhook_retry"]["max_retries"]) == ("https://example.com/w", 2)
    status, timeline, _ = await api.call("GET", f"/v1/jobs/{jobs[0]}/events")
    assert [event["type"] for event in timeline["events"]] == ["schedule.ticked"]


async def test_case_14_the_last_run_is_never_to_come(api: Client, harness: Harness) -> None:
    """A tick is written ahead of its instant: until then GET, lists and pause show the run before it, and null before the first."""
    schedule = await create(api, cron="* * * * *")
    path = f"/v1/schedules/{schedule['id']}"
    ticks = [(await api.job(await harness.tick(schedule["id"])))["scheduled_at"] for _ in range(2)]
    ahead_ms = instant_ms(ticks[0]) - harness.clock.now()

    # The clock goes on by itself under this offset: a busy machine may take seconds, not a third of a minute.
    margin_ms = MINUTE_MS // 3
    shown = []
    for now_ms in (ahead_ms - margin_ms, ahead_ms, ahead_ms + MINUTE_MS - margin_ms, ahead_ms + MINUTE_MS):
        harness.clock.ahead_ms = now_ms
        _, got, _ = await api.call("GET", path)
        _, listed, _ = await api.call("GET", "/v1/schedules")
        assert listed["schedules"][0]["last_run_at"] == got["last_run_at"]
        shown.append(got["last_run_at"])

    assert shown == [None, ticks[0], ticks[0], ticks[1]]
    harness.clock.ahead_ms = ahead_ms
    assert (await api.call("POST", path + "/pause"))[1]["last_run_at"] == ticks[0]


async def test_listed_at_once_on_another_replica(api: Client, harness: Harness) -> None:
    """A schedule is seen by every replica straight after its 201, and gone straight after its 204."""
    replica = await harness.replica()
    async with Client(f"http://127.0.0.1:{replica.port}", api.token) as second:
        for _ in range(20):
            schedule = await create(api)
            path = f"/v1/schedules/{schedule['id']}"
            assert (await second.call("GET", path))[0] == 200
            _, listed, _ = await second.call("GET", "/v1/schedules")
            assert [item["id"] for item in listed["schedules"]] == [schedule["id"]]
            assert (await second.call("DELETE", path))[0] == 204
            assert (await api.call("GET", path))[0] == 404
