"""Changes of jobs that race with their calls."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, instant_ms

SEED = 11
AT_ONCE = 100


@pytest.mark.parametrize(
    "jobs", [40, pytest.param(10_000, marks=[pytest.mark.nightly, pytest.mark.timeout(1_800)], id="10000")]
)
async def test_a_change_is_seen_by_the_target_exactly_if_it_was_answered_with_200(
    client: Client, sink: Sink, jobs: int
) -> None:
    """Sent around the instant of the call, each change is either made before it, or refused as too late."""
    draw = random.Random(SEED)

    async def race(later_s: float) -> tuple[str, int, Any, float]:
        asked = {"url": f"{sink.url}/ok", "delay_seconds": 2.0 + draw.uniform(0, 1.0), "body": "old"}
        status = 503
        key = {"Idempotency-Key": f"{draw.random()}"}
        while status == 503:  # a busy machine
            status, job, _ = await client.call("POST", "/v1/jobs", asked, headers=key)
        assert status == 201, job
        await asyncio.sleep(instant_ms(job["scheduled_at"]) / 1000 - time.time() + later_s)
        # Half of them move the call as well, so that the instant is judged, too.
        change = {"body": "new"} | ({"delay_seconds": 1.5} if draw.random() < 0.5 else {})
        status, answer, _ = await client.call("PATCH", f"/v1/jobs/{job['id']}", change)
        return job["id"], status, answer, instant_ms((answer if status == 200 else job)["scheduled_at"])

    answers = []
    while len(answers) < jobs:
        wave = min(AT_ONCE, jobs - len(answers))
        answers += await asyncio.gather(*[race(draw.uniform(-0.9, 0.1)) for _ in range(wave)])
        await sink.wait_count(len(answers), timeout_s=60)
    calls = {call.job_id: call for call in sink.arrivals}
    assert len(sink.arrivals) == len(calls) == jobs

    counts = {200: 0, 409: 0, 503: 0}
    for job_id, status, answer, due_at in answers:
        counts[status] += 1
        if status == 503:  # a busy machine: nothing was promised
            continue
        call = calls[job_id]
        assert call.body == (b"new" if status == 200 else b"old"), (SEED, job_id, status)
        assert call.at >= due_at, (SEED, job_id, status)
        assert status == 200 or answer["error"]["code"] == "job_already_fired"

    print(counts)
    assert min(counts[200], counts[409]) > 0, counts
    assert counts[503] <= jobs // 10, counts
