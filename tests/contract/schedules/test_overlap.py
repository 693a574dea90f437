"""Runs that meet, and runs that fail: the fields, their limits, and what GET shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client, instant_ms

URL = "https://example.com/digest"


async def create(api: Client, **fields: Any) -> tuple[int, Any]:
    status, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "every": {"seconds": 600}, **fields})
    return status, schedule


@pytest.mark.parametrize(
    "fields",
    [
        {"overlap": "allow"},
        {"overlap": "skip", "pause_after_failures": 100},
        {"overlap": "buffer_one"},
        {"overlap": "buffer_all", "buffer_max": 1},
        {"overlap": "buffer_all", "buffer_max": 100},
        {"overlap": "replace"},
        {"overlap": "skip", "overlap_grace_seconds": 3_600},
        {"overlap": "buffer_one", "overlap_grace_seconds": 1},
        {"overlap": "buffer_all", "buffer_max": 2, "overlap_grace_seconds": 1.0},
        {"overlap": "replace", "overlap_grace_seconds": 0},
        {"pause_after_failures": 1},
        {"overlap": None, "buffer_max": None, "pause_after_failures": 0},
    ],
)
async def test_what_is_in_range_is_taken_and_shown(api: Client, fields: dict[str, Any]) -> None:
    """Each field at its limits."""
    status, schedule = await create(api, **fields)

    assert status == 201, schedule
    _, shown, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
    expected = {"overlap": "allow", "buffer_max": None, "pause_after_failures": 0}
    expected |= {name: value for name, value in fields.items() if value is not None}
    assert {name: shown[name] for name in expected} == expected
    assert (shown["active_jobs"], shown["overlap_grace_until"], shown["buffered"]) == ([], None, [])


@pytest.mark.parametrize(
    ("fields", "code", "word"),
    [
        ({"overlap": "buffer"}, "invalid_overlap", "buffer_one"),
        ({"overlap": 1}, "invalid_overlap", "overlap"),
        ({"buffer_max": 5}, "invalid_overlap", "leave it out"),
        ({"overlap": "skip", "buffer_max": 5}, "invalid_overlap", "leave it out"),
        ({"overlap": "buffer_all", "buffer_max": 0}, "invalid_overlap", "1 to 100"),
        ({"overlap": "buffer_all", "buffer_max": 101}, "invalid_overlap", "1 to 100"),
        ({"overlap": "buffer_all", "buffer_max": True}, "invalid_overlap", "1 to 100"),
        ({"overlap_grace_seconds": 1}, "invalid_overlap", "leave it out"),
        ({"overlap": "replace", "overlap_grace_seconds": 1}, "invalid_overlap", "leave it out"),
        ({"overlap": "skip", "overlap_grace_seconds": -1}, "invalid_overlap", "0 to 3,600"),
        ({"overlap": "skip", "overlap_grace_seconds": 3_601}, "invalid_overlap", "0 to 3,600"),
        ({"overlap": "skip", "overlap_grace_seconds": 0.5}, "invalid_overlap", "0 to 3,600"),
        ({"pause_after_failures": -1}, "invalid_pause_after_failures", "0 to 100"),
        ({"pause_after_failures": 101}, "invalid_pause_after_failures", "0 to 100"),
        ({"pause_after_failures": "3"}, "invalid_pause_after_failures", "0 to 100"),
    ],
)
async def test_what_is_refused(api: Client, fields: dict[str, Any], code: str, word: str) -> None:
    """The code of the field, and a message that says what would do."""
    status, body = await create(api, **fields)

    assert (status, body["error"]["code"]) == (400, code)
    assert word in body["error"]["message"]


async def test_a_tick_while_a_run_is_under_way(api: Client, harness: Harness) -> None:
    """GET shows the run that is under way."""
    _, schedule = await create(api, every={"seconds": 60}, overlap="skip")

    job_id = await harness.tick(schedule["id"])

    _, shown, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
    assert shown["active_jobs"] == [job_id]
    assert (shown["run_count"], shown["skipped_count"]) == (1, 0)


async def test_a_patch_of_overlap_leaves_the_next_run(api: Client) -> None:
    """It takes effect with the next tick; null is allow."""
    _, schedule = await create(api, overlap="skip", pause_after_failures=3)

    path = f"/v1/schedules/{schedule['id']}"
    _, patched, _ = await api.call("PATCH", path, {"overlap": "buffer_all"})
    _, again, _ = await api.call("PATCH", path, {"overlap": None})

    assert (patched["overlap"], patched["buffer_max"], patched["pause_after_failures"]) == ("buffer_all", 10, 3)
    assert (again["overlap"], again["next_run_at"]) == ("allow", schedule["next_run_at"])


async def test_a_run_that_timed_out_counts_for_a_grace(api: Client, harness: Harness) -> None:
    """GET says until when, and that instant goes by; another overlap keeps the grace, if it takes one."""
    _, schedule = await create(api, every={"seconds": 60}, overlap="skip", overlap_grace_seconds=600)
    path = f"/v1/schedules/{schedule['id']}"
    job_id = await harness.tick(schedule["id"])
    await harness.fire(job_id)
    await harness.finish(job_id, ok=False, status_code=None, error="timeout")

    _, shown, _ = await api.call("GET", path)
    assert shown["active_jobs"] == []
    ended_at = instant_ms((await api.job(job_id))["completed_at"])
    assert instant_ms(shown["overlap_grace_until"]) == ended_at + 600_000
    _, kept, _ = await api.call("PATCH", path, {"overlap": "buffer_one"})
    assert (kept["overlap_grace_seconds"], kept["overlap_grace_until"]) == (600, shown["overlap_grace_until"])
    harness.clock.ahead_ms += 601_000
    assert (await api.call("GET", path))[1]["overlap_grace_until"] is None
    _, gone, _ = await api.call("PATCH", path, {"overlap": "replace"})
    assert gone["overlap_grace_seconds"] == 0
