"""Requests with one key, at three API processes that die meanwhile: nobody is told anything that does not hold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from libs.events import JobMergeRequested, JobScheduled, read
from tests.fakes.running.processes import ONE_OF_EACH, RunningFliq
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, FliqOf, free_port
from tests.fakes.until import until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]  # by day the model plays it, and crash points one by one

CREATES = 1_000
DECLARATIONS = 50
TRIES = 40
PATH = "/v1/schedules/by-key/k"
CRASHES = ("api.after_reserve:1", "api.after_append:1")


@pytest.fixture(params=["split"])
def fliq(request: pytest.FixtureRequest, fliq_of: FliqOf) -> Iterator[RunningFliq]:
    """One of each process, and three of the API."""
    with fliq_of(request.param, counts=ONE_OF_EACH | {"api": 3}) as running:
        yield running


class Callers:
    """Ask the processes in turn, as behind a load balancer: what one does not answer is asked of the next."""

    def __init__(self, fliq: RunningFliq, *urls: str) -> None:
        self.clients = [Client(url) for url in urls or [process.url for process in fliq.of("api")]]

    async def __aenter__(self) -> Callers:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.clients:
            await client.close()

    async def ask(self, number: int, method: str, path: str, body: object) -> tuple[int, dict[str, Any]]:
        """Return the first answer that is not 503, and none of a process that died."""
        for turn in range(TRIES):
            try:
                status, answer, _ = await self.clients[(number + turn) % len(self.clients)].call(method, path, body)
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)  # it is dead, or not there yet
                continue
            if status != 503:
                return status, answer
        raise AssertionError(f"no answer after {TRIES} tries")


async def test_a_thousand_requests_of_one_key_make_one_call_whoever_dies(fliq: RunningFliq, sink: Sink) -> None:
    """Two of the three processes die in the midst of it, twice: one job, one call, and it is what stands last in the log."""
    slots = asyncio.Semaphore(60)
    done = 0

    async with Callers(fliq) as callers:

        async def post(number: int) -> str:
            nonlocal done
            body = {
                "url": f"{sink.url}/n/{number}",
                "waiting_key": "herd",
                "on_waiting": "replace",
                "delay_seconds": 3600,
            }
            async with slots:
                status, answer = await callers.ask(number, "POST", "/v1/jobs", body)
            assert status in (200, 201), answer
            done += 1
            return str(answer["id"])

        async def kill() -> None:
            for when in (CREATES // 4, CREATES // 2):
                await until(lambda: done >= when, within_s=120)  # noqa: B023 - asked before the next one
                for victim in fliq.of("api")[1:]:
                    victim.kill()
                    fliq.processes[fliq.processes.index(victim)] = victim.again()

        answers, _ = await asyncio.gather(asyncio.gather(*[post(number) for number in range(CREATES)]), kill())
        (job_id,) = set(answers)
        for process in fliq.of("api"):
            process.wait_ready()
        last = await last_asked(fliq, job_id)
        await callers.ask(0, "POST", f"/v1/jobs/{job_id}/run", None)
        await callers.clients[0].wait_status(job_id)

    assert [call.path for call in sink.of(job_id)] == [last]
    assert [call.path for call in sink.arrivals if call.path.startswith("/n/")] == [last]


async def last_asked(fliq: RunningFliq, job_id: str) -> str:
    """Return the path of the URL that the last request for *job_id* in the log names."""
    urls = []
    async with fliq.open_log() as log:
        for partition in range(await log.partitions()):
            position = 0
            while records := await log.read(partition, position):
                events = [read(partition, record.envelope) for record in records]
                position = records[-1].position + 1
                urls += [
                    event.spec.url
                    for event in events
                    if isinstance(event, JobScheduled | JobMergeRequested)
                    and event.job_id == job_id
                    and event.spec is not None
                ]
    assert len(urls) >= CREATES
    return urlsplit(urls[-1]).path


async def test_fifty_declarations_make_one_schedule_whoever_dies(fliq: RunningFliq) -> None:
    """
    One process dies with the name taken, another with the record written; their callers and all others go on at three that live:
    one schedule, and all answers are of it.
    """
    body = {"url": "https://example.com/", "cron": "0 8 * * *", "timezone": "Europe/Berlin"}
    doomed = [fliq.spawn("api", FLIQ_PORT=str(free_port()), FLIQ_CRASH_AT=point) for point in CRASHES]
    for process in doomed:
        process.wait_ready()
    alive = [process.url for process in fliq.of("api")]
    async with Callers(fliq, *alive) as callers, Callers(fliq, *[process.url for process in doomed], *alive) as unlucky:
        puts = []
        for number, process in enumerate(doomed):
            puts.append(asyncio.create_task(unlucky.ask(number, "PUT", PATH, body)))
            assert await asyncio.to_thread(process.wait) == 137
        puts += [asyncio.create_task(callers.ask(n, "PUT", PATH, body)) for n in range(len(puts), DECLARATIONS)]
        answers = await asyncio.gather(*puts)
        _, listed, _ = await callers.clients[0].call("GET", "/v1/schedules")

    assert {status for status, _ in answers} <= {200, 201}
    shown = answers[0][1]
    assert all(each == shown for _, each in answers)
    assert shown["version"] == 1
    assert [each["id"] for each in listed["schedules"]] == [shown["id"]]
