"""Backup and restore, as docs/operations.md describes them."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from libs.runtime.embedded_postgres.binaries import PostgresBinaries
from libs.runtime.embedded_postgres.unprivileged import server_user
from tests.fakes.running.operating import command
from tests.fakes.running.postgres import Databases
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, FliqOf, RunningFliq

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]


async def program(name: str, *words: str) -> None:
    """Run one of PostgreSQL's client programs, of the version of the server of the tests."""
    directory = PostgresBinaries.find(server_user(Path.cwd()), say=lambda _: None).directory
    done = await asyncio.to_thread(
        subprocess.run, [directory / name, *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_an_older_database_catches_up_from_kafka(
    fliq_of: FliqOf, pg_dsn_of: Databases, sink: Sink, tmp_path: Path
) -> None:
    """
    A dump of a running Fliq, restored later: what was asked for since is there again and fires once; what has fired does not again.
    """
    fliq = fliq_of("kafka", counts={"all": 1})
    fliq.start()
    try:
        async with Client(fliq.url) as client:
            before = [await client.create(f"{sink.url}/before", 0.2 + n / 20) for n in range(10)]
            pending = await client.create(f"{sink.url}/pending", 30.0)
            for job in before:
                await client.wait_status(job["id"])
            dump = tmp_path / "fliq.dump"
            await program("pg_dump", "--format=custom", f"--file={dump}", fliq.settings["FLIQ_DATABASE_URL"])

            since = [await client.create(f"{sink.url}/since", 0.2 + n / 20) for n in range(10)]
            later = await client.create(f"{sink.url}/later", 30.0)
            cancelled = await client.create(f"{sink.url}/cancelled", 25.0)
            assert (await client.call("DELETE", f"/v1/jobs/{cancelled['id']}"))[0] == 204
            for job in since:
                await client.wait_status(job["id"])
        assert fliq.stop() == [0]

        restored = pg_dsn_of.create()
        await program("pg_restore", f"--dbname={restored}", "--no-owner", str(dump))
        fliq.settings["FLIQ_DATABASE_URL"] = restored
        fliq.start()
        async with Client(fliq.url) as client:
            for job in [*before, *since]:
                assert (await client.job(job["id"]))["status"] == "success"
            assert (await client.job(cancelled["id"]))["status"] == "cancelled"
            for job in (pending, later):
                assert (await client.wait_status(job["id"], timeout_s=60))["status"] == "success"
        for job in [*before, *since, pending, later]:
            assert len(sink.of(job["id"])) == 1
        assert not sink.of(cancelled["id"])
        verified = await command(fliq, "verify")
        assert verified.code == 0, verified.out
    finally:
        fliq.close()


async def test_a_copied_data_directory_is_the_state_of_its_moment(sink: Sink) -> None:
    """With the log in the embedded PostgreSQL the copy holds tables and log: it goes on as of then, and knows nothing later."""
    fliq = RunningFliq(topology="embedded", database_url=None)
    data = Path(fliq.settings["FLIQ_DATA_DIR"])
    copy = data.with_name("copy")
    fliq.start()
    try:
        async with Client(fliq.url) as client:
            done = await client.create(f"{sink.url}/done", 0.2)
            await client.wait_status(done["id"])
            pending = await client.create(f"{sink.url}/pending", 20.0)
        assert fliq.stop() == [0]
        await program_of_the_shell("cp", "-a", str(data), str(copy))

        fliq.start()
        async with Client(fliq.url) as client:
            lost = await client.create(f"{sink.url}/lost", 0.2)
            await client.wait_status(lost["id"])
        assert fliq.stop() == [0]

        shutil.rmtree(data)
        copy.rename(data)
        fliq.start()
        async with Client(fliq.url) as client:
            assert (await client.job(done["id"]))["status"] == "success"
            assert (await client.call("GET", f"/v1/jobs/{lost['id']}"))[0] == 404
            assert (await client.wait_status(pending["id"], timeout_s=40))["status"] == "success"
        assert len(sink.of(pending["id"])) == len(sink.of(done["id"])) == 1
        verified = await command(fliq, "verify")
        assert verified.code == 0, verified.out
    finally:
        fliq.close()


async def program_of_the_shell(*words: str) -> None:
    """Run what an operator types."""
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
