"""The schema comes into being once, whoever starts first."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from libs.store.errors import StoreUnavailable
from libs.store.pool import open_pool
from libs.store.schema.migrate import SchemaChanged, SchemaError, SchemaTooNew, Step, inspect_schema, migrate, steps
from tests.fakes.running.postgres import fetch

ROOT = Path(__file__).parents[3]
RELEASED = ROOT / "tests" / "golden" / "migrations.sha256"


async def test_twice_and_five_at_once_is_once(pg_dsn: str) -> None:
    """Concurrent starters wait for each other; each step is applied once, each partition has its rows once."""
    await asyncio.gather(*(migrate(pg_dsn, 4) for _ in range(5)))
    await migrate(pg_dsn, 4)
    assert await fetch(pg_dsn, "SELECT version FROM fliq.migrations") == [(step.number,) for step in steps()]
    assert await fetch(pg_dsn, "SELECT part, position FROM fliq.progress ORDER BY part") == [(p, -1) for p in range(4)]
    assert await fetch(pg_dsn, "SELECT role, count(*) FROM fliq.role_lease GROUP BY role ORDER BY role") == [
        ("dispatcher", 4),
        ("webhooks", 4),
    ]


async def test_more_partitions_are_added_and_none_is_touched(pg_dsn: str) -> None:
    """Growing the log adds rows; the positions of the others stay."""
    await migrate(pg_dsn, 2)
    await fetch(pg_dsn, "UPDATE fliq.progress SET position = 41 WHERE part = 1")
    await migrate(pg_dsn, 3)
    await migrate(pg_dsn, 1)
    assert await fetch(pg_dsn, "SELECT part, position FROM fliq.progress ORDER BY part") == [(0, -1), (1, 41), (2, -1)]


async def test_a_newer_schema_is_left_alone(pg_dsn: str) -> None:
    """An older build does not work on tables that it does not know."""
    await migrate(pg_dsn, 1)
    await fetch(pg_dsn, "INSERT INTO fliq.migrations (version, name) VALUES (9000, 'future')")
    with pytest.raises(SchemaTooNew, match="9000"):
        await migrate(pg_dsn, 1)


async def test_a_newer_schema_that_only_adds_is_worked_on(pg_dsn: str) -> None:
    """A release is rolled out node by node: what a step marked `expand` added does not keep the old build from starting."""
    newer = [*steps(), Step(9000, "9000_future.sql", "-- expand\nALTER TABLE jobs ADD COLUMN colour text", True)]
    assert [step.number for step in await migrate(pg_dsn, 1, known=newer)] == [step.number for step in newer]
    assert await migrate(pg_dsn, 1) == []
    assert (await inspect_schema(pg_dsn)).unknown == ((9000, True),)


async def test_a_step_that_was_changed_after_its_release_is_refused(pg_dsn: str) -> None:
    """Whoever applied another form of a step has other tables than this build believes."""
    await migrate(pg_dsn, 1)
    changed = [step._replace(sql=step.sql + "-- more") for step in steps()]
    with pytest.raises(SchemaChanged, match=steps()[0].name):
        await migrate(pg_dsn, 1, known=changed)


def test_released_steps_never_change() -> None:
    """Every step has the checksum that stands in tests/golden; a new one adds its line there."""
    assert [f"{step.checksum}  {step.name}" for step in steps()] == RELEASED.read_text().splitlines()


def test_every_step_but_the_first_says_what_it_does_to_older_builds() -> None:
    """Its first line is `-- expand` or `-- contract`, and numbers have no gaps."""
    assert [step.number for step in steps()] == list(range(1, len(steps()) + 1))
    for step in steps()[1:]:
        assert step.sql.splitlines()[0] in ("-- expand", "-- contract"), step.name


SLOW_STEP = Step(
    9001,
    "9001_slow.sql",
    "-- expand\nCREATE TABLE half_way (n int); INSERT INTO half_way VALUES (1); SELECT pg_sleep(60)",
    True,
)
MIGRATOR = """
import asyncio, sys
from libs.store.schema.migrate import Step, migrate, steps
asyncio.run(migrate(sys.argv[1], 2, known=[*steps(), Step(9001, "9001_slow.sql", sys.argv[2], True)]))
"""


async def test_a_migrator_killed_half_way_leaves_nothing_of_the_step(pg_dsn: str) -> None:
    """kill -9 in the middle of a step: the steps before it stand, it does not, and the next migrator goes on from there."""
    migrator = await asyncio.create_subprocess_exec(sys.executable, "-c", MIGRATOR, pg_dsn, SLOW_STEP.sql, cwd=ROOT)
    sleeping = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    async with asyncio.timeout(20):
        while not (pids := await fetch(pg_dsn, sleeping)):
            assert migrator.returncode is None
    os.kill(migrator.pid, signal.SIGKILL)
    await migrator.wait()
    # The server notices a client that is gone when it next writes to it; here it is told.
    await fetch(pg_dsn, f"SELECT pg_terminate_backend({pids[0][0]}, 10000)")
    assert [number for (number,) in await fetch(pg_dsn, "SELECT version FROM fliq.migrations ORDER BY 1")] == [
        step.number for step in steps()
    ]
    assert await fetch(pg_dsn, "SELECT to_regclass('fliq.half_way')") == [(None,)]
    quick = SLOW_STEP._replace(sql=SLOW_STEP.sql.replace("pg_sleep(60)", "pg_sleep(0)"))
    assert await migrate(pg_dsn, 2, known=[*steps(), quick]) == [quick]
    assert (await inspect_schema(pg_dsn)).partitions == 2


async def test_two_that_race_apply_a_step_once(pg_dsn: str) -> None:
    """Of five that find a step missing at the same moment one applies it; all come to their end."""
    await migrate(pg_dsn, 2)
    step = SLOW_STEP._replace(sql=SLOW_STEP.sql.replace("pg_sleep(60)", "pg_sleep(0.2)"))
    done = await asyncio.gather(*(migrate(pg_dsn, 3, known=[*steps(), step]) for _ in range(5)))
    assert sorted(map(len, done)) == [0, 0, 0, 0, 1]
    assert await fetch(pg_dsn, "SELECT count(*) FROM fliq.half_way") == [(1,)]


async def test_a_step_lets_the_services_pass_while_it_waits(pg_dsn: str) -> None:
    """A table that is in use is waited for in short turns: whoever came behind the migration gets its turn, then the step its."""
    await migrate(pg_dsn, 1)
    holder = await asyncpg.connect(pg_dsn)
    held = holder.transaction()
    await held.start()
    await holder.execute("LOCK TABLE fliq.jobs IN ACCESS SHARE MODE")
    step = Step(9002, "9002_jobs.sql", "-- expand\nALTER TABLE jobs ADD COLUMN colour text", True)
    migrating = asyncio.create_task(migrate(pg_dsn, 1, known=[*steps(), step]))
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(20):
        while not await fetch(pg_dsn, waiting):
            assert not migrating.done()
    async with asyncio.timeout(20):
        await fetch(pg_dsn, "SELECT count(*) FROM fliq.jobs")
    assert not migrating.done()
    await held.rollback()
    await holder.close()
    assert await migrating == [step]


async def test_who_may_not_create_can_start_once_it_is_done(pg_dsn: str) -> None:
    """`fliq migrate` is run by a role that may; the services' own role needs no more than to read and write."""
    await migrate(pg_dsn, 2)
    role = "reader_of_" + urlsplit(pg_dsn).path.lstrip("/")
    connection = await asyncpg.connect(pg_dsn)
    try:
        await connection.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA fliq TO {role};"
            f" GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA fliq TO {role}"
        )
        parts = urlsplit(pg_dsn)
        theirs = parts._replace(netloc=f"{role}:x@{parts.netloc.rpartition('@')[2]}").geturl()
        assert await migrate(theirs, 2) == []
        with pytest.raises(SchemaError, match="fliq migrate"):
            await migrate(theirs, 3)
    finally:
        await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await connection.close()


async def test_a_wrong_address_is_one_clear_error() -> None:
    """A server that is not there is `StoreUnavailable`, for the migration and for the pool."""
    with pytest.raises(StoreUnavailable):
        await migrate("postgresql://nobody@127.0.0.1:1/none", 1)
    with pytest.raises(StoreUnavailable):
        await open_pool("postgresql://nobody@127.0.0.1:1/none", name="test", size=1)


async def test_every_wait_of_a_pool_is_bounded(store_dsn: str) -> None:
    """Sessions carry timeouts, a name, our schema, and the commit that was asked for."""
    pool = await open_pool(store_dsn, name="bounded", size=1, settings={"synchronous_commit": "off"})
    shown = {
        name: await pool.fetchval(f"SHOW {name}")
        for name in ("statement_timeout", "lock_timeout", "synchronous_commit", "search_path", "application_name")
    }
    await pool.close()
    assert shown == {
        "statement_timeout": "10s",
        "lock_timeout": "10s",
        "synchronous_commit": "off",
        "search_path": "fliq",
        "application_name": "fliq bounded",
    }
