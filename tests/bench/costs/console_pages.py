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

from tests.bench.costs.full_tables import ENDS, LABEL, copy, originals
from tests.fakes.running.client import TOKEN, Client
from tests.fakes.running.operating import command
from tests.fakes.running.postgres import fresh_server
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink

TURNS: Final = 20
SHARES: Final = tuple(zip(ENDS, (0.60, 0.05, 0.05, 0.25, 0.05), strict=True))
FIRST_BYTE_MAX_MS: Final = 150.0


async def measure(jobs: int) -> dict[str, float]:
    """Fill the tables, then ask for each page; return the median time to its first byte in ms."""
    with fresh_server() as dsn:
        running = RunningFliq(database_url=dsn, FLIQ_HEARTBEAT_SECONDS="0")
        with running:
            async with Client(running.url) as client, Sink() as sink:
                ids = await originals(client, sink)
                await _fill(dsn, ids, jobs)
                words = ("tokens", "create", "--account", "default", "--scopes", "read,operator", "--json")
                operator = (await command(running, *words)).json["token"]
                schedule = (await client.call("POST", "/v1/schedules", {"url": f"{sink.url}/ok", "cron": "0 8 * * *"}))[
                    1
                ]
                of_label = [
                    f"/jobs?label={LABEL}",
                    f"/jobs?label={LABEL}&status=cancelled",
                ]  # all have it; none was cancelled
                lists = ["/", "/jobs", "/jobs?status=failed", "/jobs?host=nobody", *of_label, "/failures", "/schedules"]
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


async def _fill(dsn: str, ids: dict[str, str], jobs: int) -> None:
    began_at = time.monotonic()
    count = await copy(dsn, ids, {end: round(jobs * share) for end, share in SHARES})
    print(f"{count:,} jobs after {time.monotonic() - began_at:.0f} s", flush=True)


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
