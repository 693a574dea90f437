"""
What the API and the console read does not grow with what there is.

Rows are counted by PostgreSQL, so it does not matter how busy the machine is. An API with the console runs in this process, beside
the Fliq that made the jobs, on a pool that counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import aiohttp
import asyncpg
import pytest

from libs.runtime.settings.settings import Settings
from libs.store.reads import search
from services.api.contract.routes import ROUTES
from services.api.contract.token_text import is_well_formed
from services.console.pages.routes import ROUTES as PAGES
from services.process import api_wiring
from services.process.resources import open_resources
from tests.bench.costs.full_tables import ENDS, LABEL, copy, originals
from tests.e2e.process.counted_reads import CountedPool
from tests.fakes.running.client import Client
from tests.fakes.running.operating import command
from tests.fakes.running.postgres import Databases, database_of
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import RunningFliq, free_port

FEW: Final = 2_500  # of each end: more than is ever counted
MANY: Final = 5_000
SEARCHED_MAX: Final = 1_000  # rows of a search here, so that it ends before the tables do
SLACK: Final = (
    1_000  # rows: what happens besides, and how plans differ; what goes through one kind of rows reads 2,500 more
)
# What one page or answer may read in all; the most is that of a picture of a day, three times 2,000 ends with 500 calls.
ROWS_MAX: Final = 12_000
# Streams end by themselves after minutes; the page of the stream is among the pages.
STREAMS: Final = ("/v1/events", "/events/stream")
OF_LABEL: Final = (f"label={LABEL}", f"label={LABEL}&status=cancelled")
FILTERS: Final = {
    "/v1/jobs": ("", "status=failed", "status=cancelled", "q=none", "scheduled_after=2100-01-01T00:00:00Z", *OF_LABEL),
    "/v1/schedules": ("", "status=paused", "label=a:b"),
    "/v1/webhooks/deliveries": ("", "status=exhausted", "status=dropped", "event=job.failed", "event=schedule.missed"),
    "/jobs": ("", "status=failed", "status=cancelled", "host=nobody", "q=none", *OF_LABEL),
    "/webhooks": ("", "status=dropped", "event=schedule.missed", "status=dropped&event=job.completed"),
}  # fmt: skip


@pytest.mark.timeout(300)
async def test_no_read_grows_with_the_tables(pg_dsn_of: Databases, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every GET of the API and every page of the console, with filters that find much and nothing."""
    monkeypatch.setattr(search, "SCANNED_MAX", SEARCHED_MAX)
    monkeypatch.setattr(search, "_STEP_MAX", 200)
    dsn = pg_dsn_of.create()
    with RunningFliq(database_url=dsn) as running:
        async with Client(running.url) as client:
            ids = await originals(client, sink)
            daily = {"url": f"{sink.url}/ok", "cron": "0 8 * * *"}
            ids["schedule"] = (await client.call("PUT", "/v1/schedules/by-key/digest", daily))[1]["id"]
        words = ("tokens", "create", "--account", "default", "--scopes", "read,read:payloads,read:secrets,operator")
        token = (await command(running, *words, "--json")).json["token"]
        await _as_large(dsn)
        async with _counted_api(running) as (url, pool):
            await copy(dsn, ids, dict.fromkeys(ENDS, FEW))
            few = await _rows_read(url, token, pool, ids)
            await copy(dsn, ids, dict.fromkeys(ENDS, MANY), made=FEW)
            many = await _rows_read(url, token, pool, ids)
    pg_dsn_of.drop(dsn)
    print(*(f"{few[each]:8} {many[each]:8} {each}" for each in many), sep="\n")
    assert {each: (few[each], read) for each, read in many.items() if read > few[each] + SLACK} == {}
    assert {each: read for each, read in many.items() if read > ROWS_MAX} == {}


async def _as_large(dsn: str) -> None:
    """
    Have the server read tables as it reads large ones.

    With every row seen by a vacuum, an index alone would answer, and what it reads is not counted. A table so small is in memory,
    and then it would be gone through where an index is asked later.
    """
    connection = await asyncpg.connect(dsn)
    try:
        for table in ("jobs", "specs", "labels"):
            await connection.execute(f"ALTER TABLE fliq.{table} SET (autovacuum_enabled = false)")
        await connection.execute(f'ALTER DATABASE "{database_of(dsn)}" SET random_page_cost = 1.1')
    finally:
        await connection.close()


@asynccontextmanager
async def _counted_api(running: RunningFliq) -> AsyncIterator[tuple[str, CountedPool]]:
    """Run an API with a console beside *running*; enter with its address and its pool."""
    environment = running.environment(FLIQ_PORT=str(free_port()), FLIQ_DATA_DIR=str(running.directory / "counted"))
    roles = ("api", "console")
    settings = Settings.from_env(environment, is_token=is_well_formed, roles=roles)
    async with AsyncExitStack() as stack:
        resources = await open_resources(settings, roles, stack)
        pool = CountedPool(resources.pools.callers)
        resources = dataclasses.replace(resources, pools=resources.pools._replace(callers=pool))
        service = await api_wiring.api(resources, stack, with_console=True)
        await service.start()
        stack.push_async_callback(service.stop)
        yield f"http://127.0.0.1:{settings.port}", pool


async def _rows_read(url: str, token: str, pool: CountedPool, ids: dict[str, str]) -> dict[str, int]:
    """Ask for everything once; return how many rows each took."""
    found = {}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        form, headers = {"token": token}, {"Sec-Fetch-Site": "same-origin"}
        async with session.post(f"{url}/console/login", data=form, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        for place in (*_answers(ids), *_pages(ids)):
            asked = url + place if place.startswith("/v1/") else f"{url}/console{place}"
            before = pool.rows
            async with session.get(asked, headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == (404 if place.endswith("/recover") else 200), (place, await answer.text())
                await answer.read()
            found[place] = pool.rows - before
    return found


def _answers(ids: dict[str, str]) -> list[str]:
    paths = [each.path for each in ROUTES if each.method == "GET" and each.path not in STREAMS]
    named = {
        "job_id": ids["failed"], "schedule_id": ids["schedule"], "endpoint_id": ids["endpoint"],
        "delivery_id": ids["exhausted"], "attempt_num": "1", "schedule_key": "digest",
    }  # fmt: skip
    return [with_query for path in paths for with_query in _filtered(path, path.format(**named))]


def _pages(ids: dict[str, str]) -> list[str]:
    of = {
        "/jobs/{}": "failed",
        "/schedules/{}": "schedule",
        "/webhooks/{}": "endpoint",
        "/webhooks/deliveries/{}": "exhausted",
    }
    paths = [path for method, path, _, _ in PAGES if method == "GET" and path not in STREAMS]
    filled = [(path, path.format(ids[of[path]]) if "{}" in path else path) for path in paths]
    return [with_query for path, place in filled for with_query in _filtered(path, place)]


def _filtered(path: str, place: str) -> list[str]:
    return [f"{place}?{query}" if query else place for query in FILTERS.get(path, ("",))]
