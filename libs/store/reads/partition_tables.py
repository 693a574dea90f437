"""
Tables: what owners and dispatchers read back. Positions, working sets and specs of a partition.

Nothing here decides; what is read is the fold as of `progress.position`, and whoever needs more reads on in the log from there.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from libs.domain.job import JobState
from libs.domain.schedule import ScheduleState
from libs.events import AttemptDue, Claim, Spec
from libs.events.ids import execution_id, from_int
from libs.store.errors import store_call, translated
from libs.store.projection import rows
from libs.store.projection.changes import ExecutionRow

# Rows made into states in one go: about 2 ms, so that a large load does not hold up what is due meanwhile.
CHUNK: Final = 500
VERIFY_TIMEOUT_S: Final = 600.0  # reading whole tables takes its time

# First in a transaction that keeps its snapshot. A rebuild (side_tables.py) puts other tables in the place of these; a snapshot
# from before, which waited for it, would not see their newest rows. This statement waits without a snapshot.
HOLD: Final = "LOCK TABLE progress, jobs, specs, executions, schedules, usage_daily IN ACCESS SHARE MODE"

_decode_spec = msgspec.json.Decoder(Spec).decode


class Snapshot(NamedTuple):
    """The attempts under way in a partition as of *position*, and the claim admitted there."""

    position: int
    claim: Claim | None
    running: list[AttemptDue]


class AllRows(NamedTuple):
    """Everything that the tables hold of a partition as of *position*."""

    position: int
    claim: Claim | None
    jobs: dict[str, JobState]
    schedules: dict[str, ScheduleState]
    specs: dict[str, bytes]
    executions: dict[tuple[str, int], ExecutionRow]
    usage: dict[tuple[str, int], int]


class Tables:
    """Reads by partition. Every method raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Read through *pool*."""
        self._pool = pool

    @store_call
    async def progress(self, partition: int) -> tuple[int, Claim | None]:
        """Return how far the tables are, and the claim admitted there; -1 and None before the first record."""
        return await _progress(self._pool, partition)

    @store_call
    async def load(self, partition: int, ids: Iterable[str]) -> tuple[list[JobState], list[ScheduleState]]:
        """Return the states of those of *ids*, jobs and schedules mixed, that exist in *partition*."""
        job_ids: list[str] = []
        schedule_ids: list[str] = []
        for any_id in ids:
            (job_ids if any_id.startswith("job_") else schedule_ids).append(any_id)
        jobs, schedules = [], []
        if job_ids:
            found = await self._pool.fetch(
                f"{rows.SELECT_JOB} WHERE job_id = ANY ($1::uuid[]) AND part = $2", rows.uuids_of(job_ids), partition
            )
            jobs = await _jobs(found)
        if schedule_ids:
            found = await self._pool.fetch(
                f"{rows.SELECT_SCHEDULE} WHERE schedule_id = ANY ($1::uuid[]) AND part = $2",
                rows.uuids_of(schedule_ids),
                partition,
            )
            schedules = [rows.schedule_of(row) for row in found]
        return jobs, schedules

    @store_call
    async def load_open(self, partition: int) -> list[JobState]:
        """Return the jobs that are running or finishing, and those whose cancel is to be answered."""
        found = await self._pool.fetch(
            f"{rows.SELECT_JOB} WHERE part = $1 AND (status IN (1, 2) OR cancel_requested)", partition
        )
        return await _jobs(found)

    @store_call
    async def load_due(
        self, partition: int, before: int, limit: int, *, since: int = 0, avoid: Sequence[str] = ()
    ) -> list[JobState]:
        """
        Return up to *limit* waiting jobs that are not held with *since* <= `fire_at` < *before*, earliest first.

        Jobs of the accounts in *avoid* are left out.
        """
        found = await self._pool.fetch(
            f"{rows.SELECT_JOB} WHERE part = $1 AND status IN (0, 3) AND NOT held AND fire_at >= $4 AND fire_at < $2"
            " AND account <> ALL ($5::text[]) ORDER BY fire_at LIMIT $3",
            partition,
            before,
            limit,
            since,
            list(avoid),
        )
        return await _jobs(found)

    @store_call
    async def load_backlog(self, partition: int, account: str, before: int, limit: int) -> list[JobState]:
        """Return up to *limit* waiting jobs of *account* that are not held with `fire_at` < *before*, earliest first."""
        found = await self._pool.fetch(
            f"{rows.SELECT_JOB} WHERE part = $1 AND status IN (0, 3) AND NOT held AND fire_at < $2 AND account = $4"
            " ORDER BY fire_at LIMIT $3",
            partition,
            before,
            limit,
            account,
        )
        return await _jobs(found)

    @store_call
    async def load_schedules(self, partition: int, before: int, limit: int, *, since: int = 0) -> list[ScheduleState]:
        """Return up to *limit* active schedules, not held, with *since* <= `next_run_at` < *before*, earliest first."""
        found = await self._pool.fetch(
            f"{rows.SELECT_SCHEDULE} WHERE part = $1 AND status = 0 AND NOT held AND next_run_at IS NOT NULL"
            " AND next_run_at >= $4 AND next_run_at < $2 ORDER BY next_run_at LIMIT $3",
            partition,
            before,
            limit,
            since,
        )
        return [rows.schedule_of(row) for row in found]

    @store_call
    async def running(self, partition: int) -> Snapshot:
        """
        Return the attempts under way, and the position up to which that is the whole truth.

        Jobs that are held are left out: the record that could not be read may have been their result.
        """
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(HOLD)
            position, claim = await _progress(connection, partition)
            found = await connection.fetch(f"{rows.SELECT_JOB} WHERE part = $1 AND status = 1 AND NOT held", partition)
        return Snapshot(position, claim, [due_of(job) for job in await _jobs(found)])

    @store_call
    async def specs(self, ids: Iterable[str]) -> dict[str, Spec]:
        """Return the specs of those of *ids* (`spec_id`s: ids of jobs or schedules) that the tables hold."""
        wanted = {rows.uuid_of(any_id): any_id for any_id in ids}
        found = await self._pool.fetch("SELECT spec_id, spec FROM specs WHERE spec_id = ANY ($1::uuid[])", list(wanted))
        return {wanted[row["spec_id"]]: _decode_spec(row["spec"]) for row in found}

    async def all_rows(self, partition: int) -> AllRows:
        """Return everything of *partition* in one consistent snapshot. Heavy: for verification only."""
        with translated():
            async with asyncio.timeout(VERIFY_TIMEOUT_S):
                return await self._all_rows(partition)

    async def _all_rows(self, partition: int) -> AllRows:
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(HOLD)
            await connection.execute(f"SET LOCAL statement_timeout = '{VERIFY_TIMEOUT_S:.0f}s'")

            async def everything(query: str) -> Sequence[Any]:
                found: Sequence[Any] = await connection.fetch(query, partition, timeout=VERIFY_TIMEOUT_S)
                return found

            position, claim = await _progress(connection, partition)
            jobs = await everything(f"{rows.SELECT_JOB} WHERE part = $1")
            schedules = await everything(f"{rows.SELECT_SCHEDULE} WHERE part = $1")
            specs = await everything("SELECT spec_id, spec FROM specs WHERE part = $1")
            executions = await everything("SELECT * FROM executions WHERE part = $1")
            usage = await everything(
                "SELECT account, day - DATE '1970-01-01' AS day, executions FROM usage_daily WHERE part = $1"
            )
        schedule_states = [rows.schedule_of(row) for row in schedules]
        schedule_numbers = {row["schedule_id"].int for row in schedules}
        execution_rows = [rows.execution_of(row) for row in executions]
        return AllRows(
            position,
            claim,
            {state.job_id: state for state in await _jobs(jobs)},
            {state.schedule_id: state for state in schedule_states},
            {
                from_int("sched" if row["spec_id"].int in schedule_numbers else "job", row["spec_id"].int): row["spec"]
                for row in specs
            },
            {(row.job_id, row.attempt): row for row in execution_rows},
            {(row["account"], row["day"]): row["executions"] for row in usage},
        )


async def _jobs(found: Sequence[Any]) -> list[JobState]:
    """Return the states in *found*, giving way to other tasks in between."""
    states = [rows.job_of(row) for row in found[:CHUNK]]
    for start in range(CHUNK, len(found), CHUNK):
        await asyncio.sleep(0)
        states += [rows.job_of(row) for row in found[start : start + CHUNK]]
    return states


async def _progress(connection: Any, partition: int) -> tuple[int, Claim | None]:
    row = await connection.fetchrow(
        "SELECT position, claim_epoch, claim_nonce FROM progress WHERE part = $1", partition
    )
    return (-1, None) if row is None else (row["position"], rows.claim_of(row))


def due_of(job: JobState) -> AttemptDue:
    """Return the event that made *job* run, as far as its consumers need it."""
    return AttemptDue(
        job_id=job.job_id,
        account=job.account,
        at=job.fire_at,
        attempt=job.attempt,
        execution_id=execution_id(job.job_id, job.attempt),
        not_before=job.fire_at,
        scheduled_at=job.scheduled_at,
        timeout_ms=job.timeout_ms,
        spec_id=job.spec_id,
        schedule_id=job.schedule_id,
    )
