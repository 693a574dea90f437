"""
InstallationStatus: the state of the whole installation by its tables, over all processes. One query, for metrics and readiness.
"""

from typing import Any, NamedTuple

from libs.runtime.roles import FOLLOWERS, OWNER
from libs.store.errors import store_call
from libs.store.projection.job_rows import JOBS


class InstallationStatus(NamedTuple):
    """
    The state at one moment.

    Args:
        at: the database's clock, ms since 1970.
        positions: how far the tables are folded, by partition.
        unassigned: how many partitions have no live lease, by role.
        oldest_due_at: the earliest `fire_at` of a job that has not fired; None if there is no such job.
    """

    at: int
    positions: dict[int, int]
    unassigned: dict[str, int]
    oldest_due_at: int | None


class StatusReader:
    """Reads the status through *pool*."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @store_call
    async def read(self) -> InstallationStatus:
        """Return the status of this moment; raises `StoreUnavailable`. O(partitions)."""
        row = await self._pool.fetchrow(_STATUS)
        return InstallationStatus(
            at=row["at"],
            positions=dict(zip(row["parts"], row["positions"], strict=True)),
            unassigned={OWNER: row["unowned"]}
            | dict.fromkeys(FOLLOWERS, 0)
            | dict(zip(row["roles"], row["free"], strict=True)),
            oldest_due_at=row["oldest_due_at"],
        )


# The condition on jobs is that of the index jobs_timer, so each partition costs one index look-up.
_STATUS = f"""
WITH p AS MATERIALIZED (
    SELECT part, position, lease_until IS NULL OR lease_until < now() AS is_free FROM progress ORDER BY part
), r AS MATERIALIZED (
    SELECT role, count(*) FILTER (WHERE lease_until IS NULL OR lease_until < now())::int4 AS free
    FROM role_lease GROUP BY role
)
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8 AS at,
    coalesce((SELECT array_agg(part ORDER BY part) FROM p), '{{}}') AS parts,
    coalesce((SELECT array_agg(position ORDER BY part) FROM p), '{{}}') AS positions,
    (SELECT count(*)::int4 FROM p WHERE is_free) AS unowned,
    coalesce((SELECT array_agg(role ORDER BY role) FROM r), '{{}}') AS roles,
    coalesce((SELECT array_agg(free ORDER BY role) FROM r), '{{}}') AS free,
    (SELECT min(first.fire_at) FROM p CROSS JOIN LATERAL (
        SELECT fire_at FROM jobs WHERE jobs.part = p.part AND {JOBS.waits} ORDER BY fire_at LIMIT 1
    ) AS first) AS oldest_due_at
"""  # noqa: S608 - our own names
