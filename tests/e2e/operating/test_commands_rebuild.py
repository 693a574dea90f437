"""A rebuild under load: the tables are put in place while callers create, read and cancel, and every job fires once."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import asyncpg
import pytest

from tests.chaos.judging import record
from tests.chaos.judging.checker import check
from tests.chaos.load import Load
from tests.fakes.running.fold import assert_tables_are_the_fold
from tests.fakes.running.operating import FLIQ, begin, command
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, RunningFliq

FATES = {"plain": 4, "cancel": 1}
PER_S = 40.0
RETRY_BASE_MS = 200.0
LATE_MS = 10_000.0  # how late is another test's matter
SHELL = ("bash", "-o", "pipefail", "-c")  # says how the first command of a pipe ended
LIFE_OF_A_CANCELLED_JOB = ["job.scheduled", "job.cancel_requested", "job.cancelled"]


async def table_oids(fliq: RunningFliq) -> list[int]:
    """Return which tables serve."""
    connection = await asyncpg.connect(fliq.settings["FLIQ_DATABASE_URL"])
    try:
        return await connection.fetchval("SELECT ARRAY['fliq.jobs'::regclass::oid, 'fliq.specs'::regclass::oid]")  # type: ignore[no-any-return]
    finally:
        await connection.close()


@pytest.mark.everywhere
@pytest.mark.topologies("embedded", "kafka")
async def test_the_tables_change_under_load(own_fliq: RunningFliq, sink: Sink) -> None:
    """No request fails but for cancels that are asked again, no promise is broken, the tables are the fold of the log."""
    async with Client(own_fliq.url) as client, Load(own_fliq.url, sink.url, seed=1, fates=FATES) as load:
        done = asyncio.Event()
        storm = asyncio.create_task(load.storm(per_s=PER_S, seconds=120, until=done.is_set))
        await sink.wait_count(20)
        before = await table_oids(own_fliq)
        answer = await command(own_fliq, "rebuild", "--json")
        assert answer.code == 0, answer.err
        assert answer.json["switched"] is True
        assert answer.json["differences"] == 0, answer.out
        await sink.wait_count(len(sink.arrivals) + 20)
        assert set(before).isdisjoint(await table_oids(own_fliq))
        done.set()
        await storm
        await load.settle()
        for made in [each for each in load.operations if each.kind == "create" and each.id]:
            await client.wait_status(made.id or "")
        load.begin("plain")  # what would come too late is behind this one
        await load.settle()
        await sink.wait_for(lambda: sink.of(load.operations[-1].id or ""))
        lived = await record.history(load, sink, client, [], retry_base_ms=RETRY_BASE_MS)
        waiting = await client.create(f"{sink.url}/ok", 60.0)
        assert (await client.call("DELETE", f"/v1/jobs/{waiting['id']}"))[0] == 204
    # While nobody owns the partition a cancel may stay undecided: the answer says so, and asking again is safe.
    assert {each.kind for each in load.operations if each.outcome == "info"} <= {"cancel"}
    assert [str(each) for each in check(lived, late_ms=LATE_MS)] == []
    cancelled = [each.id for each in load.operations if each.kind == "cancel" and each.outcome == "ok"]
    dumped = await command(own_fliq, "log", "dump", "--job", waiting["id"])
    assert [json.loads(line)["type"] for line in dumped.out.splitlines()] == LIFE_OF_A_CANCELLED_JOB, dumped.err
    # Kept elsewhere, the log needs no way to the tables: those of this database are not asked for.
    alone = {"FLIQ_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"} if own_fliq.topology == "kafka" else {}
    counted = await command(own_fliq, "log", "stats", "--json", **alone)
    assert counted.json["types"]["job.cancelled"]["records"] == len(set(cancelled)) + 1, counted.err


@pytest.mark.everywhere
@pytest.mark.topologies("embedded")
async def test_one_that_is_killed_leaves_the_old_tables(
    own_fliq: RunningFliq, client_of_own: Client, sink: Sink
) -> None:
    """Killed right before the switch; the old tables serve, the next run clears up and succeeds."""
    job = await client_of_own.create(f"{sink.url}/first", 0.2)
    await client_of_own.wait_status(job["id"])
    before = await table_oids(own_fliq)
    dump = await asyncpg.connect(own_fliq.settings["FLIQ_DATABASE_URL"])
    try:
        async with dump.transaction():  # somebody reads the old tables: the switch tries again and again
            await dump.fetchval("SELECT count(*) FROM fliq.jobs")
            process = await begin(own_fliq, "rebuild")
            await said(process, "switching")
            refused = await command(own_fliq, "rebuild")
            assert (refused.code, "under way" in refused.err) == (1, True)
            process.send_signal(signal.SIGKILL)
            await process.wait()
    finally:
        await dump.close()
    assert await table_oids(own_fliq) == before
    second = await client_of_own.create(f"{sink.url}/second", 0.2)
    await client_of_own.wait_status(second["id"])
    answer = await command(own_fliq, "rebuild", "--json")
    assert (answer.code, answer.json["switched"], answer.json["differences"]) == (0, True, 0)
    assert set(await table_oids(own_fliq)).isdisjoint(before)
    assert (await client_of_own.job(second["id"]))["status"] == "success"


async def test_log_of_a_running_fliq(own_fliq: RunningFliq, client_of_own: Client, sink: Sink) -> None:
    """`fliq log tail` shows a job's life as it happens and ends with Ctrl-C or when nobody reads; `verify` runs beside it."""
    tail = await begin(own_fliq, "log", "tail", "-n", "0", "--type", "job.finished")
    head = await begin(own_fliq, f"{' '.join(FLIQ)} log tail -n 1000 | head -n 1", program=SHELL)
    job = await client_of_own.create(f"{sink.url}/job", 0.2, headers={"X-Key": "hidden-value"})
    await client_of_own.wait_status(job["id"])
    assert tail.stdout is not None
    async with asyncio.timeout(20):
        # The first job may have ended before the tail was there; the next one, or the one after, has not.
        while not (line := await poke(client_of_own, sink, tail.stdout)):
            pass
    assert b'"job.finished"' in line
    tail.send_signal(signal.SIGINT)
    assert await tail.wait() == 0
    async with asyncio.timeout(20):
        out, err = await head.communicate()
    assert (head.returncode, len(out.splitlines()), err) == (0, 1, b"")
    dumped = await command(own_fliq, "log", "dump", "--job", job["id"])
    assert [word in dumped.out for word in ("job.scheduled", "attempt.due", "X-Key", "hidden-value")] == [True] * 3 + [
        False
    ]
    assert (await command(own_fliq, "verify")).code == 0
    assert_tables_are_the_fold(own_fliq)


def test_with_the_database_that_comes_along() -> None:
    """The commands find the embedded PostgreSQL by FLIQ_DATA_DIR: beside `fliq all`, and by starting it while that is stopped."""
    running = RunningFliq(database_url=None)
    try:
        running.start()
        beside = asyncio.run(command(running, "log", "stats", "--json"))
        assert beside.json["claims"] == 4
        running.stop()
        stopped = asyncio.run(command(running, "rebuild", "--json"))
        assert (stopped.code, stopped.json["switched"], stopped.json["records"]) == (0, True, beside.json["records"])
        running.start()  # on the tables that were put in place
        assert asyncio.run(command(running, "verify")).code == 0
    finally:
        running.close()


async def poke(client: Client, sink: Sink, output: asyncio.StreamReader) -> bytes:
    """Have one more job end, and return the line that came of it, if any."""
    await client.wait_status((await client.create(f"{sink.url}/job", 0.1))["id"])
    try:
        return await asyncio.wait_for(output.readline(), 1.0)
    except TimeoutError:
        return b""


@pytest.fixture
async def client_of_own(own_fliq: RunningFliq) -> Any:
    async with Client(own_fliq.url) as client:
        yield client


async def said(process: asyncio.subprocess.Process, word: str) -> None:
    """Return once *process* said *word* on its standard error."""
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while line := await process.stderr.readline():
            if word.encode() in line:
                return
    raise AssertionError(f"it ended without saying {word}")
