"""Retries: how often, when, and what is recorded."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client

BASE_MS = 200.0  # FLIQ_RETRY_BASE_SECONDS of the running Fliq
SLACK_MS = 500.0  # how late a retry may be on a busy machine


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
        assert delay * 0.75 <= gap <= delay * 1.25 + SLACK_MS + 2 * stalls.longest_ms
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


async def test_a_stopped_job_lets_go_of_its_target(client: Client) -> None:
    """A stop ends a job whose target never answers: the connection is closed within a second, and the job says why it ended."""
    called, closed = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        called.set()
        await reader.read()
        closed.set()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        job = await client.create(f"http://127.0.0.1:{port}/", 0.2, max_retries=5)
        async with asyncio.timeout(10):
            await called.wait()
        status, ended, _ = await client.call("POST", f"/v1/jobs/{job['id']}/stop")
        async with asyncio.timeout(1):
            await closed.wait()

    assert status == 200
    assert (ended["status"], ended["ended_by"], ended["last_error"]) == ("failed", "stopped", "stopped")
    assert (ended["execution_count"], ended["next_attempt_at"]) == (1, None)
    again = await client.call("POST", f"/v1/jobs/{job['id']}/stop")
    assert again[:2] == (200, ended)
