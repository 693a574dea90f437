"""
Activity: what an account's jobs did in the last day, in few numbers: how they ended, which are overdue, how late calls left; and
how many jobs there are of each status.

Each number comes from a bounded number of rows, by an index. If there are more rows, the newest count, and the answer says so.
Each `LIMIT` has the order of its index. Without an order the server may go through the whole table, in the hope of finding enough
soon.
"""

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from libs.domain.job import JobStatus
from libs.store.errors import answer_call
from libs.store.projection.job_rows import JOBS

ENDED_MAX: Final = 2_000  # jobs of each outcome
DUE_MAX: Final = 2_000  # overdue jobs of all accounts
CALLS_MAX: Final = 500  # calls of which the lateness is looked at
STATUS_MAX: Final = 1_000  # jobs of each status that are counted
HOUR_MS: Final = 3_600_000
ENDS: Final = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)

# An end's newest rows by id: an id begins with the instant at which its job was made.
_ENDED: Final = " UNION ALL ".join(
    f"(SELECT status, completed_at, job_id, attempt, fire_at FROM jobs WHERE account = $1 AND status = {status:d}"  # noqa: S608
    f" ORDER BY job_id DESC LIMIT {ENDED_MAX})"
    for status in ENDS
)
_COUNTS: Final = ", ".join(
    "(SELECT count(*) FROM (SELECT FROM jobs WHERE account = $1"  # noqa: S608 - our own names
    f" AND status = {status:d} ORDER BY job_id DESC LIMIT {STATUS_MAX}) AS of_status)"
    for status in JobStatus
)
_QUERY: Final = f"""
WITH ended AS MATERIALIZED ({_ENDED}),
late AS MATERIALIZED (
    SELECT greatest(executed_at - fire_at, 0) AS ms
    FROM (
        SELECT job_id, fire_at FROM ended WHERE attempt = 1 AND completed_at >= $3 ORDER BY job_id DESC LIMIT {CALLS_MAX}
    ) AS calls
    JOIN executions ON executions.job_id = calls.job_id AND executions.attempt = 1
    WHERE executed_at IS NOT NULL
),
due AS MATERIALIZED (
    SELECT scan.account, scan.fire_at FROM unnest($4::int4[]) AS wanted (number) CROSS JOIN LATERAL (
        SELECT account, fire_at FROM jobs WHERE part = wanted.number AND {JOBS.waits} AND fire_at <= $5
        ORDER BY fire_at LIMIT {DUE_MAX}
    ) AS scan LIMIT {DUE_MAX}
)
SELECT
    coalesce((SELECT array_agg(ARRAY[status::int8, hour, found] ORDER BY hour, status) FROM (
        SELECT status, (completed_at - $2) / {HOUR_MS} AS hour, count(*) AS found FROM ended WHERE completed_at >= $2 GROUP BY 1, 2
    ) AS hours), '{{}}') AS hours,
    coalesce((SELECT bool_or(found >= {ENDED_MAX}) FROM (SELECT count(*) AS found FROM ended GROUP BY status) AS c), false)
        OR (SELECT count(*) >= {DUE_MAX} FROM due) AS is_partial,
    (SELECT count(*) FROM due WHERE account = $1) AS due,
    (SELECT min(fire_at) FROM due WHERE account = $1) AS oldest_due_at,
    (SELECT count(*) FROM late) AS calls,
    ARRAY[{_COUNTS}] AS counts,
    (SELECT percentile_disc(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (ORDER BY ms) FROM late) AS lateness
"""  # noqa: S608 - our own names


class Activity(NamedTuple):
    """
    What an account's jobs did.

    Args:
        ended: (hour from the first one on, how, how many).
        due: jobs whose instant has come and whose attempt is not due yet.
        oldest_due_at: the earliest such instant; None if there is none.
        calls: how many calls *lateness_ms* is of.
        lateness_ms: by how much first attempts left late: half of them at most the first, 99 of 100 the second, all the third.
        is_partial: there is more than was counted of ends and of what is due.
        counts: how many jobs have each status, at most `STATUS_MAX` of each.
    """

    ended: list[tuple[int, JobStatus, int]]
    due: int
    oldest_due_at: int | None
    calls: int
    lateness_ms: tuple[int, int, int] | None
    is_partial: bool
    counts: dict[JobStatus, int]


class ActivityReader:
    """Reads activity. Raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Read through *pool*."""
        self._pool = pool

    @answer_call
    async def activity(
        self, account: str, partitions: Collection[int], *, since: int, calls_since: int, now: int
    ) -> Activity:
        """
        Return what the jobs of *account* did since *since*.

        Args:
            partitions: all there are.
            since: the beginning of the first hour; calls count from *calls_since* on.
        """
        row = await self._pool.fetchrow(_QUERY, account, since, calls_since, list(partitions), now)
        late = row["lateness"]
        return Activity(
            ended=[(hour, JobStatus(status), count) for status, hour, count in row["hours"]],
            due=row["due"],
            oldest_due_at=row["oldest_due_at"],
            calls=row["calls"],
            lateness_ms=None if late is None else tuple(late),
            is_partial=row["is_partial"],
            counts=dict(zip(JobStatus, row["counts"], strict=True)),
        )
