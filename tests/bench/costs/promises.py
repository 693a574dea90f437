"""
Measure what labels cost a create, and what keeping a target's answer costs a failed call.

    python -m tests.bench --only labels,capture

One Fliq (`fliq all`, embedded PostgreSQL, sealing on), loads with and without in turns. What counts is the processor time of Fliq
and of its PostgreSQL, with fold and flush, so another load on the machine changes the ratios little.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import httptools

from tests.bench.figures import median
from tests.bench.harness import Harness, say
from tests.bench.load import BODY, HEADERS
from tests.fakes.running.client import TOKEN

CONNECTIONS: Final = 16
LABELS: Final = {"tenant": "acme", "kind": "invoice", "order": "o-4711"}
FAR: Final = "2100-01-01T00:00:00Z"
SAID: Final = json.dumps({"error": "validation_failed", "detail": "the amount is not a number, " * 70}).encode()
ANSWER: Final = b"HTTP/1.1 500 Error\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(SAID),
    SAID,
)
KEPT: Final = {"none": {"capture": "none"}, "kept": {"capture": "on_failure"}}

Loads = dict[str, dict[str, Any]]


async def post(harness: Harness, count: int, job: dict[str, Any]) -> None:
    """Create *count* jobs like *job*, one by one."""
    numbers = iter(range(count))
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:

        async def some() -> None:
            for _ in numbers:
                async with session.post(f"{harness.fliq.url}/v1/jobs", json=job) as reply:
                    assert reply.status == 201, await reply.text()

        await asyncio.gather(*[some() for _ in range(CONNECTIONS)])


def compared(found: dict[str, list[float]], what: str) -> str:
    """Return the two figures of *found*, in µs, and how many times the first one the second is."""
    (first, firsts), (second, seconds) = found.items()
    ratio = sum(seconds) / sum(firsts)  # of one round the clock's ticks would tell too little
    return f"{what}: {first} {median(firsts):.0f} µs, {second} {median(seconds):.0f} µs: ratio {ratio:.2f}"


def labels(rounds: int, count: int) -> Iterator[str]:
    """processor time of Fliq and PostgreSQL for a create without labels and with three, in turns"""
    plain = {
        "url": "https://example.com/",
        "headers": HEADERS,
        "body": BODY,
        "http_method": "POST",
        "scheduled_at": FAR,
    }
    loads: Loads = {"without labels": plain, "with three": plain | {"labels": LABELS}}
    found: dict[str, list[float]] = {name: [] for name in loads}
    with Harness() as harness:
        for job in loads.values():
            asyncio.run(post(harness, count // 8, job))  # warm
        for each in range(rounds):
            say(f"labels, round {each + 1} of {rounds}")
            for name, job in loads.items():
                harness.wait_folded()
                meter = harness.meter()
                asyncio.run(post(harness, count, job))
                harness.wait_folded()
                used = meter.used_s()
                found[name].append((used["fliq"] + used["postgres"]) / count * 1e6)
    yield compared(found, "a create")


class FailingTarget(asyncio.Protocol):
    """One connection to a target that answers 500 and says why in 2 kB; *calls* counts what came over all of them."""

    def __init__(self, calls: list[int]) -> None:
        self._calls = calls
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._calls[0] += 1
        self._transport.write(ANSWER)


@asynccontextmanager
async def failing_target() -> AsyncIterator[tuple[str, list[int]]]:
    """Run it; yields its address and the number of calls so far."""
    calls = [0]
    server = await asyncio.get_running_loop().create_server(lambda: FailingTarget(calls), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/charge", calls
    finally:
        server.close()


async def fail(harness: Harness, count: int, terms: dict[str, Any]) -> None:
    """Have *count* jobs fail at their only call."""
    async with failing_target() as (url, calls):
        job = {
            "url": url,
            "http_method": "POST",
            "headers": HEADERS,
            "body": BODY,
            "max_retries": 0,
            "delay_seconds": 1,
        }
        await post(harness, count, job | terms)
        async with asyncio.timeout(60):
            while calls[0] < count:  # noqa: ASYNC110 - the calls come from another process
                await asyncio.sleep(0.05)
        await asyncio.to_thread(harness.wait_finished, timeout_s=60)


def capture(rounds: int, count: int) -> Iterator[str]:
    """processor time of Fliq and PostgreSQL for a life that fails, the target's 2 kB of JSON kept and not, in turns"""
    found: dict[str, list[float]] = {name: [] for name in KEPT}
    with Harness(FLIQ_CAPTURE_PRIVATE="on", FLIQ_CAPTURE_DAILY_MB="100000") as harness:
        for terms in KEPT.values():
            asyncio.run(fail(harness, count // 8, terms))
        for each in range(rounds):
            say(f"capture, round {each + 1} of {rounds}")
            for name, terms in KEPT.items():
                harness.wait_folded()
                meter = harness.meter()
                asyncio.run(fail(harness, count, terms))
                harness.wait_folded()
                used = meter.used_s()
                found[name].append((used["fliq"] + used["postgres"]) / count * 1e6)
    yield compared(found, "a failed life, its answer")
