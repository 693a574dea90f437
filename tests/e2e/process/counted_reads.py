"""Counted reads: how many rows of its tables PostgreSQL reads for the statements of a pool."""

from __future__ import annotations

from typing import Any, Final

# Of the transaction under way, and of this session alone: rows that were read from tables, by an index or one after the other.
_READ: Final = (
    "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int8 FROM pg_stat_xact_user_tables"
    " WHERE schemaname = 'fliq'"
)


class CountedPool:
    """
    The pool *pool*, which adds up in `rows` what its single statements read.

    What is done with a connection of its own (`acquire`) is not counted: those are writes, and the stream of events.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.rows = 0

    async def fetch(self, query: str, *args: Any, **kwargs: Any) -> Any:
        return await self._counted("fetch", query, *args, **kwargs)

    async def fetchrow(self, query: str, *args: Any, **kwargs: Any) -> Any:
        return await self._counted("fetchrow", query, *args, **kwargs)

    async def fetchval(self, query: str, *args: Any, **kwargs: Any) -> Any:
        return await self._counted("fetchval", query, *args, **kwargs)

    async def _counted(self, method: str, query: str, *args: Any, **kwargs: Any) -> Any:
        async with self._pool.acquire() as connection, connection.transaction():
            before = await connection.fetchval(_READ)
            found = await getattr(connection, method)(query, *args, **kwargs)
            after = await connection.fetchval(_READ)
        self.rows += after - before  # here nothing waits in between, and others count at the same time
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)
