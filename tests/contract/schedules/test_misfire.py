"""What becomes of ticks that are late: the fields, their limits, and what GET shows after an outage."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client

URL = "https://example.com/digest"


async def create(api: Client, **fields: Any) -> tuple[int, Any]:
    status, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "every": {"seconds": 600}, **fields})
    return status, schedule


async def test_the_limits_of_the_fields(api: Client) -> None:
    """What is in range and goes with misfire is taken and shown; the rest is invalid_misfire."""
    taken: list[dict[str, Any]] = [
        {"misfire": "skip"},
        {"misfire": "fire_once", "catchup_window_seconds": 60},
        {"misfire": "fire_all", "catchup_window_seconds": 31_536_000, "catchup_max": 500},
        {"misfire": "fire_all", "catchup_max": 1},
        {"misfire": None, "catchup_window_seconds": None, "catchup_max": None},
    ]
    for fields in taken:
        status, schedule = await create(api, **fields)
        assert status == 201, (fields, schedule)
        _, shown, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
        assert {name: shown[name] for name, value in fields.items() if value} == {n: v for n, v in fields.items() if v}
    for fields in (
        {"misfire": "all"},
        {"misfire": 1},
        {"catchup_window_seconds": 59},
        {"catchup_window_seconds": 31_536_001},
        {"catchup_max": 5},
        {"misfire": "fire_all", "catchup_max": 0},
        {"misfire": "fire_all", "catchup_max": 501},
        {"misfire": "skip", "catchup_window_seconds": 60},
    ):
        status, body = await create(api, **fields)
        assert (status, body["error"]["code"]) == (400, "invalid_misfire"), fields


@pytest.mark.parametrize(
    ("policy", "run_count", "missed_count"),
    [({"misfire": "skip"}, 0, 18), ({}, 1, 17), ({"misfire": "fire_all", "catchup_max": 5}, 1, 13)],
)
async def test_after_an_outage(
    api: Client, harness: Harness, policy: dict[str, Any], run_count: int, missed_count: int
) -> None:
    """Three hours without a tick, one every ten minutes: the first decision after it, by each policy."""
    _, schedule = await create(api, every={"seconds": 600}, max_runs=1_000, **policy)
    harness.clock.ahead_ms = 3 * 3_600_000 + 120_000

    await harness.tick(schedule["id"])

    _, shown, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
    assert (shown["run_count"], shown["missed_count"]) == (run_count, missed_count)
    _, jobs, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}/jobs")
    assert len(jobs["jobs"]) == run_count


async def test_a_patch_of_the_policy_leaves_the_next_run(api: Client) -> None:
    """It takes effect with the next tick that is late."""
    _, schedule = await create(api)

    _, patched, _ = await api.call("PATCH", f"/v1/schedules/{schedule['id']}", {"misfire": "skip"})
    _, again, _ = await api.call("PATCH", f"/v1/schedules/{schedule['id']}", {"misfire": "fire_all", "catchup_max": 7})

    assert (patched["misfire"], patched["next_run_at"]) == ("skip", schedule["next_run_at"])
    assert (again["misfire"], again["catchup_window_seconds"], again["catchup_max"]) == ("fire_all", 86_400, 7)
