"""The schema comes into being once, whoever starts first."""

import asyncio

import asyncpg
import pytest

from libs.store.errors import StoreUnavailable
from libs.store.migrate import SchemaTooNew, migrate, steps
from libs.store.pool import open_pool


async def _fetch(dsn: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_twice_and_five_at_once_is_once(pg_dsn: str) -> None:
    """Concurrent starters wait for each other; each step is applied once, each partition has its rows once."""
    await asyncio.gather(*(migrate(pg_dsn, 4) for _ in range(5)))
    await migrate(pg_dsn, 4)
    assert await _fetch(pg_dsn, "SELECT version FROM fliq.migrations") == [(number,) for number, _, _ in steps()]
    assert await _fetch(pg_dsn, "SELECT part, position FROM fliq.progress ORDER BY part") == [(p, -1) for p in range(4)]
    assert await _fetch(pg_dsn, "SELECT role, count(*) FROM fliq.role_lease GROUP BY role ORDER BY role") == [
        ("dispatcher", 4),
        ("webhooks", 4),
    ]


async def test_more_partitions_are_added_and_none_is_touched(pg_dsn: str) -> None:
    """Growing the log adds rows; the positions of the others stay."""
    await migrate(pg_dsn, 2)
    await _fetch(pg_dsn, "UPDATE fliq.progress SET position = 41 WHERE part = 1 RETURNING 1")
    await migrate(pg_dsn, 3)
    await migrate(pg_dsn, 1)
    assert await _fetch(pg_dsn, "SELECT part, position FROM fliq.progress ORDER BY part") == [(0, -1), (1, 41), (2, -1)]


async def test_a_newer_schema_is_left_alone(pg_dsn: str) -> None:
    """An older build does not work on tables that it does not know."""
    await migrate(pg_dsn, 1)
    await _fetch(pg_dsn, "INSERT INTO fliq.migrations (version, name) VALUES (9000, 'future') RETURNING 1")
    with pytest.raises(SchemaTooNew, match="9000"):
        await migrate(pg_dsn, 1)


async def test_a_wrong_address_is_one_clear_error() -> None:
    """A server that is not there is `StoreUnavailable`, for the migration and for the pool."""
    with pytest.raises(StoreUnavailable):
        await migrate("postgresql://nobody@127.0.0.1:1/none", 1)
    with pytest.raises(StoreUnavailable):
        await open_pool("postgresql://nobody@127.0.0.1:1/none", name="test", size=1)


async def test_every_wait_of_a_pool_is_bounded(store_dsn: str) -> None:
    """Sessions carry timeouts, a name, our schema, and the commit that was asked for."""
    pool = await open_pool(store_dsn, name="bounded", size=1, asynchronous_commit=True)
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
