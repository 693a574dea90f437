"""A rolling upgrade: two builds at work on the same log and tables, and the way back."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from libs.events import Envelope
from libs.events.ids import partition_of
from tests.fakes.running.newer_build import NEW_RECORD, NEW_STEP, NEW_TYPE, NEW_VERSION
from tests.fakes.running.operating import command, until_held
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, FliqOf, FliqProcess, RunningFliq, free_port
from tests.fakes.until import until

HALTED = 1  # the partition that gets a record which only the newer build understands


def newer(fliq: RunningFliq, **settings: str) -> FliqProcess:
    """Start a process of the newer build beside *fliq*."""
    process = fliq.spawn("all", module="tests.fakes.running.newer_build", FLIQ_PORT=str(free_port()), **settings)
    fliq.processes.append(process)
    process.wait_ready()
    return process


def readiness(process: FliqProcess) -> str:
    """Return what /readyz says."""
    try:
        with urllib.request.urlopen(f"{process.admin_url}/readyz", timeout=5) as answer:  # noqa: S310 - ours
            return answer.read().decode()  # type: ignore[no-any-return]
    except urllib.error.HTTPError as error:
        return error.read().decode()


async def fires(client: Client, sink: Sink, count: int = 12) -> list[dict[str, Any]]:
    """Create jobs that are due at once, and return them once all have succeeded."""
    jobs = [await client.create(f"{sink.url}/upgrade", 0.3 + n / 50) for n in range(count)]
    done = [await client.wait_status(job["id"], timeout_s=60) for job in jobs]
    assert {job["status"] for job in done} == {"success"}
    assert all(len({arrival.execution_id for arrival in sink.of(job["id"])}) == 1 for job in jobs)
    return jobs


async def test_old_and_new_work_together_and_the_old_can_come_back(fliq_of: FliqOf, sink: Sink) -> None:
    """
    The newer build extends the tables and writes more into its events; the old one goes on, starts again on them, and answers for
    the newer one's jobs. Records of a type that may be skipped are passed over by it.
    """
    fliq = fliq_of("embedded", FLIQ_NODE="old")
    with fliq:
        old = fliq.processes[0]
        new = newer(fliq, FLIQ_NODE="new")
        async with Client(old.url) as to_old, Client(new.url) as to_new:
            assert {partition_of(job["id"]) for job in await fires(to_new, sink, 20)}
            jobs = [*await fires(to_old, sink), *await fires(to_new, sink)]
            for job in jobs:
                assert (await to_old.job(job["id"]))["status"] == (await to_new.job(job["id"]))["status"] == "success"

            async with fliq.open_log() as log:
                for partition in range(await log.partitions()):
                    await log.append(partition, [Envelope("fleet.painted", 1, False, None, "owner", b"\x00")])
            await fires(to_old, sink)

        seen = await command(fliq, "doctor")
        assert f"different builds are at work: 0.1.0, {NEW_VERSION}" in seen.out
        assert "newer than this build, which can work on it" in seen.out
        assert (await command(fliq, "migrate", "--check")).code == 0
        await asyncio.to_thread(old.stop)
        fliq.processes[0] = old = old.again()
        await asyncio.to_thread(old.wait_ready)
        async with Client(old.url) as to_old:
            await asyncio.to_thread(new.stop)
            await fires(to_old, sink)


@pytest.mark.nightly  # by day tests/simulation/test_left_partitions.py and test_scheduler_service.py show it role by role
async def test_what_must_be_understood_is_left_to_who_does(fliq_of: FliqOf, sink: Sink) -> None:
    """
    The old build stops before a record that it must understand, says so, and goes on with its other partitions; the newer one takes
    the partition over in every role, and what waited there fires.
    """
    fliq = fliq_of("embedded", FLIQ_NODE="old")
    with fliq:
        old = fliq.processes[0]
        async with fliq.open_log() as log:
            await log.append(HALTED, [NEW_RECORD])
        await until(lambda: asyncio.to_thread(lambda: NEW_TYPE in readiness(old)))
        halted = await command(fliq, "doctor", "--json")
        assert halted.code == 1
        assert any(NEW_TYPE in each["text"] for each in halted.json["findings"] if each["check"] == "halted")

        async with Client(old.url) as client:
            others = [await client.create(f"{sink.url}/others", 0.5 + n / 50) for n in range(16)]
            for job in others:
                if partition_of(job["id"]) != HALTED:
                    assert (await client.wait_status(job["id"], timeout_s=60))["status"] == "success"
        waiting = [job for job in others if partition_of(job["id"]) == HALTED]
        assert waiting
        assert not any(sink.of(job["id"]) for job in waiting)

        new = newer(fliq, FLIQ_NODE="new")
        await until_held(fliq, lambda nodes: nodes[HALTED] == "new")
        async with Client(new.url) as client:
            for job in waiting:
                assert (await client.wait_status(job["id"], timeout_s=60))["status"] == "success"
            await asyncio.to_thread(old.stop)
            await fires(client, sink)
        assert NEW_STEP.number in json.loads((await command(fliq, "migrate", "--check", "--json")).out)["newer"]


async def test_a_contracted_schema_keeps_the_old_build_out(fliq_of: FliqOf) -> None:
    """Once a step took something away, the old build does not start: one line, exit code 1, and nothing is touched."""
    fliq = fliq_of("embedded")
    assert (await command(fliq, "migrate")).code == 0
    dsn = fliq.settings["FLIQ_DATABASE_URL"]
    await _execute(dsn, "INSERT INTO fliq.migrations (version, name, kind) VALUES (9001, '9001_less.sql', 'contract')")
    refused = await command(fliq, "all", FLIQ_ADMIN_PORT=str(free_port()))
    assert refused.code == 1
    assert refused.err.splitlines()[-1] == (
        "fliq: the database is at schema 9001, which this build does not know; start a newer one"
    )
    fliq.close()


async def _execute(dsn: str, statement: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


pytestmark = pytest.mark.timeout(300)  # a machine that many share
