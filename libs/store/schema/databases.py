"""Databases: one server can hold the tables of several logs, each in a database of its own."""

import asyncpg

from libs.store.pool import connected

_CREATE_S = 30.0


async def ensure_database(dsn: str, name: str) -> None:
    """
    Make the database *name* on the server at *dsn*, unless it exists.

    Args:
        name: lower-case letters, digits and underscores.

    Raises:
        ValueError: any other name.
        StoreUnavailable: the server cannot be reached.
    """
    if not (name.isascii() and name.isidentifier() and name == name.lower()):
        raise ValueError(f"{name!r} is no name for a database")
    async with connected(dsn, "databases", timeout_s=_CREATE_S) as connection:
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        except asyncpg.DuplicateDatabaseError:
            pass  # from an earlier start


async def has_database(dsn: str, name: str) -> bool:
    """
    Return whether the server at *dsn* has the database *name*.

    Raises:
        StoreUnavailable: the server cannot be reached.
    """
    async with connected(dsn, "databases", timeout_s=_CREATE_S) as connection:
        return bool(await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name))
