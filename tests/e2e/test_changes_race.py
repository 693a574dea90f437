"""Changes of jobs that race with their calls."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, instant_ms

JOBS = 40
SEED = 11


async def test_a_change_is_seen_by_the_target_exactly_if_it_was_answered_with_200(client: Client, sink: Sink) -> None:
    """Sent around the instant of the call, each change is either made before it, or refused as too late."""
    draw = random.Random(SEED)

    async def race(later_s: float) -> tuple[str, int, Any]:
        job = await client.create(f"{sink.url}/ok", 2.0 + draw.uniform(0, 1.0), body="old")
        await asyncio.sleep(instant_ms(job["scheduled_at"]) / 1000 - time.time() + later_s)
        status, answer, _ = await client.call("PATCH", f"/v1/jobs/{job['id']}", {"body": "new"})
        return job["id"], status, answer

    answers = await asyncio.gather(*[race(draw.uniform(-0.9, 0.1)) for _ in range(JOBS)])
    counts = {200: 0, 409: 0}
    for job_id, status, answer in answers:
        await client.wait_status(job_id)
        counts[status] += 1
        (call,) = sink.of(job_id)
        assert call.body == (b"new" if status == 200 else b"old"), (SEED, job_id, status)
        assert status == 200 or answer["error"]["code"] == "job_already_fired"

    assert min(counts.values()) > 0, counts
