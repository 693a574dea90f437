"""Activity and system: what an account's jobs did in a day, and what an operator sees of the installation."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client, instant_ms

URL = "https://example.com/x"


async def activity(api: Client) -> dict[str, Any]:
    status, found, _ = await api.call("GET", "/v1/account/activity")
    assert status == 200
    return dict(found)


async def test_what_ended_is_counted_by_hours(api: Client, other: Client) -> None:
    """24 hours, the current one last; a job that was cancelled is among them, and no job of another account."""
    before = await activity(api)
    assert len(before["hours"]) == 24
    assert (before["due"], before["lateness"], before["partial"]) == (0, None, False)
    job = (await api.create(URL, 3600))["id"]
    await api.call("DELETE", f"/v1/jobs/{job}")
    found = await activity(api)
    assert sum(hour["cancelled"] for hour in found["hours"][-2:]) == 1
    assert sum(hour["success"] + hour["failed"] for hour in found["hours"]) == 0
    ats = [instant_ms(hour["at"]) for hour in found["hours"]]
    assert {second - first for first, second in pairwise(ats)} == {3_600_000}
    assert all(hour["cancelled"] == 0 for hour in (await activity(other))["hours"])


async def test_calls_and_overdue_jobs(api: Client, harness: Harness) -> None:
    """Attempts count by their outcome and lateness; a job whose instant has come is overdue until its attempt is due."""
    jobs = [(await api.create(URL, 60))["id"] for _ in range(3)]
    await harness.caught_up()
    for job, ok in zip(jobs, (True, False), strict=False):
        await harness.fire(job)
        await harness.finish(job, ok=ok, status_code=200 if ok else 500)
    harness.clock.ahead_ms += 61_000
    found = await activity(api)
    last = found["hours"][-1]
    assert (last["success"], last["failed"]) == (1, 1)
    assert found["due"] == 1
    assert instant_ms(found["oldest_due_at"]) <= datetime.now(UTC).timestamp() * 1000 + 61_000
    assert found["lateness"]["calls"] == 2
    assert found["jobs"] == {"scheduled": 1, "running": 0, "success": 1, "failed": 1, "cancelled": 0}


async def test_the_findings_are_an_operators(api: Client, harness: Harness) -> None:
    """What is well is among them; what is not says what to do. Nobody else sees them."""
    assert (await api.call("GET", "/v1/system/findings"))[0] == 403
    async with Client(api.url, harness.token(scopes=("operator",))) as operator:
        status, found, _ = await operator.call("GET", "/v1/system/findings")
    assert status == 200
    assert found["findings"] == [
        {"check": "work", "state": "ok", "text": "nothing is overdue", "advice": None},
        {"check": "members", "state": "wrong", "text": "no dispatcher is alive", "advice": "start one"},
    ]


async def test_the_system_is_an_operators(api: Client, harness: Harness) -> None:
    """`read` and `write` do not show it; a token with the scope sees partitions, owners, lag and processes, and cannot be made
    by one without it."""
    status, refused, _ = await api.call("GET", "/v1/system")
    assert (status, refused["error"]["code"]) == (403, "forbidden")
    status, refused, _ = await api.call("POST", "/v1/tokens", {"scopes": ["operator"]})
    assert (status, refused["error"]["code"]) == (403, "forbidden")
    async with Client(api.url, harness.token(scopes=("operator",))) as operator:
        status, found, _ = await operator.call("GET", "/v1/system")
        assert (await operator.call("GET", "/v1/jobs"))[0] == 403
        _, refused, _ = await operator.call("GET", "/v1/system?dry_run=true")
    assert refused["error"]["code"] == "invalid_parameter"
    assert status == 200
    first = found["partitions"][0]
    assert first["owners"] == [{"role": "scheduler", "node": "one"}, {"role": "dispatcher", "node": None}]
    assert first["lag"] == first["end"]
    assert found["members"] == [
        {
            "node": "one",
            "role": "scheduler",
            "version": "1",
            "live": True,
            "draining": False,
            "partitions": 1,
            "seen_seconds": 0.5,
        }
    ]
