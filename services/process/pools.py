"""Pools: connections to the database that an exit stack closes, without a long wait."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Final

from libs.store.pool import open_pool

CLOSE_S: Final = 5.0


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
