"""
Janitor: deletes the rows of forgotten jobs, a slice at a time, each in a transaction of its own.

Which jobs are forgotten stands in the table `history`, which is flushed with the rows that follow from the same records. So what is
deleted can never change again, and no order between janitor and flushes is needed. A crash between two slices leaves rows for the
next one. With a job go its executions, what was kept of their answers, its delivery, its labels and its idempotency key; its spec
goes if no job and no schedule has it. What was kept of answers is also forgotten by itself, earlier.

While a rebuild compares the tables, nothing is deleted (`LOCK`).
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from libs.domain.history.floors import NOTHING_FORGOTTEN, Floors
from libs.domain.job import TERMINAL
from libs.domain.jobs.optional_state import JobMore
from libs.store.errors import store_call
from libs.store.history.forgotten_rows import FORGOTTEN, arguments, floors_of, of_schema
from libs.store.projection.rows import struct_reader

LOCK: Final = 0x666C6968  # shared by slices, exclusive while tables are compared

_OLDEST: Final = "SELECT least({})".format(
    ", ".join(
        f"(SELECT min(completed_at) FROM jobs WHERE part = $1 AND status = {int(status)})"  # noqa: S608
        for status in sorted(TERMINAL)
    )
)
_OLD_RESPONSES: Final = "SELECT EXISTS (SELECT FROM responses WHERE part = $1 AND at < $2)"
_RESPONSES_GONE: Final = """
WITH gone AS (
    DELETE FROM responses WHERE (job_id, attempt) IN (
        SELECT job_id, attempt FROM responses WHERE part = $1 AND at < $2 ORDER BY at LIMIT $3
    ) RETURNING job_id
) SELECT count(*) FROM gone
"""
_FANNED_OUT: Final = "SELECT position FROM fan_out WHERE part = $1"
_SPECS: Final = """
DELETE FROM {s}specs s WHERE s.spec_id {among}
    AND NOT EXISTS (SELECT FROM {s}jobs j WHERE j.job_id = s.spec_id)
    AND NOT EXISTS (SELECT FROM {s}jobs j WHERE j.shared_spec_id = s.spec_id)
    AND NOT EXISTS (SELECT FROM {s}schedules c WHERE c.schedule_id = s.spec_id)
    AND NOT EXISTS (SELECT FROM {s}schedules c WHERE c.changed_spec_id = s.spec_id)
"""
_KEYS: Final = """
DELETE FROM idempotency i USING unnest($1::text[], $2::text[], $3::uuid[]) AS g (account, key, job_id)
WHERE i.account = g.account AND i.key = g.key AND i.job_id = g.job_id
"""
_LABELS: Final = b'"labels":'
_LABELS_GONE: Final = """
DELETE FROM labels l USING unnest($1::text[], $2::text[], $3::text[], $4::uuid[]) AS g (account, key, value, job_id)
WHERE l.account = g.account AND l.key = g.key AND l.value = g.value AND l.job_id = g.job_id
"""
_read_more: Final = struct_reader(JobMore)


class HistoryLook(NamedTuple):
    """
    What an owner asks before it decides.

    Args:
        is_needed: whether a job would be forgotten, or is and has not been deleted yet.
        has_old_responses: the same of what was kept of answers.
        fanned_out: up to which position events were fanned out to webhook endpoints.
    """

    is_needed: bool
    fanned_out: int
    has_old_responses: bool = False


class Janitor:
    """Deletes by partition. Every method raises `StoreUnavailable` if the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Use *pool*."""
        self._pool = pool

    @store_call
    async def look(self, partition: int, floors: Floors) -> HistoryLook:
        """Say whether *floors* would forget anything in *partition*, and how far its events are fanned out."""
        found = await self._pool.fetch(FORGOTTEN, *arguments(partition, floors, 1))
        fanned_out = await self._pool.fetchval(_FANNED_OUT, partition)
        has_old_responses = await self._pool.fetchval(_OLD_RESPONSES, partition, floors.responses_before)
        return HistoryLook(bool(found), -1 if fanned_out is None else fanned_out, has_old_responses)

    @store_call
    async def oldest_end(self, partition: int) -> int | None:
        """Return when the oldest ended job of *partition* ended; None if there is none."""
        at: int | None = await self._pool.fetchval(_OLDEST, partition)
        return at

    @store_call
    async def ended_rows(self) -> int:
        """Return about how many jobs that have ended are in the tables: the server's estimate."""
        rows: float = await self._pool.fetchval("SELECT reltuples FROM pg_class WHERE oid = 'jobs_ended'::regclass")
        return max(0, int(rows))

    @store_call
    async def sweep(self, partition: int, limit: int) -> int:
        """Delete up to *limit* forgotten jobs of each kind of end; return how many rows of `jobs` were deleted."""
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock_shared($1)", LOCK):
                return 0
            floors = await floors_of(connection, partition)
            if floors == NOTHING_FORGOTTEN:
                return 0
            gone = await connection.fetch(FORGOTTEN, *arguments(partition, floors, limit))
            if gone:
                await connection.execute("SET LOCAL synchronous_commit = off")  # what is not deleted is deleted later
                await _delete(connection, gone)
        return len(gone)

    @store_call
    async def sweep_responses(self, partition: int, limit: int) -> int:
        """Delete up to *limit* forgotten answers; return how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock_shared($1)", LOCK):
                return 0
            before = (await floors_of(connection, partition)).responses_before
            if not before:
                return 0
            await connection.execute("SET LOCAL synchronous_commit = off")
            count: int = await connection.fetchval(_RESPONSES_GONE, partition, before, limit)
            return count


async def _delete(connection: Any, gone: Sequence[Any]) -> None:
    ids = [row["job_id"] for row in gone]
    await connection.execute("DELETE FROM executions WHERE job_id = ANY ($1::uuid[])", ids)
    await connection.execute("DELETE FROM responses WHERE job_id = ANY ($1::uuid[])", ids)
    await connection.execute("DELETE FROM deliveries WHERE job_id = ANY ($1::uuid[])", ids)
    await connection.execute("DELETE FROM jobs WHERE job_id = ANY ($1::uuid[])", ids)
    specs = {row[name] for row in gone if row["schedule_id"] is None for name in ("job_id", "shared_spec_id")}
    await connection.execute(
        _SPECS.format(s="", among="= ANY ($1::uuid[])"), [each for each in specs if each is not None]
    )
    labelled = [
        (row["account"], key, value, row["job_id"])
        for row in gone
        if row["more"] is not None and _LABELS in row["more"]
        for key, value in (_read_more(row["more"]).labels or {}).items()
    ]
    if labelled:
        await connection.execute(_LABELS_GONE, *map(list, zip(*labelled, strict=True)))
    keyed = [
        (row["account"], row["idempotency_key"], row["job_id"]) for row in gone if row["idempotency_key"] is not None
    ]
    if keyed:
        await connection.execute(_KEYS, *map(list, zip(*keyed, strict=True)))


async def sweep_all(connection: Any, schema: str) -> None:
    """Delete every forgotten row of *schema*, within the caller's transaction; idempotency keys stay."""
    await connection.execute(
        f"""
        CREATE TEMPORARY TABLE gone ON COMMIT DROP AS {of_schema(schema)};
        ANALYZE gone;
        DELETE FROM {schema}.executions e USING gone WHERE e.job_id = gone.job_id;
        DELETE FROM {schema}.responses r USING gone WHERE r.job_id = gone.job_id;
        DELETE FROM {schema}.responses r USING {schema}.history h WHERE r.part = h.part AND r.at < h.responses_before;
        DELETE FROM {schema}.deliveries d USING gone WHERE d.job_id = gone.job_id;
        DELETE FROM {schema}.labels l USING gone WHERE l.job_id = gone.job_id;
        DELETE FROM {schema}.jobs j USING gone WHERE j.job_id = gone.job_id;
        """  # noqa: S608 - our own names
    )
    among = "IN (SELECT job_id FROM gone UNION SELECT shared_spec_id FROM gone WHERE shared_spec_id IS NOT NULL)"
    await connection.execute(_SPECS.format(s=f"{schema}.", among=among))
