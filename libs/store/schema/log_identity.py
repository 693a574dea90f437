"""
Log identity: which log the tables were made from, so that records of another log are never added to them.

Positions of one log mean nothing in another. The first process that starts on an empty database stores the identity of its log
there. From then on a start with another log is refused.
"""

from typing import Any

from libs.store.pool import SCHEMA, connected

_NAME = "log"
_DATABASE = "database"
_FIRST = "postgres"  # the only log that existed before databases stored the identity


class WrongLog(Exception):
    """The tables belong to another log; the message is one line for the operator."""


async def check_log(dsn: str, identity: str) -> None:
    """
    Store that the tables belong to the log *identity*, or check that they do. Without tables, do nothing.

    Called before the schema is migrated, so that tables of another log are not changed, and once more after it.

    Raises:
        WrongLog: they belong to another log.
        StoreUnavailable: the server cannot be reached.
    """
    async with connected(dsn, "log identity") as connection:
        if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.instance") is None:
            return
        known = await _read(connection, _NAME)
        if known is None:
            # One statement: if processes start together, one stores it and the others find it.
            await connection.execute(
                "INSERT INTO instance (name, value) SELECT $1::text, convert_to(CASE WHEN EXISTS"
                " (SELECT FROM progress WHERE position >= 0) THEN $3::text ELSE $2::text END, 'UTF8') ON CONFLICT DO NOTHING",
                _NAME,
                identity,
                _FIRST,
            )
            known = await _read(connection, _NAME)
    if known != identity:
        raise WrongLog(
            f"the tables in this database were made from another log ({known}) than the one that is set ({identity}):"
            " set the log's address and topic as they were, or give this log an empty database, where its tables are made again"
        )


async def database_name(dsn: str) -> str:
    """
    Return the random name that this database got at its first start. It differs from that of every other database.

    Raises:
        StoreUnavailable: the server cannot be reached.
    """
    async with connected(dsn, "log identity") as connection:
        if await _read(connection, _DATABASE) is None:
            await connection.execute(
                "INSERT INTO instance (name, value)"
                " VALUES ($1, convert_to(gen_random_uuid()::text, 'UTF8')) ON CONFLICT DO NOTHING",
                _DATABASE,
            )
        return str(await _read(connection, _DATABASE))


async def known_log(dsn: str) -> str | None:
    """
    Return the identity of the log that the tables belong to; None if it is not stored. Changes nothing.

    Raises:
        StoreUnavailable: the server cannot be reached.
    """
    async with connected(dsn, "log identity") as connection:
        if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.instance") is None:
            return None
        return await _read(connection, _NAME)


async def _read(connection: Any, name: str) -> str | None:
    value = await connection.fetchval("SELECT value FROM instance WHERE name = $1", name)
    return None if value is None else value.decode(errors="replace")
