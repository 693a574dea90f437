"""
Measure the console's pages: the time to the first byte, with a table full of jobs.

    python -m tests.bench.costs.console_pages [jobs]

`fliq all` on a fresh server; one job of each end is made through the API, and one delivery of each end to a webhook endpoint. They
are copied in the tables until there are so many (1,000,000 by default: 60 % jobs that succeeded, 5 % failed, 5 % that wait, 25 %
deliveries that were taken, 5 % that were not). The copies are not in the log, so this Fliq is good for nothing else.
Each page is asked for 20 times by one browser after another; the median and the slowest are shown.
"""

import asyncio
import sys
import time
from statistics import median
from typing import Final

import aiohttp
import asyncpg

from tests.fakes.running.client import TOKEN, Client
from tests.fakes.running.operating import command
from tests.fakes.running.postgres import fresh_server
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink
from tests.fakes.until import until

TURNS: Final = 20
SHARES: Final = (("success", 0.60), ("failed", 0.05), ("scheduled", 0.05), ("delivered", 0.25), ("exhausted", 0.05))
FIRST_BYTE_MAX_MS: Final = 150.0
# What a delivery sends is its own: lists of deliveries show no shared spec.
COPY_SPECS: Final = """
INSERT INTO fliq.specs SELECT (jsonb_populate_record(s, jsonb_build_object('spec_id', j.job_id))).*
FROM fliq.specs s, fliq.jobs j WHERE s.spec_id = $1::uuid AND j.shared_spec_id = $1::uuid
"""
# A copy has an id of its own, one a millisecond, in the partition of its original, and shares the original's spec.
COPY: Final = """
INSERT INTO fliq.jobs SELECT (jsonb_populate_record(j, jsonb_build_object(
  'job_id', lpad(to_hex(j.created_at - n), 12, '0') || lpad(to_hex(j.part), 4, '0') || substr(md5(n::text || j.status), 1, 16),
  'shared_spec_id', j.job_id, 'idempotency_key', null))).*
FROM fliq.jobs j, generate_series(1, $2::int) n WHERE j.job_id = $1::uuid
"""


async def measure(jobs: int) -> dict[str, float]:
    """Fill the tables, then ask for each page; return the median time to its first byte in ms."""
    with fresh_server() as dsn:
        running = RunningFliq(database_url=dsn, FLIQ_HEARTBEAT_SECONDS="0")
        with running:
            async with Client(running.url) as client, Sink() as sink:
                ids = await _originals(client, sink)
                await _fill(dsn, ids, jobs)
                words = ("tokens", "create", "--account", "default", "--scopes", "read,operator", "--json")
                operator = (await command(running, *words)).json["token"]
                schedule = (await client.call("POST", "/v1/schedules", {"url": f"{sink.url}/ok", "cron": "0 8 * * *"}))[
                    1
                ]
                lists = ["/", "/jobs", "/jobs?status=failed", "/jobs?host=nobody", "/failures", "/schedules"]
                single = [f"/jobs/{ids['failed']}", f"/schedules/{schedule['id']}", "/access", "/events"]
                told = [
                    "/webhooks",
                    "/webhooks?status=exhausted",
                    "/webhooks?event=job.failed",
                    "/webhooks?event=schedule.missed",
                ]
                told += [f"/webhooks?job={ids['failed']}", f"/webhooks/{ids['endpoint']}"]
                told += [f"/webhooks/deliveries/{ids[each]}" for each in ("delivered", "exhausted")]
                found = await _ask(running.url, TOKEN, lists + single + told)
                return found | await _ask(running.url, operator, ["/", "/system", "/system/findings"])


async def _originals(client: Client, sink: Sink) -> dict[str, str]:
    fields = {"url": f"{sink.url}/ok", "events": ["job.completed"]}
    listens = (await client.call("POST", "/v1/webhooks/endpoints", fields))[1]["id"]
    fields = {"url": f"{sink.url}/status/500", "events": ["job.failed"], "retry": {"max_retries": 0}}
    await client.call("POST", "/v1/webhooks/endpoints", fields)
    good, bad = await client.create(f"{sink.url}/ok", 0.2), await client.create(f"{sink.url}/status/503", 0.2)
    waiting = await client.create(f"{sink.url}/ok", 86_400)
    for job in (good, bad):
        await client.wait_status(job["id"], timeout_s=60)
    ids = {"success": good["id"], "failed": bad["id"], "scheduled": waiting["id"], "endpoint": listens}
    for status in ("delivered", "exhausted"):
        ids[status] = await until(lambda: _delivery(client, status))  # noqa: B023 - awaited at once
    return ids


async def _delivery(client: Client, status: str) -> str:
    _, found, _ = await client.call("GET", f"/v1/webhooks/deliveries?status={status}")
    return str(found["deliveries"][0]["id"]) if found["deliveries"] else ""


async def _fill(dsn: str, ids: dict[str, str], jobs: int) -> None:
    from libs.events.ids import job_of_delivery
    from libs.store.projection.rows import uuid_of

    connection = await asyncpg.connect(dsn)
    began_at = time.monotonic()
    try:
        for status, share in SHARES:
            item = ids[status] if ids[status].startswith("job_") else job_of_delivery(ids[status])
            await connection.execute(COPY, uuid_of(item), round(jobs * share), timeout=1800)
            if status in ("delivered", "exhausted"):
                await connection.execute(COPY_SPECS, uuid_of(item), timeout=1800)
        await connection.execute("VACUUM ANALYZE fliq.jobs", timeout=600)
        count = await connection.fetchval("SELECT count(*) FROM fliq.jobs", timeout=600)
    finally:
        await connection.close()
    print(f"{count:,} jobs after {time.monotonic() - began_at:.0f} s")


async def _ask(url: str, token: str, pages: list[str]) -> dict[str, float]:
    medians = {}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        form, headers = {"token": token}, {"Sec-Fetch-Site": "same-origin"}
        async with session.post(f"{url}/console/login", data=form, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        for page in pages:
            taken = []
            for _ in range(TURNS):
                began_at = time.perf_counter()
                async with session.get(f"{url}/console{page}") as answer:
                    taken.append((time.perf_counter() - began_at) * 1000)
                    assert answer.status == 200, (page, await answer.text())
                    await answer.read()
            medians[page] = median(taken)
            late = "  LATE" if median(taken) > FIRST_BYTE_MAX_MS else ""
            print(f"{page:45} median {median(taken):6.1f} ms, slowest {max(taken):6.1f} ms{late}", flush=True)
    return medians


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 1_000_000))
