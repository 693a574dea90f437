"""
Carrier: reads from the tables what is to be carried over in the log (carried_rows.py), all as of one position.

One transaction with one snapshot reads all of it, so that the rows are the fold up to exactly that position. Every part is found
by an index: ended jobs, which are most of a table, are never read, but for the ids of those of the last day.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from libs.domain.history.choice import LATE_MS
from libs.domain.history.floors import Floors, is_over
from libs.domain.instants import day_of
from libs.domain.job import TERMINAL, WAITING, JobState, JobStatus
from libs.domain.state_registry import State
from libs.events import Claim
from libs.store.carried import carried_rows, sealer, seals
from libs.store.carried.carried_rows import Piece
from libs.store.carried.seals import Key, Sum
from libs.store.errors import translated
from libs.store.history.forgotten_rows import floors_of
from libs.store.projection import rows
from libs.store.projection.delivery_rows import DELIVERIES
from libs.store.projection.job_rows import JOBS, PENDING_WEBHOOK
from libs.store.projection.schedule_rows import SCHEDULES
from libs.store.projection.state_table import StateTable, one_of
from libs.store.reads.partition_tables import consistent, progress_of

ROWS: Final = 100  # fetched at once: they are encoded in some 2 ms, in which nothing else of the process runs
IDS: Final = 2_000  # the same of rows that are an id
SKEW_MS: Final = 60_000  # by which the clocks of two processes may differ; they stop long before
TIMEOUT_S: Final = 600.0

# Disjoint, and each the condition of an index.
_LIVING: Final[tuple[tuple[StateTable[Any], str], ...]] = (
    (JOBS, f"{JOBS.waits} AND NOT cancel_requested"),
    (JOBS, f"{JOBS.is_open}"),
    (JOBS, f"{PENDING_WEBHOOK} AND NOT cancel_requested"),
    (JOBS, f"held AND {one_of('status', WAITING)} AND NOT cancel_requested"),
    (DELIVERIES, DELIVERIES.waits),
    (DELIVERIES, "held"),
    (SCHEDULES, "true"),
)
_IS_OVER: Final = "completed_at >= $2 AND NOT cancel_requested AND NOT (has_webhook AND webhook_at IS NULL)"
_OVER: Final = " UNION ALL ".join(
    f"SELECT job_id FROM jobs WHERE part = $1 AND status = {int(status)} AND {_IS_OVER}"  # noqa: S608 - our own names
    for status in sorted(TERMINAL)
)
# A copy of a job that failed a short time ago shares its spec (`replay`).
_FAILED: Final = f"{JOBS.select} WHERE part = $1 AND status = {int(JobStatus.FAILED)} AND {_IS_OVER}"
_EXECUTIONS: Final = f"SELECT {', '.join(rows.EXECUTION_COLUMNS)} FROM executions WHERE job_id = ANY ($1::uuid[])"  # noqa: S608
_SPECS: Final = "SELECT spec_id, spec FROM specs WHERE spec_id = ANY ($1::uuid[])"
_USAGE: Final = (
    "SELECT account, day - DATE '1970-01-01' AS day, executions FROM usage_daily"
    " WHERE part = $1 AND day >= DATE '1970-01-01' + $2::int4 ORDER BY account"
)


class Carried:
    """The tables of one partition as of the position before *begin*."""

    def __init__(self, connection: Any, partition: int, begin: int, claim: Claim | None, floors: Floors) -> None:
        """Read through *connection*, which is in a transaction with a snapshot."""
        self.begin, self.claim, self.floors = begin, claim, floors
        self._connection = connection
        self._partition = partition

    async def pieces(self, at: int) -> AsyncIterator[Piece]:
        """Yield all that is to be carried at the instant *at*."""
        shared: set[str] = set()
        for table, condition in _LIVING:
            query = f"{table.select} WHERE part = $1 AND {condition}"
            async for found in self._each(query, self._partition):
                for piece in await self._of([table.state_of(row) for row in found], shared):
                    yield piece
        failed_since = at - LATE_MS - SKEW_MS
        async for found in self._each(_FAILED, self._partition, failed_since):
            for piece in await self._of([JOBS.state_of(row) for row in found], shared, only_specs=True):
                yield piece
        for piece in await self._shared(shared, failed_since):
            yield piece
        since = self.floors.closed_before - SKEW_MS
        async for found in self._each(_OVER, self._partition, since, rows_max=IDS):
            for piece in _plain(carried_rows.OVER, (rows.job_id_of(row["job_id"]) for row in found)):
                yield piece
        first_day = day_of(at) - carried_rows.DAYS_OF_USAGE
        async for found in self._each(_USAGE, self._partition, first_day):
            for piece in _plain(carried_rows.USAGE, ((row["account"], row["day"], row["executions"]) for row in found)):
                yield piece

    async def _of(self, living: Sequence[State], shared: set[str], *, only_specs: bool = False) -> list[Piece]:
        """Return *living* and what belongs to them alone; add to *shared* the ids of specs that others may have, too."""
        found: list[tuple[str, bytes]] = [] if only_specs else list(carried_rows.states(living))
        own = {carried_rows.own_spec_id(state) for state in living} - {None}
        for state in living:
            shared |= carried_rows.spec_ids_of(state) - own
        ids = [state.job_id for state in living if isinstance(state, JobState) and state.attempt]
        if ids and not only_specs:
            executions = await self._connection.fetch(_EXECUTIONS, rows.uuids_of(ids), timeout=TIMEOUT_S)
            found += [(carried_rows.EXECUTIONS, carried_rows.plain_row(rows.execution_of(each))) for each in executions]
        return list(carried_rows.pieces([*found, *await self._specs(own)]))

    async def _shared(self, shared: set[str], failed_since: int) -> list[Piece]:
        """Return the specs of *shared* that did not go with their own job."""

        def was_carried(job: JobState) -> bool:
            is_kept = job.status is JobStatus.FAILED and (job.completed_at or 0) >= failed_since
            return not is_over(job) or job.cancel_requested or is_kept

        names = sorted(shared)
        found: list[tuple[str, bytes]] = []
        for start in range(0, len(names), ROWS):
            ids = names[start : start + ROWS]
            query = f"{JOBS.select} WHERE part = $1 AND job_id = ANY ($2::uuid[])"
            jobs = [
                JOBS.state_of(row)
                for row in await self._connection.fetch(query, self._partition, rows.uuids_of(ids), timeout=TIMEOUT_S)
            ]
            found += await self._specs(set(ids) - {job.job_id for job in jobs if was_carried(job)})
        return list(carried_rows.pieces(found))

    async def _specs(self, ids: set[Any]) -> list[tuple[str, bytes]]:
        names = {rows.uuid_of(each): each for each in ids}
        return [
            (carried_rows.SPECS, carried_rows.spec_row(names[row["spec_id"]], bytes(row["spec"])))
            for row in await self._connection.fetch(_SPECS, list(names), timeout=TIMEOUT_S)
        ]

    async def _each(self, query: str, *arguments: Any, rows_max: int = ROWS) -> AsyncIterator[Sequence[Any]]:
        cursor = await self._connection.cursor(query, *arguments)
        while found := await cursor.fetch(rows_max, timeout=TIMEOUT_S):
            yield found


class Carrier:
    """Reads by partition. Raises `StoreUnavailable` if the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Read through *pool*."""
        self._pool = pool

    @asynccontextmanager
    async def opened(self, partition: int) -> AsyncIterator[Carried]:
        """Give out the tables of *partition* as they are now, for as long as the caller reads."""
        with translated():
            async with consistent(self._pool) as connection:
                await _be_patient(connection)
                position, claim = await progress_of(connection, partition)
                yield Carried(connection, partition, position + 1, claim, await floors_of(connection, partition))

    async def sealing(self, partition: int, since: int, before: int) -> AsyncIterator[dict[Key, Sum]]:
        """Yield sums of the jobs of *partition* that ended in [*since*, *before*), whole hours, and of the days before."""
        with translated():
            async with self._pool.acquire() as connection:
                at = await sealer.oldest_end(connection, partition, since)
                while at is not None and at < before:
                    until = min((at // sealer.WINDOW_MS + 1) * sealer.WINDOW_MS, before)
                    async with connection.transaction():
                        await _be_patient(connection)
                        async for found in sealer.ended(connection, partition, at, until):
                            yield seals.summed(found)
                    at = await sealer.oldest_end(connection, partition, until)
                yield await sealer.usage(connection, partition, since, before)


async def _be_patient(connection: Any) -> None:
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        await connection.execute(f"SET LOCAL {name} = '{TIMEOUT_S:.0f}s'")


def _plain(table: str, found: Iterable[Any]) -> list[Piece]:
    return list(carried_rows.pieces((table, carried_rows.plain_row(row)) for row in found))
