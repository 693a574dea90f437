"""
Consistency: reads that see every write acknowledged before they began, on every replica.

A read asks the log how far it reaches, waits until the tables are that far (a read index), and then reads. Nobody has
to wait at write time, and nobody pays who finds at once what it looks for and what cannot change any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from libs.log.port import Log
from services.api.errors import unavailable
from services.api.ports import Progress

WAIT_S: Final = 3.0  # bound on catching up; a healthy fold is some 10 ms behind

T = TypeVar("T")


class ReadIndex:
    """Waits for the tables. *partition_count* partitions, numbered from 0."""

    def __init__(self, log: Log, progress: Progress, *, partition_count: int, wait_s: float = WAIT_S) -> None:
        self._log = log
        self._progress = progress
        self._partition_count = partition_count
        self._wait_s = wait_s

    async def partition(self, partition: int) -> None:
        """
        Wait until the tables hold all that *partition* held when this was called.

        Raises:
            ApiError: 503 when that does not happen in time.
            LogUnavailable: the log does not answer.
        """
        if partition >= self._partition_count:
            return
        async with asyncio.timeout(self._wait_s):
            end = await self._log.end(partition)
        if end > 0 and not await self._progress.wait(partition, end - 1, self._wait_s):
            raise unavailable("the tables are behind the log, try again")

    async def everywhere(self) -> None:
        """The same for every partition."""
        partitions = range(self._partition_count)
        async with asyncio.timeout(self._wait_s):
            ends = await asyncio.gather(*[self._log.end(p) for p in partitions])
        wanted = {p: end - 1 for p, end in zip(partitions, ends, strict=True) if end > 0}
        if not await self._progress.wait_all(wanted, self._wait_s):
            raise unavailable("the tables are behind the log, try again")

    async def find(self, partition: int, query: Callable[[], Awaitable[T | None]]) -> T | None:
        """Return what *query* finds; when that is nothing, wait for *partition* and ask again."""
        found = await query()
        if found is None:
            await self.partition(partition)
            found = await query()
        return found

    async def current(
        self, partition: int, query: Callable[[], Awaitable[T | None]], is_final: Callable[[T], bool]
    ) -> T | None:
        """
        Return what *query* finds once the tables hold all that *partition* held; at once when that can change no more.

        Targets and receivers of webhooks are called from the log, which is ahead of the tables: whoever was told something
        must not be shown what was before it.
        """
        found = await query()
        if found is None or not is_final(found):
            await self.partition(partition)
            found = await query()
        return found

    async def applied(self, partition: int, position: int) -> bool:
        """Wait until the tables hold *position*; False when that does not happen in time."""
        return await self._progress.wait(partition, position, self._wait_s)
