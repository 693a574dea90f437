"""Restarts: what was accepted goes on, whatever ended the process, and a graceful stop is not noticed by any target."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from tests.e2e.test_firing import nothing_more_comes
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client, RunningFliq, instant_ms


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_jobs_due_while_fliq_was_down_fire_once_at_start(own_fliq: RunningFliq, sink: Sink, how: str) -> None:
    """Five were due during the outage: each calls once; a later one is on time. A call that a kill met may be repeated."""
    async with Client(own_fliq.url) as client:
        overdue = [await client.create(f"{sink.url}/ok/{n}", 0.9 + n * 0.1) for n in range(5)]
        future = await client.create(f"{sink.url}/ok/future", 6)
        cancelled = await client.create(f"{sink.url}/ok/cancelled", 1.2)
        assert (await client.call("DELETE", f"/v1/jobs/{cancelled['id']}"))[0] == 204
    await asyncio.to_thread(getattr(own_fliq, how))
    down_at = time.time() * 1000
    down_for_s = instant_ms(overdue[-1]["scheduled_at"]) / 1000 + 0.05 - time.time()
    await asyncio.sleep(max(0.0, down_for_s))
    fired_before = {arrival.job_id for arrival in sink.arrivals}
    await asyncio.to_thread(own_fliq.start)
    async with Client(own_fliq.url) as client:
        for job in (*overdue, future):
            assert (await client.wait_status(job["id"]))["status"] == "success"
        await nothing_more_comes(client, sink)

    for job in overdue:
        # On a slow machine the first is due before the kill: it may be called again, under the same id (crash table).
        at_most = 2 if how == "kill" and instant_ms(job["scheduled_at"]) <= down_at else 1
        assert 1 <= len(sink.of(job["id"])) <= at_most
        assert len({call.execution_id for call in sink.of(job["id"])}) == 1
    # A stop hands over what is due within the next second; what lies further ahead waits for the next life.
    was_due = down_at >= instant_ms(overdue[-1]["scheduled_at"])  # on a machine that stood still
    assert overdue[-1]["id"] not in fired_before or how == "stop" or was_due
    assert len(sink.of(future["id"])) == 1
    assert sink.of(future["id"])[0].at >= instant_ms(future["scheduled_at"])
    assert sink.of(cancelled["id"]) == []


async def test_a_graceful_stop_lets_calls_end(own_fliq: RunningFliq, sink: Sink, stalls: Stalls) -> None:
    """Told to stop while three calls are under way, Fliq ends them, exits with 0 and repeats none of them."""
    async with Client(own_fliq.url) as client:
        jobs = [await client.create(f"{sink.url}/slow/1500/{n}", 0.3) for n in range(3)]
        await sink.wait_count(3)
        begun = time.monotonic()
        assert set(await asyncio.to_thread(own_fliq.stop)) == {0}, own_fliq.output()
        took_s, stopped_at = time.monotonic() - begun, time.time() * 1000
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.call("GET", "/v1/jobs")
    await asyncio.to_thread(own_fliq.start)
    async with Client(own_fliq.url) as client:
        ended = [await client.wait_status(job["id"]) for job in jobs]
        await nothing_more_comes(client, sink)

    assert {job["status"] for job in ended} == {"success"}
    assert [len(sink.of(job["id"])) for job in jobs] == [1, 1, 1]
    assert stopped_at - max(sink.of(job["id"])[0].at for job in jobs) >= 1_450  # not before the last one was answered
    assert took_s <= 8.0 + 2 * stalls.longest_ms / 1000


@pytest.mark.everywhere("kafka")
async def test_a_call_that_was_in_flight_at_a_kill_is_repeated_under_its_id(own_fliq: RunningFliq, sink: Sink) -> None:
    """Killed between the call and its record: the next life calls again, with the same execution id, and records once."""
    async with Client(own_fliq.url) as client:
        job = await client.create(f"{sink.url}/hang-once/{sink.port}", 0.3)
        await sink.wait_count(1)
    await asyncio.to_thread(own_fliq.kill)
    await asyncio.to_thread(own_fliq.start)
    async with Client(own_fliq.url) as client:
        ended = await client.wait_status(job["id"])
        _, executed, _ = await client.call("GET", f"/v1/jobs/{job['id']}/executions")

    calls = sink.of(job["id"])
    assert (ended["status"], ended["execution_count"]) == ("success", 1)
    assert len(calls) == 2
    assert {call.execution_id for call in calls} == {executed["executions"][0]["id"]}
    assert {call.headers["Idempotency-Key"] for call in calls} == {calls[0].execution_id}


async def test_a_token_and_a_signing_secret_outlive_a_restart(own_fliq: RunningFliq) -> None:
    """What was made in one life is valid in the next."""
    async with Client(own_fliq.url) as client:
        status, made, _ = await client.call("POST", "/v1/tokens", {"name": "mine"})
        assert status == 201
        _, before, _ = await client.call("GET", "/v1/signing-secret")
    await asyncio.to_thread(own_fliq.stop)
    await asyncio.to_thread(own_fliq.start)
    async with Client(own_fliq.url, made["token"]) as client:
        status, after, _ = await client.call("GET", "/v1/signing-secret")

    assert (status, after) == (200, before)
