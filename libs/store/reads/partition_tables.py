"""
Tables: what owners and dispatchers read of a partition: positions, states and specs.

All rows are the fold of the log up to `progress.position`. A reader that needs what came later reads on in the log from there.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import msgspec

from libs.domain.endpoints.order import Pending
from libs.domain.history.floors import Floors
from libs.domain.job import JobState, JobStatus, due
from libs.domain.schedule import ScheduleState
from libs.domain.state_kind import StateKind
from libs.domain.state_registry import S, State
from libs.events import AttemptDue, Claim, Spec
from libs.log.shared_request import SharedRequest
from libs.store.errors import store_call
from libs.store.history.forgotten_rows import floors_of
from libs.store.pool import SCHEMA
from libs.store.projection import rows
from libs.store.projection.job_rows import JOBS
from libs.store.projection.schedule_rows import HAS_ZONE, SCHEDULES
from libs.store.projection.state_table import StateTable, one_of
from libs.store.projection.table_registry import STATE_TABLES, TABLE_OF_ID, TABLE_OF_STATE

# Rows that are made into states in one go: about 2 ms, so that a large load does not delay jobs that are due meanwhile.
CHUNK: Final = 500

# The first statement of every transaction that keeps a snapshot. A rebuild (side_tables.py) replaces the tables of the fold, and
# locks `progress` before them. A snapshot that was taken before, and then waited for the rebuild, would not see the newest rows;
# this statement waits without a snapshot.
LOCK_BEFORE_SNAPSHOT: Final = "LOCK TABLE progress IN ACCESS SHARE MODE"

TablePosition = tuple[int, Claim | None]  # the last position folded, and the claim admitted there
NOTHING_FOLDED: Final[TablePosition] = (-1, None)

_RUNNING: Final = one_of("status", {JobStatus.RUNNING})

_SPEC_BYTES_MAX: Final = 2**31 - 1
# A size is read without the bytes.
_STORED_SPECS: Final = (
    "SELECT spec_id, octet_length(spec) AS size, CASE WHEN octet_length(spec) <= $2 THEN spec END AS spec FROM specs"
    " WHERE spec_id = ANY ($1::uuid[])"
)

# In the words of the partial index `jobs_told`.
_PENDING_ABOUT: Final = (
    "SELECT job_id, scheduled_at, fire_at FROM jobs WHERE idempotency_key = $1 AND left(account, 4) = 'whe_' AND account = $2"
    " AND status IN (0, 1, 2, 3) AND NOT held"
)

decode_spec: Final = msgspec.json.Decoder(Spec).decode


class StoredSpec(NamedTuple):
    """A spec as it is stored, and its size in bytes; None instead of it if only the size was asked for."""

    size: int
    spec: bytes | None


class Snapshot(NamedTuple):
    """The attempts under way in a partition as of *position*, and the claim admitted there."""

    position: int
    claim: Claim | None
    running: list[AttemptDue]


class Tables:
    """Reads by partition. Every method raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Read through *pool*."""
        self._pool = pool
        self._asked_of: set[int] = set()  # the partitions of the next question
        self._asked = SharedRequest(self._positions)

    @store_call
    async def progress(self, partition: int) -> TablePosition:
        """
        Return the position of the tables, and the claim admitted there; -1 and None before the first record.

        One question, which is sent after this call began, is asked for all callers of one moment.
        """
        self._asked_of.add(partition)
        return (await self._asked.ask()).get(partition, NOTHING_FOLDED)

    async def _positions(self) -> dict[int, TablePosition]:
        asked_of, self._asked_of = self._asked_of, set()
        return await positions(self._pool, asked_of)

    @store_call
    async def load(self, partition: int, ids: Iterable[str]) -> list[State]:
        """Return the states of those of *ids*, of any kind, that exist in *partition*."""
        wanted: dict[StateTable[Any], list[str]] = {table: [] for table in STATE_TABLES}
        for any_id in ids:
            wanted[TABLE_OF_ID[any_id.partition("_")[0]]].append(any_id)
        states: list[State] = []
        for table, of_table in wanted.items():
            if of_table:
                query = f"{table.select} WHERE {table.key} = ANY ($1::uuid[]) AND part = $2"
                states += await states_of(table, await self._pool.fetch(query, rows.uuids_of(of_table), partition))
        return states

    @store_call
    async def newest_job(self, partition: int) -> str:
        """Return an id that no job of *partition* exceeds."""
        del (
            partition
        )  # the highest of all jobs is one look at the index; that of a partition without jobs would be all of it
        found = await self._pool.fetchval("SELECT job_id FROM jobs ORDER BY job_id DESC LIMIT 1")
        return rows.job_id_of(rows.MIN_ID if found is None else found)

    @store_call
    async def load_open(self, partition: int) -> list[State]:
        """Return the states that an owner needs although no timer rings for them: jobs under way, cancels to be answered."""
        states: list[State] = []
        for table in STATE_TABLES:
            if table.is_open is not None:
                found = await self._pool.fetch(f"{table.select} WHERE part = $1 AND {table.is_open}", partition)
                states += await states_of(table, found)
        return states

    @store_call
    async def load_due(
        self, kind: StateKind, partition: int, before: int, limit: int, *, since: int = 0, avoid: Sequence[str] = ()
    ) -> list[State]:
        """
        Return up to *limit* states that wait for a timer with *since* <= timer < *before*, the earliest first.

        Those that are held, and those of the accounts in *avoid*, are left out.
        """
        table, timer = TABLE_OF_STATE[kind.state], kind.timer
        query = f"{table.select} WHERE part = $1 AND {table.waits} AND {timer} >= $4 AND {timer} < $2"
        arguments: list[Any] = [partition, before, limit, since]
        if avoid:
            query += " AND account <> ALL ($5::text[])"
            arguments.append(list(avoid))
        return await states_of(table, await self._pool.fetch(f"{query} ORDER BY {timer} LIMIT $3", *arguments))

    @store_call
    async def load_backlog(self, partition: int, account: str, before: int, limit: int) -> list[JobState]:
        """Return up to *limit* waiting jobs of *account* that are not held with `fire_at` < *before*, earliest first."""
        found = await self._pool.fetch(
            f"{JOBS.select} WHERE part = $1 AND {JOBS.waits} AND fire_at < $2 AND account = $4 ORDER BY fire_at LIMIT $3",
            partition,
            before,
            limit,
            account,
        )
        return await states_of(JOBS, found)

    @store_call
    async def load_zoned(self, partition: int, zone_data: str, after: str, limit: int) -> list[ScheduleState]:
        """
        Return up to *limit* active schedules with a time zone whose next run was computed with other zone data than *zone_data*.

        They come in the order of their ids, those after *after* (empty: from the first).
        """
        stamp = b'"zone_data":"' + zone_data.encode() + b'"'  # as JSON has it; in a text it would have backslashes
        since = rows.uuid_of(after) if after else rows.MIN_ID
        found = await self._pool.fetch(
            f"{SCHEDULES.select} WHERE part = $1 AND {HAS_ZONE} AND position($2::bytea in more) = 0"
            " AND NOT held AND next_run_at IS NOT NULL AND schedule_id > $3 ORDER BY schedule_id LIMIT $4",
            *(partition, stamp, since, limit),
        )
        return await states_of(SCHEDULES, found)

    @store_call
    async def daily_usage(self, partition: int, since_day: int) -> dict[tuple[str, int], int]:
        """Return how many attempts became due, by account and UTC day, from *since_day* on (days since 1970-01-01)."""
        found = await self._pool.fetch(
            "SELECT account, day - DATE '1970-01-01' AS day, executions FROM usage_daily"
            " WHERE part = $1 AND day >= DATE '1970-01-01' + $2::int4",
            partition,
            since_day,
        )
        return {(row["account"], row["day"]): row["executions"] for row in found}

    @store_call
    async def floors(self, partition: int) -> Floors:
        """Return what is forgotten in *partition*, as of the position of the tables."""
        return await floors_of(self._pool, partition)

    @store_call
    async def running(self, partition: int) -> Snapshot:
        """
        Return the attempts under way as of the position that is returned with them.

        Jobs that are held are left out: the record that could not be read may have been their result.
        """
        async with consistent(self._pool) as connection:
            position, claim = await progress_of(connection, partition)
            found = await connection.fetch(f"{JOBS.select} WHERE part = $1 AND {_RUNNING} AND NOT held", partition)
        return Snapshot(position, claim, [due_of(job) for job in await states_of(JOBS, found)])

    @store_call
    async def stored_specs(self, ids: Iterable[str], *, size_max: int | None) -> dict[str, StoredSpec]:
        """
        Return the specs of those of *ids* (`spec_id`s: ids of jobs or schedules) that the tables hold.

        Of those larger than *size_max* bytes only the size is read.
        """
        return await fetch_specs(self._pool, _STORED_SPECS, ids, size_max)

    @store_call
    async def pending_about(self, endpoint_id: str, job_id: str) -> list[Pending]:
        """Return the deliveries to *endpoint_id* that are about *job_id* and have not ended."""
        found = await self._pool.fetch(_PENDING_ABOUT, job_id, endpoint_id)
        return [Pending(rows.job_id_of(row["job_id"]), row["scheduled_at"], row["fire_at"]) for row in found]


@asynccontextmanager
async def consistent(pool: Any) -> AsyncIterator[Any]:
    """Give out a connection of *pool* whose queries all see the same state of the tables."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(LOCK_BEFORE_SNAPSHOT)
        yield connection


async def fetch_specs(pool: Any, query: str, ids: Iterable[str], size_max: int | None) -> dict[str, StoredSpec]:
    """Return what *query* finds: `spec_id`, `size` and `spec` for ids ($1), the spec up to a size ($2)."""
    wanted = {rows.uuid_of(any_id): any_id for any_id in ids}
    found = await pool.fetch(query, list(wanted), _SPEC_BYTES_MAX if size_max is None else size_max)
    return {wanted[row["spec_id"]]: StoredSpec(row["size"], row["spec"]) for row in found}


async def states_of(table: StateTable[S], found: Sequence[Any]) -> list[S]:
    """Return the states in *found*, letting other tasks run in between."""
    states = [table.state_of(row) for row in found[:CHUNK]]
    for start in range(CHUNK, len(found), CHUNK):
        await asyncio.sleep(0)
        states += [table.state_of(row) for row in found[start : start + CHUNK]]
    return states


async def positions(connection: Any, partitions: Iterable[int] | None = None) -> dict[int, TablePosition]:
    """Return how far the tables in use are, by partition: of *partitions*, or of all. A partition without a row is left out."""
    query = f"SELECT part, position, claim_epoch, claim_nonce FROM {SCHEMA}.progress"  # noqa: S608 - our own names
    if partitions is None:
        found = await connection.fetch(query)
    else:
        found = await connection.fetch(f"{query} WHERE part = ANY ($1::int4[])", list(partitions))
    return {row["part"]: (row["position"], rows.claim_of(row)) for row in found}


async def progress_of(connection: Any, partition: int) -> TablePosition:
    return (await positions(connection, [partition])).get(partition, NOTHING_FOLDED)


def due_of(job: JobState) -> AttemptDue:
    """Return the event that made *job* run, as far as its readers need it."""
    return due(job, job.attempt, job.fire_at)
