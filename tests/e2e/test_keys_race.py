"""Requests with the waiting key of a job that is about to fire, and many with one key over several processes."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, instant_ms

KEYS = 40
SEED = 12
TRIES = 20


@pytest.mark.nightly  # by day the model plays the race on a manual clock (tests/simulation/model/keys.py)
async def test_what_was_replaced_is_called_and_what_fired_was_not_replaced(client: Client, sink: Sink) -> None:
    """Sent around the instant of the call, each request changes the job that waits, or makes the next one: never both or none."""
    draw = random.Random(SEED)

    async def race(number: int, later_s: float) -> tuple[str, str, int] | None:
        fields = {"waiting_key": f"race {number}", "on_waiting": "replace"}
        job = await client.create(f"{sink.url}/ok", 2.0 + draw.uniform(0, 1.0), body="old", **fields)
        await asyncio.sleep(instant_ms(job["scheduled_at"]) / 1000 - time.time() + later_s)
        body: dict[str, Any] = {"url": f"{sink.url}/ok", "delay_seconds": 0.5, "body": "new", **fields}
        status, answer, _ = await client.call("POST", "/v1/jobs", body)
        if status == 503:  # a busy machine: nothing was promised
            return None
        return job["id"], answer["id"], status

    found = await asyncio.gather(*[race(number, draw.uniform(-0.9, 0.1)) for number in range(KEYS)])
    answers = [each for each in found if each is not None]
    counts = {200: 0, 201: 0}
    for first_id, then_id, status in answers:
        counts[status] += 1
        await client.wait_status(first_id)
        await client.wait_status(then_id)
        assert (first_id == then_id) == (status == 200)
        bodies = [call.body for call in sink.of(first_id)]
        assert bodies == [b"new" if status == 200 else b"old"], (SEED, first_id, status)
        assert status == 200 or [call.body for call in sink.of(then_id)] == [b"new"]

    assert min(counts.values()) > 0, counts


@pytest.mark.nightly  # by day twelve at once: tests/contract/jobs/test_job_keys.py
async def test_a_thousand_requests_of_one_key_make_one_call(client: Client, sink: Sink) -> None:
    """All are answered with the same job, and the target is called once, as one of them asked."""
    slots = asyncio.Semaphore(100)

    async def post(number: int) -> tuple[int, str]:
        body = {
            "url": f"{sink.url}/ok",
            "waiting_key": "herd",
            "on_waiting": "replace",
            "delay_seconds": 3600,
            "body": str(number),
        }
        for _ in range(TRIES):
            async with slots:
                status, answer, _ = await client.call("POST", "/v1/jobs", body)
            if status != 503:
                break
        return status, answer["id"]

    answers = await asyncio.gather(*[post(number) for number in range(1_000)])
    assert [status for status, _ in answers].count(201) <= 1  # an answer of it may have been a 503
    (job_id,) = {job_id for _, job_id in answers}
    wanted = (await client.job(job_id))["body"]
    await client.call("POST", f"/v1/jobs/{job_id}/run")
    await client.wait_status(job_id)
    assert [call.body.decode() for call in sink.of(job_id)] == [wanted]
