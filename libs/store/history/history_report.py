"""History report: what an operator wants to know of the history: what is kept, since when, and what would go."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from libs.domain.heartbeat import ACCOUNT
from libs.domain.history.floors import FIELDS, NOTHING_FORGOTTEN, Floors
from libs.domain.job import JobStatus
from libs.store.errors import translated
from libs.store.history.forgotten_rows import FORGOTTEN, arguments

TIMEOUT_S: Final = 600.0  # of one query: all ended jobs are counted

_KEPT: Final = (
    f"SELECT CASE WHEN account = '{ACCOUNT}' THEN NULL ELSE status END AS status, count(*) AS rows,"  # noqa: S608 - our own names
    " min(completed_at) AS oldest_at FROM jobs WHERE status IN (4, 5, 6) GROUP BY 1 ORDER BY 1"
)
_BYTES: Final = (
    "SELECT sum(pg_total_relation_size(t)), (SELECT reltuples FROM pg_class WHERE oid = 'jobs'::regclass)"
    " FROM unnest('{jobs,specs,executions,responses,labels,deliveries}'::regclass[]) t"
)
_ALL: Final = 1 << 62


class Kept(NamedTuple):
    """Ended jobs of one kind that are in the tables; *status* is None for heartbeats."""

    status: JobStatus | None
    rows: int
    oldest_at: int


class HistoryReport:
    """Reads for people. Every method raises `StoreUnavailable`."""

    def __init__(self, pool: Any) -> None:
        """Read through *pool*."""
        self._pool = pool

    async def kept(self) -> list[Kept]:
        """Return what is in the tables."""
        with translated():
            found = await self._pool.fetch(_KEPT, timeout=TIMEOUT_S)
        return [
            Kept(None if row["status"] is None else JobStatus(row["status"]), row["rows"], row["oldest_at"])
            for row in found
        ]

    async def floors(self) -> dict[int, Floors]:
        """Return what is forgotten, by partition."""
        with translated():
            found = await self._pool.fetch(f"SELECT part, {', '.join(FIELDS)} FROM history")  # noqa: S608
            parts = await self._pool.fetch("SELECT part, position FROM progress ORDER BY part")
        known = {row["part"]: Floors(**{name: row[name] for name in FIELDS}) for row in found}
        return {row["part"]: known.get(row["part"], NOTHING_FORGOTTEN) for row in parts}

    async def positions(self) -> dict[int, int]:
        """Return the position of the tables, by partition."""
        with translated():
            return {
                row["part"]: row["position"] for row in await self._pool.fetch("SELECT part, position FROM progress")
            }

    async def would_go(self, wanted: Mapping[int, Floors]) -> int:
        """Return how many jobs the floors *wanted*, by partition, would forget, those that are forgotten already among them."""
        count = 0
        with translated():
            for partition, floors in wanted.items():
                query = f"SELECT count(*) FROM ({FORGOTTEN}) AS gone"  # noqa: S608 - our own names
                count += await self._pool.fetchval(query, *arguments(partition, floors, _ALL), timeout=TIMEOUT_S)
        return count

    async def bytes_a_job(self) -> float:
        """Return about how many bytes of the tables one job takes; 0 if the server has no estimate yet."""
        with translated():
            taken, rows = await self._pool.fetchrow(_BYTES)
        return float(taken) / rows if rows > 0 else 0.0
