"""
Fair pool: connections to the tables, of which no account takes more than its share.

The driver gives a free connection to whoever waits longest. So 300 callers of one large job had all others wait behind them. Here
the accounts take turns (account_turns.py): one account has half of the connections at the most, and the next one finds a free one.

Who holds a connection must not ask for another one: each of an account's connections could then wait for the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from libs.following.account_turns import AccountTurns, asking


class FairPool:
    """An asyncpg pool, as far as reads and writes of requests use one; every statement is that of the account that is `asking`."""

    def __init__(self, pool: Any, size: int) -> None:
        """Share the *size* connections of *pool*."""
        self._pool = pool
        self._turns = AccountTurns(size)

    def _turn(self) -> AbstractAsyncContextManager[None]:
        return self._turns.turn(asking.get())

    async def fetch(self, *args: Any, **options: Any) -> Any:
        async with self._turn():
            return await self._pool.fetch(*args, **options)

    async def fetchrow(self, *args: Any, **options: Any) -> Any:
        async with self._turn():
            return await self._pool.fetchrow(*args, **options)

    async def fetchval(self, *args: Any, **options: Any) -> Any:
        async with self._turn():
            return await self._pool.fetchval(*args, **options)

    async def execute(self, *args: Any, **options: Any) -> Any:
        async with self._turn():
            return await self._pool.execute(*args, **options)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Enter with a connection."""
        async with self._turn(), self._pool.acquire() as connection:
            yield connection
