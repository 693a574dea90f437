"""
Kafka out of reach, for a Fliq that reaches it through a proxy: silent (answers are held back), then gone (nothing listens).

Writes are refused in time and say when to come back, reads go on, nothing acknowledged is lost, and all goes on by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.running.fold import assert_tables_are_the_fold
from tests.fakes.running.kafka import Kafka
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client, RunningFliq, in_seconds
from tests.kafka.proxy import Proxy

REFUSED_MS = 5_000.0
RESUMED_MS = 15_000.0
FAR = "2033-01-01T00:00:00Z"


@pytest.fixture
async def proxies(kafka: Kafka) -> AsyncIterator[list[Proxy]]:
    if kafka.brokers is None:
        pytest.skip("needs a broker that this run started")
    proxies = [Proxy(broker.proxied, broker.through) for broker in kafka.brokers.brokers]
    for proxy in proxies:
        await proxy.start()
    yield proxies
    for proxy in proxies:
        await proxy.stop()


@asynccontextmanager
async def silent(proxies: list[Proxy]) -> AsyncIterator[None]:
    for proxy in proxies:
        proxy.hold()
    yield
    for proxy in proxies:
        proxy.release()


@asynccontextmanager
async def gone(proxies: list[Proxy]) -> AsyncIterator[None]:
    for proxy in proxies:
        await proxy.stop()
    yield
    for proxy in proxies:
        await proxy.start()


async def timed(
    call: Callable[[], Awaitable[tuple[int, Any, dict[str, str]]]],
) -> tuple[int, Any, dict[str, str], float]:
    began_s = time.monotonic()
    status, body, headers = await call()
    return status, body, headers, (time.monotonic() - began_s) * 1000


async def check_outage(client: Client, job_id: str, schedule_id: str, stalls: Stalls) -> None:
    """See how the API answers while the log is out of reach."""
    again = {"url": "http://127.0.0.1:1/", "scheduled_at": FAR, "idempotency_key": "again"}
    writes = [
        ("POST", "/v1/jobs", {"url": "http://127.0.0.1:1/", "scheduled_at": FAR}),
        ("POST", "/v1/jobs", again | {"idempotency_key": in_seconds(0)}),
        ("POST", "/v1/jobs/batch", {"jobs": [{"url": "http://127.0.0.1:1/", "scheduled_at": FAR}]}),
        ("POST", "/v1/schedules", {"url": "http://127.0.0.1:1/", "cron": "0 0 1 1 *"}),
        ("POST", f"/v1/schedules/{schedule_id}/pause", None),
        ("DELETE", f"/v1/jobs/{job_id}", None),
        ("DELETE", f"/v1/schedules/{schedule_id}", None),
    ]
    reads = [f"/v1/jobs/{job_id}", "/v1/jobs", f"/v1/jobs/{job_id}/executions", "/v1/schedules"]
    answers = await asyncio.gather(
        *[timed(lambda w=write: client.call(*w)) for write in writes],  # type: ignore[misc]
        *[timed(lambda p=path: client.call("GET", p)) for path in reads],  # type: ignore[misc]
        timed(lambda: client.call("POST", "/v1/jobs", again)),
    )
    for (method, path, _), (status, body, headers, took_ms) in zip(writes, answers, strict=False):
        assert (status, body["error"]["code"] in ("unavailable", "outcome_unknown")) == (503, True), (method, path)
        assert int(headers["Retry-After"]) > 0
        assert took_ms < REFUSED_MS + 2 * stalls.longest_ms, (method, path)
    for path, (status, _, headers, took_ms) in zip(reads, answers[len(writes) :], strict=False):
        assert (status, headers.get("Fliq-Stale")) == (200, "true"), path
        assert took_ms < REFUSED_MS + 2 * stalls.longest_ms, path
    assert (answers[-1][0], answers[-1][2].get("Idempotent-Replayed")) == (201, "true")  # the tables know its job


@pytest.mark.timeout(120)
async def test_kafka_out_of_reach(pg_dsn: str, proxies: list[Proxy], sink: Sink, stalls: Stalls) -> None:
    """
    Twice: jobs come due while the log is out of reach. Writes are 503 with Retry-After within 5 s, reads are answered and say that
    they are stale; when the log is back, new jobs are taken and everything overdue has fired within 15 s, once each.
    """
    bootstrap = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
    topic = {"FLIQ_KAFKA_BOOTSTRAP": bootstrap, "FLIQ_PARTITIONS": "8"}
    running = RunningFliq(topology="embedded", database_url=pg_dsn, **topic)
    running.settings["FLIQ_KAFKA_TOPIC"] = f"fliq.test.{running.directory.name}"
    try:
        await asyncio.to_thread(running.start)
        async with Client(running.url) as client:
            for outage in (silent, gone):
                await client.create("http://127.0.0.1:1/", FAR, idempotency_key="again")
                far = await client.create("http://127.0.0.1:1/", FAR)
                _, schedule, _ = await client.call(
                    "POST", "/v1/schedules", {"url": "http://127.0.0.1:1/", "cron": "0 0 1 1 *"}
                )
                await client.call("GET", "/v1/jobs")
                due = [await client.create(f"{sink.url}/ok", 2 + each / 5) for each in range(10)]
                async with outage(proxies):
                    await check_outage(client, far["id"], schedule["id"], stalls)
                began_s = time.monotonic()
                soon = {"url": f"{sink.url}/ok", "scheduled_at": in_seconds(30)}
                while (await client.call("POST", "/v1/jobs", soon))[0] == 503:
                    assert (time.monotonic() - began_s) * 1000 < RESUMED_MS + 2 * stalls.longest_ms
                for job in due:
                    await client.wait_status(job["id"], "success")
                assert (time.monotonic() - began_s) * 1000 < RESUMED_MS + 2 * stalls.longest_ms
                assert [len(sink.of(job["id"])) for job in due] == [1] * len(due)
        await asyncio.to_thread(assert_tables_are_the_fold, running)
    except BaseException:
        print(running.output())
        raise
    finally:
        await asyncio.to_thread(running.close)
