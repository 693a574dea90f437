"""
Pools: the connections of one process to the database, apart by who uses them.

    vital     leases, clock, positions of the tables, state of the installation: short statements, and nobody else's
    callers   what requests of the API ask for, however many callers there are and however slow the answers
    tables    what scheduler, dispatcher and webhooks service load, and the secrets that they sign with
    flush     the scheduler's flushes, which do not wait for the disk

If callers shared connections with the leases, then many callers, or a few slow questions, would cost a process its leases, and
jobs would be late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

from libs.runtime.roles import READERS
from libs.store.pool import open_pool
from libs.store.projection.progress import ProgressWatch
from libs.store.projection.projector import SESSION

CLOSE_S: Final = 5.0
# Pool -> the most connections that it opens, and the roles that need it.
SIZES: Final = {
    "vital": (4, ("api", *READERS)),
    "callers": (8, ("api",)),
    "tables": (5, READERS),
    "flush": (2, ("scheduler",)),
}


class Pools(NamedTuple):
    """The pools of one process. One that none of its roles needs is None."""

    vital: Any
    callers: Any
    tables: Any
    flush: Any


def connections_max(roles: Sequence[str]) -> int:
    """Return how many connections a process with *roles* opens at the most, besides those to a log in PostgreSQL."""
    return sum(size for size, users in SIZES.values() if set(users) & set(roles))


async def enter_pools(stack: AsyncExitStack, dsn: str, roles: Sequence[str]) -> tuple[Pools, ProgressWatch]:
    """
    Open the pools that *roles* need, and the watch over the tables' positions; *stack* closes them.

    The watch forgets what it knows with every new connection that reads the tables: the server may have crashed and lost flushes.

    Raises:
        StoreUnavailable: the server cannot be reached.
    """
    watches: list[ProgressWatch] = []  # empty while the first connection is made

    def connected() -> None:
        for watch in watches:
            watch.forget()

    opened: dict[str, Any] = {}
    for name, (size, users) in SIZES.items():
        settings = SESSION if name == "flush" else {}
        needed = set(users) & set(roles)
        opened[name] = (
            await enter_pool(stack, dsn, name=name, size=size, settings=settings, on_connect=connected)
            if needed
            else None
        )
        if not watches:
            watches.append(ProgressWatch(opened[name]))
            stack.push_async_callback(watches[0].stop)
    return Pools(**opened), watches[0]


async def enter_pool(stack: AsyncExitStack, dsn: str, *, name: str, size: int, **options: Any) -> Any:
    """Open a pool as `libs.store.pool.open_pool` does; *stack* closes it. Raises `StoreUnavailable`."""
    pool = await open_pool(dsn, name=name, size=size, **options)

    async def close() -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    stack.push_async_callback(close)
    return pool
