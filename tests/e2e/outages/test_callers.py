"""Callers who keep every connection of theirs busy: nobody else waits for them."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from tests.fakes.running.postgres import fetch
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client, FliqOf, instant_ms

CALLERS = 60  # more than there are connections
HELD_S = 7.0  # longer than the term of a lease
LATE_MS = 1_000.0
EPOCHS = "SELECT part, lease_epoch FROM fliq.progress UNION ALL SELECT part, epoch FROM fliq.role_lease ORDER BY 1, 2"


async def test_callers_who_wait_for_the_database_cost_no_lease_and_delay_no_call(
    fliq_of: FliqOf, sink: Sink, stalls: Stalls
) -> None:
    """
    Sixty callers ask for a table that somebody has locked, for longer than a lease lasts. The leases stay where they are, and a
    job that comes due meanwhile is loaded, called, recorded and written to the tables.
    """
    with fliq_of("embedded") as fliq:
        dsn = fliq.settings["FLIQ_DATABASE_URL"]
        async with Client(fliq.url) as client:
            job = await client.create(f"{sink.url}/due", HELD_S - 1)
            before = await fetch(dsn, EPOCHS)
            holder = await asyncpg.connect(dsn)
            async with holder.transaction():
                await holder.execute("LOCK TABLE fliq.api_tokens IN ACCESS EXCLUSIVE MODE")
                until_s = time.monotonic() + HELD_S

                async def ask() -> None:
                    while time.monotonic() < until_s:
                        assert (await client.call("GET", "/v1/tokens"))[0] == 503

                await asyncio.gather(*(ask() for _ in range(CALLERS)))
                query = "SELECT status FROM fliq.jobs WHERE last_ok AND completed_at IS NOT NULL"
                assert len(await fetch(dsn, query)) == 1  # the flush was not held up either
            await holder.close()
            done = await client.wait_status(job["id"])

        assert done["status"] == "success"
        assert await fetch(dsn, EPOCHS) == before
        (call,) = sink.of(job["id"])
        assert call.at - instant_ms(job["scheduled_at"]) < LATE_MS + 2 * stalls.longest_ms
