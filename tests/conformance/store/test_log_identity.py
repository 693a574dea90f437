"""The database remembers which log its tables are the fold of."""

import asyncio

import pytest

from libs.store.schema.log_identity import WrongLog, check_log, database_name
from libs.store.schema.migrate import migrate
from tests.fakes.running.postgres import Databases, fetch

HERE, THERE = "kafka abc/1", "kafka abc/2"


async def test_the_first_log_stays(pg_dsn: str) -> None:
    """The first one is remembered, the same one is welcome ever after, another one is refused in one line that says what to do."""
    await check_log(pg_dsn, HERE)  # without tables there is nothing to belong to anybody
    await migrate(pg_dsn, 2)
    await check_log(pg_dsn, HERE)
    await check_log(pg_dsn, HERE)
    with pytest.raises(WrongLog) as failure:
        await check_log(pg_dsn, THERE)
    said = str(failure.value)
    assert HERE in said
    assert THERE in said
    assert "set the log's address and topic as they were" in said
    assert "\n" not in said


async def test_a_database_has_a_name(pg_dsn_of: Databases) -> None:
    """One of its own, the same at every start."""
    first, second = pg_dsn_of.create(), pg_dsn_of.create()
    for dsn in (first, second):
        await migrate(dsn, 1)
    names = await asyncio.gather(*[database_name(dsn) for dsn in (first, first, second)])
    assert names[0] == names[1] == await database_name(first)
    assert names[0] != names[2]
    assert " " not in names[0]


async def test_of_two_that_start_at_once_one_is_refused(pg_dsn: str) -> None:
    """Whoever comes second finds the first one's log."""
    await migrate(pg_dsn, 2)
    ended = await asyncio.gather(check_log(pg_dsn, HERE), check_log(pg_dsn, THERE), return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["NoneType", "WrongLog"]


async def test_tables_from_before_belong_to_the_log_in_postgresql(pg_dsn: str) -> None:
    """A database that has positions and remembers no log was made when there was no other."""
    await migrate(pg_dsn, 2)
    await fetch(pg_dsn, "UPDATE fliq.progress SET position = 0 WHERE part = 1")
    with pytest.raises(WrongLog):
        await check_log(pg_dsn, HERE)
    await check_log(pg_dsn, "postgres")
