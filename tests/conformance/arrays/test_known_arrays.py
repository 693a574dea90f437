"""The arrays that libs/runtime/postgres/known_arrays.py knows, as a real server has them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest
from asyncpg.pgproto.pgproto import UUID

from libs.runtime.postgres.known_arrays import ARRAYS, KnownArrays

VALUES: dict[str, list[Any]] = {
    "_bool": [True, None, False],
    "_bytea": [b"", b"\0\xff", None],
    "_int2": [0, None, 2**15 - 1],
    "_int4": [-(2**31), None, 2**31 - 1],
    "_text": ["", None, '"{},\\', "NULL"],
    "_int8": [-(2**63), None],
    "_float8": [0.5, None, float("inf")],
    "_date": [date(2026, 2, 28), None],
    "_timestamptz": [datetime(2026, 2, 28, 1, 2, 3, 4, tzinfo=UTC), None],
    "_uuid": [UUID(bytes(16)), None],
}


class Connection(KnownArrays, asyncpg.Connection):  # type: ignore[misc]  # asyncpg carries no types
    """One that knows arrays."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The types that the server was asked for."""
    found: list[list[int]] = []
    original = asyncpg.Connection._introspect_types

    async def noted(self: Any, typeoids: Any, timeout: Any) -> Any:
        found.append(sorted(typeoids))
        return await original(self, typeoids, timeout)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", noted)
    return found


@pytest.mark.parametrize("oid", ARRAYS)
async def test_an_array_comes_and_goes_without_a_question(pg_dsn: str, asked: list[list[int]], oid: int) -> None:
    """The server has the type under this number; values, nulls, nothing and two dimensions come back as they were sent."""
    name, element = ARRAYS[oid]
    connection = await asyncpg.connect(pg_dsn, connection_class=Connection)
    try:
        row = await connection.fetchrow("SELECT typname, typelem FROM pg_type WHERE oid = $1", oid)
        assert tuple(row) == (name, element)
        for value in (VALUES[name], [], [None], [VALUES[name], VALUES[name]]):
            assert await connection.fetchval(f"SELECT $1::{name[1:]}[]", value) == value
        assert await connection.fetchval(f"SELECT $1::{name[1:]}[] FROM generate_series(1, 2)", None) is None
        with pytest.raises(asyncpg.DataError):
            await connection.fetchval(f"SELECT $1::{name[1:]}[]", 7)
    finally:
        await connection.close()

    assert asked == []


async def test_other_types_are_asked_for(pg_dsn: str, asked: list[list[int]]) -> None:
    """Alone, and in one statement with arrays that are known."""
    connection = await asyncpg.connect(pg_dsn, connection_class=Connection)
    try:
        assert await connection.fetchval("SELECT $1::int4range::text", asyncpg.Range(1, 5)) == "[1,5)"
        row = await connection.fetchrow("SELECT $1::int4[], $2::numeric[]", [1], [2])
        assert tuple(row) == ([1], [2])
    finally:
        await connection.close()

    assert asked == [[3904], [1007, 1231]]
