"""An API process that dies at any named step leaves nothing half done: the repeated request makes the one job."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import pytest

from tests.fakes.running.topologies import Client, RunningFliq, free_port, in_seconds, make_token

URL = "http://127.0.0.1:9/x"


@pytest.mark.parametrize("point", ["api.after_reserve", "api.before_append", "api.after_append", "api.before_reply"])
async def test_repeat_after_a_crash(contract_fliq: tuple[RunningFliq, Iterator[int]], point: str) -> None:
    """A POST whose process dies at *point*, repeated with its key on another replica, makes one job (F2)."""
    fliq, numbers = contract_fliq
    token = make_token(f"contract{next(numbers):022d}")
    body = {"url": URL, "scheduled_at": in_seconds(3600), "idempotency_key": "k"}
    port = free_port()
    doomed = fliq.spawn("api", FLIQ_PORT=str(port), FLIQ_CRASH_AT=f"{point}:1")
    try:
        doomed.wait_ready()
        async with Client(f"http://127.0.0.1:{port}", token) as client:
            with pytest.raises(aiohttp.ClientError):
                await client.call("POST", "/v1/jobs", body)
        assert doomed.wait() == 137
    finally:
        doomed.kill()

    async with Client(fliq.url, token) as client:
        status, job, headers = await client.call("POST", "/v1/jobs", body)
        _, listed, _ = await client.call("GET", "/v1/jobs")
    assert status == 201
    # The key was taken before every one of these steps.
    assert headers["Idempotent-Replayed"] == "true"
    assert [item["id"] for item in listed["jobs"]] == [job["id"]]
    assert {name: listed["jobs"][0][name] for name in job} == job


async def test_cancel_after_a_crash(contract_fliq: tuple[RunningFliq, Iterator[int]]) -> None:
    """A cancellation whose process dies behind its append takes effect, and repeated it is 204."""
    fliq, numbers = contract_fliq
    token = make_token(f"contract{next(numbers):022d}")
    port = free_port()
    async with Client(fliq.url, token) as client:
        job = await client.create(URL, 3600)
        doomed = fliq.spawn("api", FLIQ_PORT=str(port), FLIQ_CRASH_AT="api.after_cancel_append:1")
        try:
            doomed.wait_ready()
            async with Client(f"http://127.0.0.1:{port}", token) as dying:
                with pytest.raises(aiohttp.ClientError):
                    await dying.call("DELETE", f"/v1/jobs/{job['id']}")
            assert doomed.wait() == 137
        finally:
            doomed.kill()
        await client.wait_status(job["id"], "cancelled")
        assert (await client.call("DELETE", f"/v1/jobs/{job['id']}"))[0] == 204


async def test_two_processes_are_one_api(contract_fliq: tuple[RunningFliq, Iterator[int]]) -> None:
    """What one process acknowledged, another shows at once: jobs, cancellations, schedules, tokens (C4)."""
    fliq, numbers = contract_fliq
    token = make_token(f"contract{next(numbers):022d}")
    port = free_port()
    second = fliq.spawn("api", FLIQ_PORT=str(port))
    try:
        second.wait_ready()
        async with Client(fliq.url, token) as one, Client(f"http://127.0.0.1:{port}", token) as two:
            for writer, reader in [(one, two), (two, one)] * 10:
                job = await writer.create(URL, 3600)
                assert (await reader.job(job["id"]))["status"] == "scheduled"
                _, listed, _ = await reader.call("GET", "/v1/jobs?limit=2")
                assert job["id"] in [item["id"] for item in listed["jobs"]]
                assert (await reader.call("DELETE", f"/v1/jobs/{job['id']}"))[0] == 204
                assert (await writer.job(job["id"]))["status"] == "cancelled"
                _, schedule, _ = await writer.call("POST", "/v1/schedules", {"url": URL, "cron": "0 0 1 1 *"})
                assert (await reader.call("POST", f"/v1/schedules/{schedule['id']}/pause"))[1]["status"] == "paused"
                assert (await writer.call("GET", f"/v1/schedules/{schedule['id']}"))[1]["status"] == "paused"
                assert (await reader.call("DELETE", f"/v1/schedules/{schedule['id']}"))[0] == 204
                assert (await writer.call("GET", f"/v1/schedules/{schedule['id']}"))[0] == 404
            _, made, _ = await one.call("POST", "/v1/tokens", {"scopes": ["read"]})
            async with Client(two.url, made["token"]) as stranger:
                assert (await stranger.call("GET", "/v1/jobs"))[0] == 200
                assert (await one.call("DELETE", f"/v1/tokens/{made['id']}"))[0] == 204
        assert second.stop() == 0
    finally:
        second.kill()
