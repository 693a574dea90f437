"""All rows of a partition, read in one snapshot: to compare them with what was folded."""

from __future__ import annotations

from typing import Any, NamedTuple

from libs.domain.state_registry import States, id_of
from libs.events.ids import from_int, is_id, to_int
from libs.store.projection import rows
from libs.store.projection.changes import ExecutionRow
from libs.store.projection.table_registry import STATE_TABLES
from libs.store.reads.partition_tables import LOCK_BEFORE_SNAPSHOT, NOTHING_FOLDED, positions

TIMEOUT_S = 600.0  # reading whole tables takes its time


class AllRows(NamedTuple):
    """All rows of a partition as of *position*."""

    position: int
    states: States
    specs: dict[str, bytes]
    executions: dict[tuple[str, int], ExecutionRow]
    usage: dict[tuple[str, int], int]


async def all_rows(pool: Any, partition: int) -> AllRows:
    """Return the rows of *partition*."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(LOCK_BEFORE_SNAPSHOT)
        await connection.execute(f"SET LOCAL statement_timeout = '{TIMEOUT_S:.0f}s'")

        async def everything(columns: str, table: str) -> Any:
            return await connection.fetch(
                f"SELECT {columns} FROM {table} WHERE part = $1", partition, timeout=TIMEOUT_S
            )

        position, _ = (await positions(connection, [partition])).get(partition, NOTHING_FOLDED)
        states = States()
        for table in STATE_TABLES:
            for row in await everything(table.listed, table.name):
                state = table.state_of(row)
                states[id_of(state)] = state
        # The number of a delivery is that of a job, and deliveries have no specs.
        ids = {to_int(any_id): any_id for any_id in states if not is_id(any_id, "whd")}
        specs = await everything("spec_id, spec", "specs")
        executions = [rows.execution_of(row) for row in await everything("*", "executions")]
        usage = await everything("account, day - DATE '1970-01-01' AS day, executions", "usage_daily")
    return AllRows(
        position,
        states,
        {ids.get(row["spec_id"].int) or from_int("job", row["spec_id"].int): row["spec"] for row in specs},
        {(row.job_id, row.attempt): row for row in executions},
        {(row["account"], row["day"]): row["executions"] for row in usage},
    )
