"""
Migrate: bring the schema up to this build's, whoever starts first.

Every process calls it at its start. An advisory lock lets one work while the others wait, everything happens in one transaction,
and a step once applied is never run again: a migrator that dies half-way leaves nothing behind.
"""

from importlib.resources import files

import asyncpg

from libs.store.errors import StoreUnavailable, translated
from libs.store.pool import CONNECT_TIMEOUT_S, SCHEMA

ROLES = ("dispatcher", "webhooks")
_LOCK_KEY = 0x666C6971  # 'fliq'
_TIMEOUT_S = 120.0  # a migration may rewrite a table


class SchemaTooNew(Exception):
    """The database was migrated by a newer build, which this one does not know."""


def steps() -> list[tuple[int, str, str]]:
    """Return the migrations in order: number, file name, SQL."""
    folder = files("libs.store") / "migrations"
    found = sorted((entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name[:4]), name, sql) for name, sql in found]


async def migrate(dsn: str, partitions: int) -> None:
    """
    Make or extend the schema, and the progress and lease rows of partitions 0 to *partitions* - 1.

    Raises:
        SchemaTooNew: a newer build was here.
        StoreUnavailable: the server cannot be reached, or another migrator did not finish in time.
    """
    with translated():
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=_TIMEOUT_S,
            server_settings={"application_name": "fliq migrate", "search_path": SCHEMA},
        )
        try:
            async with connection.transaction():
                # Taken before the first look: two that start at once must not both see an empty database.
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY)
                await _apply(connection)
                await _add_partitions(connection, partitions)
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (version int4 PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    done = {row["version"] for row in await connection.fetch("SELECT version FROM migrations")}
    known = steps()
    if unknown := done - {number for number, _, _ in known}:
        raise SchemaTooNew(
            f"the database is at schema {max(unknown)}, which this build does not know; start a newer one"
        )
    for number, name, sql in known:
        if number not in done:
            await connection.execute(sql)
            await connection.execute("INSERT INTO migrations (version, name) VALUES ($1, $2)", number, name)


async def _add_partitions(connection: "asyncpg.Connection[asyncpg.Record]", partitions: int) -> None:
    await connection.execute(
        "INSERT INTO progress (part) SELECT generate_series(0, $1::int4 - 1) ON CONFLICT DO NOTHING", partitions
    )
    await connection.execute(
        "INSERT INTO role_lease (role, part)"
        " SELECT role, part FROM unnest($2::text[]) role, generate_series(0, $1::int4 - 1) part ON CONFLICT DO NOTHING",
        partitions,
        list(ROLES),
    )


__all__ = ["ROLES", "SchemaTooNew", "StoreUnavailable", "migrate", "steps"]
