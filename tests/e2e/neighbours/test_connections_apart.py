"""Callers who hold every connection that they may have: leases, the flush, calls, and other accounts have connections left."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator

import asyncpg
import pytest

from services.process.pools import SIZES
from tests.fakes.running.client import OTHER_TOKEN, Client, instant_ms
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import FliqOf, RunningFliq
from tests.fakes.until import until

CALLERS = 40
LATE_MS = 2_000.0
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fliq callers' AND wait_event_type = 'Lock'"
LEASES = (
    "SELECT role, part, nonce FROM fliq.role_lease"
    " UNION ALL SELECT 'scheduler', part, lease_nonce FROM fliq.progress ORDER BY 1, 2"
)


@pytest.fixture
def own(fliq_of: FliqOf) -> Iterator[RunningFliq]:
    """A Fliq of the test's own, whose database it hinders."""
    with fliq_of("embedded") as running:
        yield running


def readiness(fliq: RunningFliq) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{fliq.processes[0].admin_port}/readyz", timeout=5) as answer:
        return int(answer.status)


async def test_callers_who_wait_for_the_database_cost_no_lease_and_no_call(own: RunningFliq, stalls: Stalls) -> None:
    """All their connections, half of what there is, stand for seconds: jobs are called in time, and no lease changes hands."""
    async with Sink() as sink, Client(own.url) as client, Client(own.url, OTHER_TOKEN) as other:
        hindering = await asyncpg.connect(own.settings["FLIQ_DATABASE_URL"])
        watching = await asyncpg.connect(own.settings["FLIQ_DATABASE_URL"])
        try:
            leases = await watching.fetch(LEASES)
            jobs = [
                await client.create(f"{sink.url}/ok/{n}", 2 + n * 0.25, webhook_url=f"{sink.url}/done")
                for n in range(12)
            ]
            block = hindering.transaction()
            await block.start()
            await hindering.execute("LOCK TABLE fliq.idempotency IN ACCESS EXCLUSIVE MODE")
            body = {"url": sink.url, "scheduled_at": "2033-01-01T00:00:00Z"}
            is_over = asyncio.Event()

            async def ask(number: int) -> None:
                # A statement that waits too long is given up: the next one takes its connection.
                while not is_over.is_set():
                    await client.call("POST", "/v1/jobs", body, headers={"Idempotency-Key": f"key {number}"})

            asking = [asyncio.create_task(ask(number)) for number in range(CALLERS)]

            async def all_stand() -> bool:
                return await watching.fetchval(WAITING) == SIZES["callers"][0] // 2  # type: ignore[no-any-return]

            await until(all_stand)
            wanted = {job["id"]: instant_ms(job["scheduled_at"]) for job in jobs}
            await sink.wait_for(
                lambda: wanted.keys() <= sink.by_job().keys() and len(sink.at("/done")) == len(jobs), timeout_s=60
            )
            await until(all_stand)
            for path in ("/v1/jobs", "/v1/schedules", "/v1/tokens"):
                assert (await other.call("GET", path))[0] == 200
            assert await asyncio.to_thread(readiness, own) == 200
            assert await watching.fetch(LEASES) == leases
            is_over.set()
            await block.rollback()
            await asyncio.gather(*asking)
        finally:
            await hindering.close()
            await watching.close()
        late = sorted(sink.by_job()[job_id][0].at - at for job_id, at in wanted.items())
        print(f"late by {late[-1]:.0f} ms at most")
        assert late[-1] <= LATE_MS + 2 * stalls.longest_ms
