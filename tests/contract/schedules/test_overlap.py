"""Runs that meet, and runs that fail: the fields, their limits, and what GET shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client

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
    assert (shown["active_jobs"], shown["buffered"]) == ([], [])


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
