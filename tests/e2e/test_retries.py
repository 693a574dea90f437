"""Retries: how often, when, and what is recorded."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client

BASE_MS = 200.0  # FLIQ_RETRY_BASE_SECONDS of the running Fliq
SLACK_MS = 150.0


@pytest.mark.everywhere
async def test_a_failing_target_is_tried_again_with_back_off(client: Client, sink: Sink, stalls: Stalls) -> None:
    """Two failures, then success: delays double, within a quarter; every attempt has an id of its own and is recorded."""
    job = await client.create(f"{sink.url}/flaky/2/{sink.port}", 0.3, max_retries=5)
    ended = await client.wait_status(job["id"])

    calls = sink.of(job["id"])
    gaps = [two.at - one.at for one, two in pairwise(calls)]
    assert (ended["status"], ended["execution_count"], ended["last_status_code"]) == ("success", 3, 200)
    assert [call.headers["X-Fliq-Attempt"] for call in calls] == ["1", "2", "3"]
    assert len({call.execution_id for call in calls}) == 3
    for number, gap in enumerate(gaps):
        delay = BASE_MS * 2**number
        assert delay * 0.75 <= gap <= delay * 1.25 + SLACK_MS + 3 * stalls.longest_ms
    _, executed, _ = await client.call("GET", f"/v1/jobs/{job['id']}/executions")
    rows = executed["executions"]
    assert [row["id"] for row in rows] == [call.execution_id for call in calls]
    assert [(row["attempt_num"], row["status"], row["status_code"]) for row in rows] == [
        (1, "failed", 500),
        (2, "failed", 500),
        (3, "success", 200),
    ]


async def test_retry_after_is_honoured(client: Client, sink: Sink) -> None:
    """A 429 that asks for a second gets it, though the back-off would be shorter."""
    job = await client.create(f"{sink.url}/retry-after/1/{sink.port}", 0.2, max_retries=1)
    ended = await client.wait_status(job["id"])

    one, two = sink.of(job["id"])
    assert ended["status"] == "success"
    assert two.at - one.at >= 1_000
