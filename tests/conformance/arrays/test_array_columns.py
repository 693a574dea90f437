"""The arrays of libs/runtime/postgres/array_columns.py, as a real server reads them."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from asyncpg.pgproto.pgproto import UUID

from libs.runtime.postgres.array_columns import send_arrays

COLUMNS: dict[str, list[Any]] = {
    "bool": [True, None, False],
    "bytea": [b"", b"\0\xff" * 3, None],
    "int2": [0, -(2**15), 2**15 - 1, None],
    "int4": [-(2**31), None, 2**31 - 1],
    "int8": [None, -(2**63), 2**63 - 1, 7],
    "text": ["", "é \N{SNOWMAN}", None, '"{},\\', "NULL", ""],
    "uuid": [UUID(bytes(16)), None, UUID(b"\xff" * 16)],
}


@pytest.mark.parametrize("kind", COLUMNS)
async def test_the_server_reads_what_the_driver_itself_would_send(pg_dsn: str, kind: str) -> None:
    """Values, nulls and no elements at all arrive as they do without our own way to write arrays, statement after statement."""
    ours, drivers = await asyncpg.connect(pg_dsn), await asyncpg.connect(pg_dsn)
    try:
        send_arrays(ours)
        for column in (COLUMNS[kind], COLUMNS[kind][:1], tuple(COLUMNS[kind]), [None], [], COLUMNS[kind] * 40):
            query = f"SELECT $1::{kind}[]::text, cardinality($1), array_ndims($1)"
            assert tuple(await ours.fetchrow(query, column)) == tuple(await drivers.fetchrow(query, column))
        listed = await ours.fetch(
            f"SELECT v FROM unnest($1::{kind}[]) WITH ORDINALITY AS u(v, n) ORDER BY n", COLUMNS[kind]
        )
        assert [row[0] for row in listed] == COLUMNS[kind]
    finally:
        await ours.close()
        await drivers.close()


@pytest.mark.parametrize(
    ("kind", "value"),
    [("int2", 2**15), ("int8", "seven"), ("text", "\ud800"), ("text", 7), ("bytea", "text"), ("uuid", 1)],
)
async def test_a_value_that_does_not_fit_is_refused_before_it_is_sent(pg_dsn: str, kind: str, value: object) -> None:
    """The error is the driver's own for bad input, and the connection goes on."""
    connection = await asyncpg.connect(pg_dsn)
    try:
        send_arrays(connection)
        with pytest.raises(asyncpg.DataError):
            await connection.fetch(f"SELECT unnest($1::{kind}[])", [value])
        assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connection.close()
