"""
Row hashes: compares two copies of the tables by one number for each table and partition.

The number is the sum of a 64-bit hash of every row, so it depends neither on the order of rows nor on how they came to be
there. The server computes it. If two numbers differ, the rows of both copies are read in the order of their keys and compared
one by one.
"""

from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

from libs.events.ids import from_int
from libs.store.projection import rows
from libs.store.projection.table_registry import FOLD_TABLES, STATE_TABLES
from libs.store.rebuild.difference import HIDDEN, SHOWN, Differences

_TEXTS: Final = ("account", "key", "value")  # columns of keys that hold text
ROWS: Final = 5_000  # fetched at once
TIMEOUT_S: Final = 3_600.0  # hashing a table of hundreds of millions of rows


class TableHash(NamedTuple):
    """How many rows a partition has in a table, and the sum of their hashes."""

    rows: int
    hash: int


Hashes = dict[tuple[int, str], TableHash]


async def hashes(connection: Any, schema: str) -> Hashes:
    """Return the hash of each table and partition of *schema* that has rows, by partition and table."""
    found: Hashes = {}
    for table in FOLD_TABLES:
        query = (
            "SELECT part, count(*) AS rows, sum(hashtextextended(t::text, 0)::numeric)::text AS hash"  # noqa: S608
            f" FROM {schema}.{table} t GROUP BY part"
        )
        for row in await connection.fetch(query, timeout=TIMEOUT_S):
            found[row["part"], table] = TableHash(row["rows"], int(row["hash"]))
    return found


async def differences(
    old: Any, new: Any, schemas: tuple[str, str], old_hashes: Hashes, new_hashes: Hashes
) -> Differences:
    """
    Return the rows that differ: *old* are the tables, *new* is what the log says.

    Both connections must be in a transaction that sees the rows that were hashed.
    """
    found = Differences()
    for part, table in sorted(old_hashes.keys() | new_hashes.keys()):
        if old_hashes.get((part, table)) != new_hashes.get((part, table)):
            await _compare(found, old, new, schemas, part, table)
    return found


async def _compare(found: Differences, old: Any, new: Any, schemas: tuple[str, str], part: int, table: str) -> None:
    ours, theirs = (_keys(side, schema, part, table) for side, schema in zip((old, new), schemas, strict=True))
    mine, other = await anext(ours, None), await anext(theirs, None)
    while mine is not None or other is not None:
        if other is None or (mine is not None and mine[0] < other[0]):
            found.add(part, table, _name(table, mine[0]), "only in the tables")  # type: ignore[index]  # not both are None
            mine = await anext(ours, None)
        elif mine is None or other[0] < mine[0]:
            found.add(part, table, _name(table, other[0]), "only in the log")
            other = await anext(theirs, None)
        else:
            if mine[1] != other[1]:
                shown = found.counts[part, table] < SHOWN
                columns = await _columns(old, new, schemas, table, mine[0]) if shown else None
                found.add(part, table, _name(table, mine[0]), "changed", columns)
            mine, other = await anext(ours, None), await anext(theirs, None)


async def _keys(connection: Any, schema: str, part: int, table: str) -> AsyncIterator[tuple[tuple[Any, ...], int]]:
    """Yield key and hash of each row, in the order of keys as Python compares them."""
    keys = ", ".join(f'{key} COLLATE "C"' if key in _TEXTS else key for key in FOLD_TABLES[table])
    query = (
        f"SELECT {', '.join(FOLD_TABLES[table])}, hashtextextended(t::text, 0) AS hash"  # noqa: S608
        f" FROM {schema}.{table} t WHERE part = $1 ORDER BY {keys}"
    )
    cursor = await connection.cursor(query, part, timeout=TIMEOUT_S)
    while batch := await cursor.fetch(ROWS, timeout=TIMEOUT_S):
        for row in batch:
            yield tuple(row[key] for key in FOLD_TABLES[table]), row["hash"]


async def _columns(
    old: Any, new: Any, schemas: tuple[str, str], table: str, key: tuple[Any, ...]
) -> dict[str, tuple[Any, Any]]:
    condition = " AND ".join(f"{name} = ${number}" for number, name in enumerate(FOLD_TABLES[table], 1))
    mine, other = [
        dict(await side.fetchrow(f"SELECT * FROM {schema}.{table} WHERE {condition}", *key))  # noqa: S608
        for side, schema in zip((old, new), schemas, strict=True)
    ]
    return {
        name: (None, None) if name in HIDDEN else (_shown(mine.get(name)), _shown(value))
        for name, value in other.items()
        if mine.get(name) != value
    }


def _name(table: str, key: tuple[Any, ...]) -> str:
    if table == "specs":
        return from_int("job", key[0].int).removeprefix("job_")  # of a job or of a schedule: the row does not say
    if table in ("executions", "responses"):
        return f"{rows.job_id_of(key[0])} {key[1]}"
    if table == "labels":
        return f"{rows.job_id_of(key[3])} {key[1]}={key[2]}"
    if table == "history":
        return ""
    if table == "usage_daily":
        return f"{key[0]} {key[1]}"
    return from_int(next(each.kind.id_kind for each in STATE_TABLES if each.name == table), key[0].int)


def _shown(value: Any) -> Any:
    """Return a column's value as JSON can carry it."""
    if isinstance(value, bytes) and value[:1] == b"{":
        return value.decode()  # a struct; positions begin with other bytes
    if isinstance(value, bytes):
        return list(rows.unpack_offsets(value)) if len(value) % 8 == 0 else value.hex()
    return value if value is None or isinstance(value, bool | int | str) else str(value)
