"""Runs for ticks that have gone by: back-fill, and the ticks of a pause."""

from __future__ import annotations

from typing import Any

import pytest

from libs.events import HistoryForgotten, encode
from libs.events.ids import partition_of
from tests.contract.harness import Harness
from tests.fakes.running.client import instant_ms
from tests.fakes.running.topologies import Client

URL = "https://example.com/report"
DAY = {"since": "2026-01-01T00:00:00Z", "before": "2026-01-02T00:00:00Z"}


async def create(api: Client, **fields: Any) -> str:
    rule = {"cron": "0 */6 * * *"} if "every" not in fields else {}
    status, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, **rule, **fields})
    assert status == 201, schedule
    return str(schedule["id"])


async def backfill(api: Client, schedule_id: str, fields: dict[str, Any], **headers: str) -> tuple[int, Any]:
    status, answer, _ = await api.call("POST", f"/v1/schedules/{schedule_id}/backfill", DAY | fields, headers=headers)
    return status, answer


async def jobs(api: Client, schedule_id: str) -> list[dict[str, Any]]:
    _, listed, _ = await api.call("GET", f"/v1/schedules/{schedule_id}/jobs?limit=100")
    return list(listed["jobs"])


async def test_each_tick_of_the_range_gets_one_job(api: Client) -> None:
    """A dry run says how many and makes none; the request makes them, with the ticks as their instants; a repeat makes none."""
    schedule_id = await create(api, timezone="Europe/Berlin", max_retries=2, body="x")
    _, before, _ = await api.call("GET", f"/v1/schedules/{schedule_id}")
    slow = {"pace_seconds": 3_600}

    status, dry = await backfill(api, schedule_id, {"dry_run": True, **slow})
    assert (status, dry["ticks"], dry["ran"], dry["jobs"], dry["version"]) == (200, 4, 0, 4, before["version"])
    assert await jobs(api, schedule_id) == []

    _, made = await backfill(api, schedule_id, slow)
    assert {name: made[name] for name in ("ticks", "ran", "jobs")} == {
        name: dry[name] for name in ("ticks", "ran", "jobs")
    }
    listed = await jobs(api, schedule_id)
    assert [job["scheduled_at"] for job in listed] == [f"2026-01-01T{hour:02}:00:00Z" for hour in (23, 17, 11, 5)]
    job = await api.job(listed[0]["id"])
    assert (job["body"], job["max_retries"], job["schedule_id"]) == ("x", 2, schedule_id)

    _, again = await backfill(api, schedule_id, slow)
    assert (again["ticks"], again["ran"], again["jobs"], again["first_call_at"]) == (4, 4, 0, None)
    assert (await api.call("GET", f"/v1/schedules/{schedule_id}"))[1] == before


async def test_rerun_makes_another_job_for_each_tick(api: Client) -> None:
    """Once for each Idempotency-Key; without one, with each request."""
    schedule_id = await create(api)
    fields = {"pace_seconds": 3_600, "existing": "rerun"}
    await backfill(api, schedule_id, {"pace_seconds": 3_600})
    for key, count in (("a", 8), ("a", 8), ("b", 12)):
        _, made = await backfill(api, schedule_id, fields, **{"Idempotency-Key": key})
        assert made["jobs"] == 4
        assert len(await jobs(api, schedule_id)) == count


async def test_stop_cancels_what_has_not_begun(api: Client) -> None:
    """The jobs that wait are cancelled, and no other job of the schedule is."""
    schedule_id = await create(api)
    _, made = await backfill(api, schedule_id, {"pace_seconds": 3_600})
    assert made["jobs"] == 4
    _, other, _ = await api.call("POST", f"/v1/schedules/{schedule_id}/run")

    status, stopped, _ = await api.call("POST", f"/v1/schedules/{schedule_id}/backfill/stop")

    assert (status, stopped["schedule_id"]) == (200, schedule_id)
    assert stopped["jobs"] >= 3  # the first one may have begun
    cancelled = [job for job in await jobs(api, schedule_id) if job["status"] == "cancelled"]
    assert len(cancelled) == stopped["jobs"]
    assert other["id"] not in {job["id"] for job in cancelled}


async def test_a_paused_schedule_is_back_filled_and_a_deleted_one_is_not(api: Client) -> None:
    """A pause stops ticks, not callers."""
    schedule_id = await create(api)
    await api.call("POST", f"/v1/schedules/{schedule_id}/pause")
    assert (await backfill(api, schedule_id, {"pace_seconds": 3_600}))[1]["jobs"] == 4

    await api.call("DELETE", f"/v1/schedules/{schedule_id}")
    assert (await backfill(api, schedule_id, {}))[0] == 404


async def test_an_interval_of_a_second_is_bounded(api: Client) -> None:
    """A year of it is refused; a thousand ticks are not."""
    schedule_id = await create(api, every={"seconds": 1})
    status, error = await backfill(api, schedule_id, {"since": "2025-01-01T00:00:00Z", "dry_run": True})
    assert (status, error["error"]["code"]) == (400, "invalid_backfill")

    _, most = await backfill(api, schedule_id, {"before": "2026-01-01T00:16:40Z", "dry_run": True})
    assert most["ticks"] == 1_000
    assert (await backfill(api, schedule_id, {"before": "2026-01-01T00:16:41Z", "dry_run": True}))[0] == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"since": "2199-01-01T00:00:00Z"},
        {"before": "2199-01-01T00:00:00Z"},
        {"since": "2026-01-02T00:00:00Z"},
        {"since": None},
        {"existing": "again"},
        {"pace_seconds": 0.09},
        {"pace_seconds": 3_601},
        {"pace_seconds": True},
        {"dry_run": 1},
    ],
)
async def test_a_field_beyond_its_limits_is_refused(api: Client, fields: dict[str, Any]) -> None:
    """With the code of the request, and the name of the field in the message."""
    status, error = await backfill(api, await create(api), fields)
    assert (status, error["error"]["code"]) == (400, "invalid_backfill")
    assert next(iter(fields)) in error["error"]["message"]


async def test_the_outermost_paces_are_taken(api: Client) -> None:
    """A tenth of a second, and an hour."""
    schedule_id = await create(api)
    for pace_s in (0.1, 3_600):
        status, shown = await backfill(api, schedule_id, {"pace_seconds": pace_s, "dry_run": True})
        assert (status, shown["ticks"]) == (200, 4)


async def test_catch_up_is_true_or_false(api: Client) -> None:
    """Anything else is refused, and the schedule stays paused."""
    schedule_id = await create(api)
    path = f"/v1/schedules/{schedule_id}"
    await api.call("POST", f"{path}/pause")
    status, error, _ = await api.call("POST", f"{path}/resume", {"catch_up": 1})
    assert (status, error["error"]["code"]) == (400, "invalid_catch_up")
    assert (await api.call("GET", path))[1]["status"] == "paused"

    status, resumed, _ = await api.call("POST", f"{path}/resume", {"catch_up": True})
    assert (status, resumed["status"]) == (200, "active")


@pytest.mark.parametrize(
    ("policy", "run_count", "missed_count"),
    [({"misfire": "skip"}, 0, 18), ({}, 1, 17), ({"misfire": "fire_all", "catchup_max": 5}, 1, 13)],
)
async def test_the_ticks_of_a_pause_are_late_ticks_if_asked(
    api: Client, harness: Harness, policy: dict[str, Any], run_count: int, missed_count: int
) -> None:
    """Paused for three hours, one tick every ten minutes: with catch_up each policy does what it does after an outage."""
    schedule_id = await create(api, every={"seconds": 600}, max_runs=1_000, **policy)
    path = f"/v1/schedules/{schedule_id}"
    await api.call("POST", f"{path}/pause")
    harness.clock.ahead_ms = 3 * 3_600_000 + 120_000

    _, resumed, _ = await api.call("POST", f"{path}/resume", {"catch_up": True})
    await harness.tick(schedule_id)

    assert resumed["status"] == "active"
    _, shown, _ = await api.call("GET", path)
    assert (shown["run_count"], shown["missed_count"]) == (run_count, missed_count)


async def test_without_catch_up_nothing_of_the_pause_is_made_up_for(api: Client, harness: Harness) -> None:
    """The next run is the first one after the resume."""
    schedule_id = await create(api, every={"seconds": 600}, max_runs=1_000)
    path = f"/v1/schedules/{schedule_id}"
    await api.call("POST", f"{path}/pause")
    harness.clock.ahead_ms = 3 * 3_600_000 + 120_000

    _, resumed, _ = await api.call("POST", f"{path}/resume", {"catch_up": False})
    _, preview, _ = await api.call("GET", f"{path}/preview?count=1")

    assert resumed["next_run_at"] == preview["runs"][0]["at"]
    assert resumed["missed_count"] == 0


async def test_ticks_whose_jobs_are_forgotten_are_refused(api: Client, harness: Harness) -> None:
    """Nobody knows any more whether they ran, and their ids would count for nothing: 400, with the first instant that is kept."""
    schedule_id = await create(api)
    forgotten = int(instant_ms("2026-01-01T12:00:00Z"))
    part = partition_of(schedule_id)
    decision = HistoryForgotten(through=1, success_before=forgotten, at=harness.clock.now())
    await harness.log.append(part, [encode(decision, harness.claims[part])])
    await harness.caught_up()

    status, error = await backfill(api, schedule_id, {"dry_run": True})
    assert (status, error["error"]["code"]) == (400, "invalid_backfill")
    assert "2026-01-01T13:00:00Z or later" in error["error"]["message"]

    status, dry = await backfill(api, schedule_id, {"since": "2026-01-01T13:00:00Z", "dry_run": True})
    assert (status, dry["ticks"]) == (200, 1)
