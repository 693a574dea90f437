"""
Projector: writes what was folded into the tables: rows, position and usage of all partitions in one statement.

Theory of operation

    fence     First the statement moves `progress.position` from the old to the new value, for every partition whose lease nonce
              and old position are still ours. If a partition does not pass, nothing of it is written; the other partitions of
              the call are. Row locks are taken in the order of partitions, so two projectors that overlap wait for each other
              and never deadlock. All other rows belong to one partition and are guarded by its `progress` row.
    rows      New states are inserted whole; of a state that was there, only the columns that can change are written.
    durable   Commits do not wait for the disk. If the server crashes, rows and position are lost together, never one without
              the other, and what was lost is folded again from the log.
    again     A flush may be repeated as it is, whatever became of the first try, because the position moves only once. If the
              outcome of a try is unknown, the next try finds either the old position (not written: it writes) or the new one
              under our own nonce (written: it is done). No other process can leave the new position with our nonce.

Cost: one round trip and one prepared statement, whatever the number of partitions. Columns are sent as arrays
(libs/runtime/postgres/array_columns.py). The session uses a generic plan without hash joins, merge joins and sequential scans:
every access is by index, and the plan does not change while tables grow.

Not safe: after `StoreUnavailable` the caller must repeat the same flushes before it adds to them. Usage is counted by addition,
and if the first try was written after all, a larger flush from the old position would be refused.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from libs.runtime.postgres.array_columns import send_arrays
from libs.store.errors import StoreUnavailable, translated
from libs.store.projection import flush_sql
from libs.store.projection.changes import Flush
from libs.store.projection.progress import ProgressWatch

TRIES: Final = 3
TIMEOUT_S: Final = 5.0  # of one try; 2,000 rows take a tenth of a second
_RETRY_AFTER_S: Final = 0.05  # doubled each time

SESSION: Final[Mapping[str, str]] = {  # of the pool's connections
    "synchronous_commit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
}
_WRITTEN: Final = (
    "SELECT p.part, p.position, p.position = f.to_position AND p.lease_nonce = f.nonce AS written"
    " FROM progress p JOIN unnest($1::int4[], $2::text[], $3::int8[]) AS f(part, nonce, to_position) USING (part)"
)


class Projector:
    """The one writer of the fold's tables in a process. It keeps one connection of a pool that nobody else uses."""

    def __init__(self, pool: Any, watch: ProgressWatch, *, timeout_s: float = TIMEOUT_S) -> None:
        """Write through *pool*, whose sessions are as `SESSION` says, and publish to *watch*; *timeout_s* bounds each try."""
        self._timeout_s = timeout_s
        self._pool = pool
        self._watch = watch
        self._connection: Any = None
        self._given_back: asyncio.Future[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def flush(self, flushes: Sequence[Flush]) -> set[int]:
        """
        Write *flushes*, at most one per partition, and return the partitions that did not pass the fence.

        Nothing of those was written: their lease is lost, or another process moved the position.

        Raises:
            StoreUnavailable: the database did not answer in several tries; the caller must give the same flushes again.
            ValueError: a partition is given twice, or its position does not move on.
        """
        ordered = sorted(flushes, key=lambda flush: flush.partition)
        _check(ordered)
        if not ordered:
            return set()
        statement, arguments = flush_sql.prepare(ordered)
        async with self._one_at_a_time:
            for attempt in range(1, TRIES + 1):
                try:
                    with translated():
                        written = {row["part"] for row in await self._fetch(statement, *arguments)}
                        missed = await self._missed([flush for flush in ordered if flush.partition not in written])
                    break
                except StoreUnavailable:
                    if attempt == TRIES:
                        raise
                    await asyncio.sleep(_RETRY_AFTER_S * 2 ** (attempt - 1))
        for flush in ordered:
            if flush.partition not in missed:
                self._watch.publish(flush.partition, flush.to_position)
        return missed

    async def _fetch(self, statement: str, *arguments: Any) -> Sequence[Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connected()
                found: Sequence[Any] = await connection.fetch(statement, *arguments)
        except BaseException:
            # Also if we are cancelled: the statement may still run, and the next one must not queue behind it.
            self._abandon()
            raise
        return found

    async def _missed(self, doubtful: Sequence[Flush]) -> set[int]:
        """Return those of *doubtful*, which the fence refused, that no earlier try of this process wrote either."""
        if not doubtful:
            return set()
        rows = await self._fetch(
            _WRITTEN,
            [flush.partition for flush in doubtful],
            [flush.lease_nonce for flush in doubtful],
            [flush.to_position for flush in doubtful],
        )
        missed = {flush.partition for flush in doubtful}
        for row in rows:
            self._watch.correct(row["part"], row["position"])
            if row["written"]:
                missed.discard(row["part"])
        return missed

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._abandon()
            self._connection = await self._pool.acquire()
            send_arrays(self._connection)
        return self._connection

    def _abandon(self) -> None:
        """Close the connection, so that its transaction ends with it; the pool makes another when one is needed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _terminate(connection)
            # Without a reference the task could be collected before it ran.
            self._given_back = asyncio.ensure_future(self._pool.release(connection))

    async def close(self) -> None:
        """Give the connection back to the pool."""
        async with self._one_at_a_time:
            connection, self._connection = self._connection, None
            if connection is not None:
                await self._pool.release(connection)


def _terminate(connection: Any) -> None:
    """Close a connection, also one that the pool took back when the server went away."""
    try:
        connection.terminate()
    except asyncpg.InterfaceError:
        return  # the server is gone, and the connection with it


def _check(ordered: Sequence[Flush]) -> None:
    for index, flush in enumerate(ordered):
        if index and ordered[index - 1].partition == flush.partition:
            raise ValueError(f"partition {flush.partition} is flushed twice in one call")
        if flush.to_position <= flush.from_position:
            raise ValueError(f"partition {flush.partition}: a flush from {flush.from_position} to {flush.to_position}")
