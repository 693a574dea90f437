"""
Sealer: reads ended jobs and the usage of days from the tables, and sums them up by hour and day (seals.py).

The jobs of an hour are found by the index of ends. What was long over cannot change any more, so this needs no snapshot of its own.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from libs.domain.heartbeat import ACCOUNT
from libs.domain.job import TERMINAL, JobState
from libs.store.carried import seals
from libs.store.carried.seals import Ended, Key, Sum
from libs.store.projection import rows
from libs.store.projection.changes import ExecutionRow
from libs.store.projection.job_rows import JOBS

ROWS: Final = 100  # fetched at once: they are hashed in some 2 ms, in which nothing else of the process runs
WINDOW_MS: Final = 86_400_000  # of ends that are read in one transaction
TIMEOUT_S: Final = 600.0

_ENDS: Final = tuple(
    f"{JOBS.select} WHERE part = $1 AND status = {int(status)} AND completed_at >= $2 AND completed_at < $3"
    f" AND account <> '{ACCOUNT}'"
    for status in sorted(TERMINAL)
)
_OLDEST: Final = "SELECT least({})".format(
    ", ".join(
        f"(SELECT min(completed_at) FROM jobs WHERE part = $1 AND status = {int(status)} AND completed_at >= $2)"  # noqa: S608
        for status in sorted(TERMINAL)
    )
)
_EXECUTIONS: Final = (
    f"SELECT {', '.join(rows.EXECUTION_COLUMNS)} FROM executions WHERE job_id = ANY ($1::uuid[])"  # noqa: S608
    " ORDER BY job_id, attempt"
)
_SPECS: Final = "SELECT spec_id, spec FROM specs WHERE spec_id = ANY ($1::uuid[])"
_USAGE: Final = (
    "SELECT account, day - DATE '1970-01-01' AS day, executions FROM usage_daily WHERE part = $1"
    " AND day >= DATE '1970-01-01' + $2::int4 AND day < DATE '1970-01-01' + $3::int4"
)


async def oldest_end(connection: Any, partition: int, since: int) -> int | None:
    """Return when the first job of *partition* ended that ended at *since* or later."""
    at: int | None = await connection.fetchval(_OLDEST, partition, since, timeout=TIMEOUT_S)
    return at


async def ended(connection: Any, partition: int, since: int, before: int) -> AsyncIterator[list[Ended]]:
    """Yield the jobs of *partition* that ended in [*since*, *before*); *connection* must be in a transaction."""
    for query in _ENDS:
        cursor = await connection.cursor(query, partition, since, before)
        while found := await cursor.fetch(ROWS, timeout=TIMEOUT_S):
            yield await _hashed(connection, [JOBS.state_of(row) for row in found])


async def _hashed(connection: Any, jobs: Sequence[JobState]) -> list[Ended]:
    tried: dict[str, list[ExecutionRow]] = {}
    ids = rows.uuids_of(job.job_id for job in jobs if job.attempt)
    for row in await connection.fetch(_EXECUTIONS, ids, timeout=TIMEOUT_S):
        execution = rows.execution_of(row)
        tried.setdefault(execution.job_id, []).append(execution)
    wanted = rows.uuids_of({job.spec_id for job in jobs})
    specs = {row["spec_id"]: bytes(row["spec"]) for row in await connection.fetch(_SPECS, wanted, timeout=TIMEOUT_S)}
    found = []
    for job in jobs:
        attempts = tried.get(job.job_id, [])
        hashed = seals.hash_of(job, attempts, specs.get(rows.uuid_of(job.spec_id)))
        found.append(Ended(job, hashed, len(attempts)))
    return found


async def usage(connection: Any, partition: int, since: int, before: int) -> dict[Key, Sum]:
    """Return the sums of the days that are sealed with the hours in [*since*, *before*)."""
    first, end = (seals.usage_before(at) if at else 0 for at in (since, before))
    found: dict[Key, Sum] = {}
    for row in await connection.fetch(_USAGE, partition, first, max(first, end), timeout=TIMEOUT_S):
        key = seals.USAGE, row["day"] * WINDOW_MS
        hashed = seals.usage_hash(row["account"], row["day"], row["executions"])
        found[key] = found.get(key, Sum()).plus(hashed)
    return found
