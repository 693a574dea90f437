"""The fixture that other tests stand on: every test gets an empty database of its own."""

from __future__ import annotations

import asyncpg
import pytest

from tests.fakes.running.postgres import Databases, database_of


@pytest.mark.parametrize("round_number", [1, 2, 3])
async def test_each_test_finds_an_empty_database(pg_dsn: str, round_number: int) -> None:
    """A table made by one test is not seen by the next."""
    connection = await asyncpg.connect(pg_dsn)
    try:
        await connection.execute("CREATE TABLE mine (n int)")
    finally:
        await connection.close()


async def test_a_prepared_database_can_be_copied(pg_dsn: str, pg_dsn_of: Databases) -> None:
    """A database made from a template has its rows."""
    connection = await asyncpg.connect(pg_dsn)
    try:
        await connection.execute("CREATE TABLE mine AS SELECT 7 AS n")
    finally:
        await connection.close()
    copy_dsn = pg_dsn_of.create(template=database_of(pg_dsn))
    copy = await asyncpg.connect(copy_dsn)
    try:
        assert await copy.fetchval("SELECT n FROM mine") == 7
    finally:
        await copy.close()
        pg_dsn_of.drop(copy_dsn)
