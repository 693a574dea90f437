"""
Side rows: what a replay folded, into the side tables: new rows by COPY, the others by one statement for each table.

Most of what happens to a job happens within one batch of records, so most rows are copied once and never touched again. A job that
lived longer is updated by its key. The connection's schema is the side tables' own.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import repeat
from typing import Any, Final

from libs.store.projection import rows
from libs.store.projection.changes import PartitionChanges

_EPOCH: Final = date(1970, 1, 1)
_JOBS: Final = ("part", *rows.JOB_COLUMNS)
_EXECUTIONS: Final = ("part", *rows.EXECUTION_COLUMNS)
_SCHEDULES: Final = ("part", *rows.SCHEDULE_COLUMNS)
_SPECS: Final = ("part", "spec_id", "spec")
_USAGE: Final = ("part", "account", "day", "executions")


def _update(table: str, columns: Sequence[str], keys: Sequence[str]) -> str:
    changed = ", ".join(f"{name} = u.{name}" for name in columns if name not in (*keys, "part"))
    return f"UPDATE {table} t SET {changed} FROM new_{table} u WHERE " + " AND ".join(  # noqa: S608 - our own names
        f"t.{key} = u.{key}" for key in keys
    )


def _upsert(table: str, columns: Sequence[str], conflict: str) -> str:
    names = ", ".join(columns)
    return f"INSERT INTO {table} AS t ({names}) SELECT {names} FROM new_{table} ON CONFLICT {conflict}"  # noqa: S608


# Table -> what moves its rows from the temporary table over.
_MERGES: Final[dict[str, str]] = {
    "jobs": _update("jobs", _JOBS, ("job_id",)),
    "executions": _update("executions", _EXECUTIONS, ("job_id", "attempt")),
    "schedules": _upsert(
        "schedules",
        _SCHEDULES,
        "(schedule_id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in rows.SCHEDULE_COLUMNS[1:]),
    ),
    "usage_daily": _upsert(
        "usage_daily", _USAGE, "(account, day, part) DO UPDATE SET executions = t.executions + excluded.executions"
    ),
}


async def prepare(connection: Any) -> None:
    """Make the temporary tables that `write` needs; once for a connection, when the side tables are there."""
    for table in _MERGES:
        await connection.execute(f"CREATE TEMPORARY TABLE new_{table} (LIKE {table}) ON COMMIT DELETE ROWS")


async def write(connection: Any, changes: PartitionChanges) -> None:
    """Write *changes*, all or nothing."""
    part = changes.partition
    new_jobs, new_executions = changes.new_jobs, changes.new_executions
    async with connection.transaction():
        await _copy(connection, "specs", _SPECS, _spec_rows(changes))
        created = [job for job in changes.jobs.values() if job.job_id in new_jobs]
        changed = [job for job in changes.jobs.values() if job.job_id not in new_jobs]
        await _copy(connection, "jobs", _JOBS, _records(part, rows.job_rows(created), rows.JOB_COLUMNS))
        await _merge(connection, "jobs", _JOBS, _records(part, rows.job_rows(changed), rows.JOB_COLUMNS))
        made = [row for key, row in changes.executions.items() if key in new_executions]
        ended = [row for key, row in changes.executions.items() if key not in new_executions]
        await _copy(connection, "executions", _EXECUTIONS, _records(part, made, rows.EXECUTION_COLUMNS))
        await _merge(connection, "executions", _EXECUTIONS, _records(part, ended, rows.EXECUTION_COLUMNS))
        schedules = rows.schedule_rows(changes.schedules.values())
        await _merge(connection, "schedules", _SCHEDULES, _records(part, schedules, rows.SCHEDULE_COLUMNS))
        usage = [
            (part, account, _EPOCH + timedelta(days=day), count) for (account, day), count in changes.usage.items()
        ]
        await _merge(connection, "usage_daily", _USAGE, usage)


def _spec_rows(changes: PartitionChanges) -> list[tuple[Any, ...]]:
    return list(zip(repeat(changes.partition), rows.uuids_of(changes.specs), changes.specs.values(), strict=False))


def _records(part: int, found: Sequence[Sequence[Any]], names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return *found*, tuples of *names*, as records of a COPY with the partition in front."""
    if not found:
        return []
    return list(zip(repeat(part), *rows.columns_of(found, names, names), strict=False))


async def _copy(connection: Any, table: str, columns: Sequence[str], records: Sequence[tuple[Any, ...]]) -> None:
    if records:
        await connection.copy_records_to_table(table, records=records, columns=columns)


async def _merge(connection: Any, table: str, columns: Sequence[str], records: Sequence[tuple[Any, ...]]) -> None:
    if records:
        await connection.execute(f"DELETE FROM new_{table}")  # of the partition before, within one transaction  # noqa: S608
        await connection.copy_records_to_table(f"new_{table}", records=records, columns=columns)
        await connection.execute(_MERGES[table])
