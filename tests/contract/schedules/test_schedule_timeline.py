"""The timeline of a schedule: its ticks, what became of them and why, and its changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client

URL = "https://example.com/digest"


async def create(api: Client, **fields: Any) -> str:
    status, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "every": {"seconds": 600}, **fields})
    assert status == 201, schedule
    return str(schedule["id"])


async def timeline(api: Client, schedule_id: str, query: str = "") -> list[dict[str, Any]]:
    status, found, _ = await api.call("GET", f"/v1/schedules/{schedule_id}/events{query}")
    assert status == 200, found
    return list(found["events"])


async def test_ticks_runs_and_changes_stand_in_their_order(api: Client, harness: Harness) -> None:
    """A tick names its job; a run that was asked for and a pause with its note are there, too."""
    schedule_id = await create(api, overlap="skip")
    job_id = await harness.tick(schedule_id)
    _, run, _ = await api.call("POST", f"/v1/schedules/{schedule_id}/run")
    await api.call("POST", f"/v1/schedules/{schedule_id}/pause", {"note": "moving house"})

    events = await timeline(api, schedule_id)

    assert [event["type"] for event in events] == ["schedule.ticked", "job.scheduled", "schedule.paused"]
    assert [event["position"] for event in events] == [0, 1, 2]
    assert (events[0]["job_id"], events[0]["action"]) == (job_id, "spawned")
    assert events[1]["job_id"] == run["id"]
    assert events[2]["note"] == "moving house"
    assert "spec" not in events[1]


async def test_missed_ticks_are_listed_with_the_tick_that_passed_over_them(api: Client, harness: Harness) -> None:
    """Each by its instant."""
    schedule_id = await create(api, misfire="skip")
    harness.clock.ahead_ms = 3 * 600_000 + 120_000

    await harness.tick(schedule_id)

    (tick,) = await timeline(api, schedule_id)
    assert (tick["action"], tick["missed_count"], len(tick["missed"])) == ("skipped", 3, 3)
    assert "job_id" not in tick


async def test_a_plain_schedule_shows_its_ticks(api: Client, harness: Harness) -> None:
    """They are found by their jobs; before the first one its creation is shown."""
    _, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "cron": "* * * * *"})
    assert [event["type"] for event in await timeline(api, schedule["id"])] == ["schedule.created"]

    job_id = await harness.tick(schedule["id"])

    assert [event.get("job_id") for event in await timeline(api, schedule["id"])] == [job_id]


async def test_the_limit_takes_the_newest(api: Client) -> None:
    """1 to 100 of them."""
    schedule_id = await create(api)
    for note in ("one", "two", "three"):
        await api.call("POST", f"/v1/schedules/{schedule_id}/pause", {"note": note})

    assert [event["note"] for event in await timeline(api, schedule_id, "?limit=2")] == ["two", "three"]


@pytest.mark.parametrize("query", ["?limit=0", "?limit=101", "?limit=x"])
async def test_a_limit_out_of_range(api: Client, query: str) -> None:
    """Is refused, as in lists."""
    schedule_id = await create(api)

    status, body, _ = await api.call("GET", f"/v1/schedules/{schedule_id}/events{query}")

    assert (status, body["error"]["code"]) == (400, "invalid_limit")


async def test_a_schedule_that_is_not_there(api: Client) -> None:
    """404, as elsewhere."""
    status, body, _ = await api.call("GET", "/v1/schedules/sched_01mcc5rm3v001zzzzzzzzzzzzz/events")

    assert (status, body["error"]["code"]) == (404, "not_found")
