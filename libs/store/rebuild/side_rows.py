"""
Side rows: writes what a replay folded into the side tables: new rows by COPY, the others by one statement for each table.

Most of what happens to a job happens within one batch of records, so most rows are copied once and never touched again. A row
that a later batch changes is updated by its key. The connection's schema is the side tables' own.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, Final

from msgspec.structs import astuple

from libs.domain.history.floors import FIELDS
from libs.domain.state_registry import State
from libs.store.projection import rows
from libs.store.projection.changes import PartitionChanges
from libs.store.projection.table_registry import FOLD_TABLES, STATE_TABLES

_EXECUTIONS: Final = ("part", *rows.EXECUTION_COLUMNS)
_SPECS: Final = ("part", "spec_id", "spec")
_USAGE: Final = ("part", "account", "day", "executions")
_FLOORS: Final = ("part", *FIELDS)


def _update(table: str, columns: Sequence[str]) -> str:
    keys = FOLD_TABLES[table]
    changed = ", ".join(f"{name} = u.{name}" for name in columns if name not in keys)
    return f"UPDATE {table} t SET {changed} FROM new_{table} u WHERE " + " AND ".join(  # noqa: S608 - our own names
        f"t.{key} = u.{key}" for key in keys
    )


# Table -> what moves its rows from the temporary table over.
_MERGES: Final[dict[str, str]] = {
    **{table.name: _update(table.name, table.columns) for table in STATE_TABLES},
    "executions": _update("executions", rows.EXECUTION_COLUMNS),
    "usage_daily": f"INSERT INTO usage_daily AS t ({', '.join(_USAGE)}) SELECT {', '.join(_USAGE)} FROM new_usage_daily"  # noqa: S608
    " ON CONFLICT (account, day, part) DO UPDATE SET executions = t.executions + excluded.executions",
    "history": f"INSERT INTO history AS h ({', '.join(_FLOORS)}) SELECT {', '.join(_FLOORS)} FROM new_history"  # noqa: S608
    f" {rows.FLOORS_RISE}",
}


async def prepare(connection: Any) -> None:
    """Make the temporary tables that `write` needs; once for a connection, when the side tables are there."""
    for table in _MERGES:
        await connection.execute(f"CREATE TEMPORARY TABLE new_{table} (LIKE {table}) ON COMMIT DELETE ROWS")


async def write(connection: Any, changes: PartitionChanges) -> None:
    """Write *changes*, all or nothing."""
    part = changes.partition
    async with connection.transaction():
        specs = zip(repeat(part), rows.uuids_of(changes.specs), changes.specs.values(), strict=False)
        await _copy(connection, "specs", _SPECS, list(specs))
        for table in STATE_TABLES:
            columns = ("part", *table.columns)
            states: dict[str, State] = changes.states.of(table.kind.state)
            new = [astuple(state) for state_id, state in states.items() if state_id in changes.new]
            old = [astuple(state) for state_id, state in states.items() if state_id not in changes.new]
            await _copy(connection, table.name, columns, _records(part, new, table.types))
            await _merge(connection, table.name, columns, _records(part, old, table.types))
        made = [row for key, row in changes.executions.items() if key in changes.new_executions]
        ended = [row for key, row in changes.executions.items() if key not in changes.new_executions]
        await _copy(connection, "executions", _EXECUTIONS, _records(part, made, rows.EXECUTION_TYPES))
        await _merge(connection, "executions", _EXECUTIONS, _records(part, ended, rows.EXECUTION_TYPES))
        await _copy(connection, "labels", rows.LABEL_COLUMNS, rows.labels_of(changes))
        await _copy(connection, "responses", rows.RESPONSE_COLUMNS, rows.responses_of(changes))
        await _merge(connection, "usage_daily", _USAGE, rows.usage_of(changes))
        await _merge(connection, "history", _FLOORS, rows.floors_of(changes))


def _records(part: int, found: Sequence[Sequence[Any]], types: Mapping[str, str]) -> list[tuple[Any, ...]]:
    """Return *found*, tuples of the names in *types*, as records of a COPY with the partition in front."""
    return list(zip(repeat(part), *rows.columns_of(found, types, types), strict=False)) if found else []


async def _copy(connection: Any, table: str, columns: Sequence[str], records: Sequence[tuple[Any, ...]]) -> None:
    if records:
        await connection.copy_records_to_table(table, records=records, columns=columns)


async def _merge(connection: Any, table: str, columns: Sequence[str], records: Sequence[tuple[Any, ...]]) -> None:
    if records:
        await connection.execute(f"DELETE FROM new_{table}")  # of the partition before, within one transaction  # noqa: S608
        await connection.copy_records_to_table(f"new_{table}", records=records, columns=columns)
        await connection.execute(_MERGES[table])
