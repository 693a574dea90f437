"""The bare handler that Fliq's creates are measured against calls the validation that Fliq has today."""

from __future__ import annotations

from aiohttp.test_utils import TestClient, TestServer

from tests.bench.bare import handler


async def test_the_bare_handler_creates_a_job() -> None:
    """The functions that it calls change: a benchmark that is seldom run must not break unseen."""
    async with TestClient(TestServer(handler())) as session:
        good = {"url": "http://127.0.0.1:1/", "scheduled_at": "2100-01-01T00:00:00Z"}
        async with session.post("/v1/jobs", json=good) as reply:
            assert reply.status == 201
