"""While the log does not say where it ends: reads go on with what the tables have and say so, and nothing is 404 for that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from libs.log.memory import LATE, LOST
from libs.log.port import LogUnavailable
from services.api.state import consistency
from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client
from tests.fakes.until import until

URL = "https://example.com/x"
UNKNOWN = "job_" + "0" * 26


async def _refuses(_: int) -> int:
    raise LogUnavailable("says the test")


async def _hangs(_: int) -> int:
    await asyncio.Event().wait()
    return 0


@pytest.fixture(params=[_refuses, _hangs], ids=["refuses", "hangs"])
async def away(
    request: pytest.FixtureRequest, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Call it to take the log away from readers; appends are the test's own business."""
    monkeypatch.setattr(consistency, "END_S", 0.05)

    async def take() -> None:
        await harness.caught_up()
        monkeypatch.setattr(harness.log, "end", request.param)

    yield take
    monkeypatch.undo()


async def test_reads_go_on(harness: Harness, api: Client, away: Callable[[], Awaitable[None]]) -> None:
    """A job, lists and executions are shown as the tables have them, with `Fliq-Stale: true`; without an outage it is not there."""
    job = await api.create(URL, 60)
    _, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "cron": "0 8 * * *"})
    paths = [
        f"/v1/jobs/{job['id']}",
        "/v1/jobs",
        "/v1/jobs?status=scheduled",
        f"/v1/jobs/{job['id']}/executions",
        "/v1/schedules",
        f"/v1/schedules/{schedule['id']}",
        f"/v1/schedules/{schedule['id']}/jobs",
    ]
    before = [await api.call("GET", path) for path in paths]
    assert all(status == 200 and "Fliq-Stale" not in headers for status, _, headers in before)
    await away()
    began_s = time.monotonic()
    during = [await api.call("GET", path) for path in paths]
    assert [(status, body) for status, body, _ in during] == [(status, body) for status, body, _ in before]
    assert all(headers["Fliq-Stale"] == "true" for _, _, headers in during)
    assert time.monotonic() - began_s < 5


async def test_what_can_change_no_more_is_never_stale(
    harness: Harness, api: Client, away: Callable[[], Awaitable[None]]
) -> None:
    """A job that has ended is shown as ever."""
    job = await api.create(URL, 60)
    assert (await api.call("DELETE", f"/v1/jobs/{job['id']}"))[0] == 204
    await away()
    status, shown, headers = await api.call("GET", f"/v1/jobs/{job['id']}")
    assert (status, shown["status"], "Fliq-Stale" in headers) == (200, "cancelled", False)


async def test_what_is_not_found_is_not_404(harness: Harness, api: Client, away: Callable[[], Awaitable[None]]) -> None:
    """What the tables lack may stand in the log: 503 with Retry-After, for reads and cancellations."""
    await away()
    for method, path in (
        ("GET", f"/v1/jobs/{UNKNOWN}"),
        ("DELETE", f"/v1/jobs/{UNKNOWN}"),
        ("GET", f"/v1/jobs/{UNKNOWN}/executions"),
        ("GET", f"/v1/jobs/{UNKNOWN}/events"),
        ("POST", f"/v1/jobs/{UNKNOWN}/replay"),
        ("GET", "/v1/schedules/sched_" + "0" * 26),
    ):
        status, answer, headers = await api.call(method, path)
        assert (status, answer["error"]["code"], headers["Retry-After"]) == (503, "unavailable", "1"), path


async def test_what_needs_the_log_is_refused(
    harness: Harness, api: Client, away: Callable[[], Awaitable[None]]
) -> None:
    """The timeline is read from the log, and a replay must know the newest state: both 503."""
    job = await api.create(URL, 60)
    await away()
    for method, path in (("GET", f"/v1/jobs/{job['id']}/events"), ("POST", f"/v1/jobs/{job['id']}/replay")):
        status, answer, _ = await api.call(method, path)
        assert (status, answer["error"]["code"]) == (503, "unavailable")


async def test_a_repeat_whose_job_is_not_seen_is_refused(
    harness: Harness, api: Client, away: Callable[[], Awaitable[None]]
) -> None:
    """A key was taken and its job's append failed: while nobody can say whether it landed, the repeat is 503; later it is 201."""
    request = {"url": URL, "scheduled_at": "2032-01-01T00:00:00Z", "idempotency_key": "k"}
    harness.faults.plan(LOST)
    assert (await api.call("POST", "/v1/jobs", request))[0] == 503
    harness.faults.plan(LATE)
    end = harness.log.end
    await away()
    assert (await api.call("POST", "/v1/jobs", request))[0] == 503
    harness.log.end = end  # type: ignore[method-assign]

    async def is_answered() -> bool:
        return (await api.call("POST", "/v1/jobs", request))[0] != 503

    await until(is_answered, every_s=0)  # it lands late, or is appended once more
    _, jobs, _ = await api.call("GET", "/v1/jobs")
    assert len(jobs["jobs"]) == 1
