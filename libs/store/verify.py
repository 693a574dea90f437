"""
Verify: the proof that the tables are the fold of the log.

It reads every row of a partition in one snapshot, folds the log from its beginning up to the position of that snapshot with the
same `Ledger` and `PartitionChanges` that made the rows, and says in words where the two differ. Nothing is taken from the tables
but the position. Memory: both sides of one partition at a time.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from libs.domain.ledger import Ledger
from libs.events import read
from libs.log import Log
from libs.store.changes import PartitionChanges
from libs.store.tables import AllRows, Tables

BATCH: Final = 2_000  # records read at once
SHOWN: Final = 20  # differences said per table and partition; the rest is counted


async def differences(log: Log, pool: Any, partition: int | None = None) -> list[str]:
    """
    Return a line for each difference between the tables and the fold of the log; none when they agree.

    Args:
        partition: only this one; all when None.

    Raises:
        LogError, StoreUnavailable: one of the two cannot be read.
        GapInLog, MustUnderstand: the log itself cannot be folded.
    """
    tables = Tables(pool)
    partitions = range(await log.partitions()) if partition is None else [partition]
    found: list[str] = []
    for each in partitions:
        found += await _of_partition(log, tables, each)
    return found


async def _of_partition(log: Log, tables: Tables, partition: int) -> list[str]:
    stored = await tables.all_rows(partition)
    end = await log.end(partition)
    if stored.position >= end:
        return [f"partition {partition}: the tables are at position {stored.position}, and the log ends before {end}"]
    ledger, changes = await _fold(log, partition, stored.position)
    found = []
    if stored.claim != ledger.claim:
        found.append(f"partition {partition}: claim is {stored.claim}, and the log says {ledger.claim}")
    for table, ours, theirs in _pairs(stored, changes):
        lines = list(_compare(f"partition {partition}: {table}", ours, theirs))
        found += lines[:SHOWN]
        if len(lines) > SHOWN:
            found.append(f"partition {partition}: {table}: {len(lines) - SHOWN} more")
    return found


async def _fold(log: Log, partition: int, position: int) -> tuple[Ledger, PartitionChanges]:
    """Fold *partition* from its first record up to and including *position*."""
    begin = await log.begin(partition)
    ledger = Ledger(partition, position=begin - 1)
    changes = PartitionChanges(partition)
    while ledger.position < position:
        records = await log.read(partition, ledger.position + 1, max_records=min(BATCH, position - ledger.position))
        if not records:
            raise ValueError(f"partition {partition}: the log holds nothing at {ledger.position + 1}, before its end")
        for record in records:
            item = read(partition, record.envelope)
            changes.add(ledger.apply(record.position, item, record.envelope.claim))
    return ledger, changes


def _pairs(stored: AllRows, folded: PartitionChanges) -> Iterator[tuple[str, Mapping[Any, Any], Mapping[Any, Any]]]:
    yield "jobs", stored.jobs, folded.jobs
    yield "schedules", stored.schedules, folded.schedules
    yield "specs", stored.specs, folded.specs
    yield "executions", stored.executions, folded.executions
    yield "usage_daily", stored.usage, folded.usage


def _compare(where: str, stored: Mapping[Any, Any], folded: Mapping[Any, Any]) -> Iterator[str]:
    for key in stored.keys() - folded.keys():
        yield f"{where}: {_name(key)} is in the tables and not in the log"
    for key, expected in folded.items():
        if key not in stored:
            yield f"{where}: {_name(key)} is in the log and not in the tables"
        elif stored[key] != expected:
            yield f"{where}: {_name(key)}: {_difference(stored[key], expected)}"


def _name(key: Any) -> str:
    return " ".join(str(part) for part in key) if isinstance(key, tuple) else str(key)


def _difference(stored: Any, expected: Any) -> str:
    """Say which fields differ. Values that may hold a caller's secrets (specs) are not shown."""
    if isinstance(expected, bytes):
        return "the bytes differ"
    if isinstance(expected, msgspec.Struct):
        fields = expected.__struct_fields__
    elif hasattr(expected, "_fields"):
        fields = expected._fields
    else:
        return f"is {stored!r}, and the log says {expected!r}"
    return ", ".join(
        f"{name} is {getattr(stored, name)!r}, and the log says {getattr(expected, name)!r}"
        for name in fields
        if getattr(stored, name) != getattr(expected, name)
    )
