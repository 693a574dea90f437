"""
Consistency: reads that see every write acknowledged before they began, on every replica.

A read asks the log where it ends, waits until the tables are that far (a read index), and then reads. Writes do not wait, and a
read does not wait if the row it finds is already final.

While the log cannot be asked, reads return what the tables have and say so (`STALE`): a state that once was, maybe not the
newest. If such a read finds nothing, it is refused and never answered with 404.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from libs.log.ends import ends_of
from libs.log.port import Log, LogUnavailable
from libs.store.projection.progress import ProgressWatch
from services.api.contract.api_error import unavailable

WAIT_S: Final = 3.0  # bound on catching up; a healthy fold is some 10 ms behind
END_S: Final = 1.0  # bound on asking the log where it ends; a healthy one answers within some ms
AWAY_S: Final = 0.5  # a partition that did not answer is not asked again for so long
TRIES_MAX: Final = 20  # reads beside which a connection was opened: a process opens fewer at once
STALE: Final[Mapping[str, str]] = {"Fliq-Stale": "true"}  # the answer may lack what was acknowledged before it
FRESH: Final[Mapping[str, str]] = {}

T = TypeVar("T")


class Found(NamedTuple, Generic[T]):
    """What a query found, and whether that is as new as the log."""

    row: T | None
    is_fresh: bool


class ReadIndex:
    """Waits for the tables. *partition_count* partitions, numbered from 0."""

    def __init__(self, log: Log, progress: ProgressWatch, *, partition_count: int, wait_s: float = WAIT_S) -> None:
        self._log = log
        self._progress = progress
        self._partition_count = partition_count
        self._wait_s = wait_s
        self._away_until: dict[int, float] = {}  # partition -> until when the log is not asked again where it ends

    @property
    def partitions(self) -> range:
        """Those that this process knows."""
        return range(self._partition_count)

    async def partition(self, partition: int) -> bool:
        """
        Wait until the tables hold all that *partition* held when this was called; False if the log cannot be asked.

        Raises:
            ApiError: 503 if that does not happen in time.
        """
        if not self.serves(partition):
            # Either the log has grown since this process was started, or the id is made up and no job can exist there. It does
            # not matter whether the tables hold anything of it: a new partition gets jobs before it gets an owner.
            return not await self._progress.has(partition)
        return await self._catch_up([partition])

    def serves(self, partition: int) -> bool:
        """Whether this process knows *partition*. If it came later, the process cannot read or write it before its next start."""
        return partition < self._partition_count

    async def everywhere(self) -> bool:
        """The same for every partition."""
        return await self._catch_up(range(self._partition_count))

    async def find(self, partition: int, query: Callable[[], Awaitable[T | None]]) -> T | None:
        """
        Return what *query* finds; if that is nothing, wait for *partition* and ask again.

        Raises:
            ApiError: 503 if the tables cannot be made current in time.
            LogUnavailable: nothing was found, and the log cannot be asked whether that means anything.
        """
        found = await query()
        if found is None:
            found = await self._ask_again(partition, query)
        return found

    async def current(
        self, partition: int, query: Callable[[], Awaitable[T | None]], is_final: Callable[[T], bool]
    ) -> Found[T]:
        """
        Return what *query* finds once the tables hold all that *partition* held; at once if the row *is_final*.

        Targets and receivers of webhooks are called from the log, which is ahead of the tables. If one of them then asks the
        API, it must not see an older state.

        Raises:
            ApiError, LogUnavailable: as `find`.
        """
        found = await query()
        if found is not None and is_final(found):
            return Found(found, is_fresh=True)
        del found  # it may have a large body, and thousands of requests may wait here
        try:
            return Found(await self._ask_again(partition, query), is_fresh=True)
        except LogUnavailable:
            if (found := await query()) is None:
                raise
            return Found(found, is_fresh=False)

    async def _ask_again(self, partition: int, query: Callable[[], Awaitable[T | None]]) -> T | None:
        """Return what *query* finds in tables that hold all that *partition* held when this was called."""
        for _ in range(TRIES_MAX):
            if not await self.partition(partition):
                raise LogUnavailable("the log does not say where it ends")
            forgotten_count = self._progress.forgotten_count
            found = await query()
            if forgotten_count == self._progress.forgotten_count:
                return found
        raise unavailable("the database has just been lost and found again, try again")

    async def applied(self, partition: int, position: int, *, wait_s: float | None = None) -> bool:
        """Wait until the tables hold *position*; False if that does not happen in time."""
        return await self._progress.wait(partition, position, self._wait_s if wait_s is None else wait_s)

    async def _catch_up(self, partitions: Sequence[int]) -> bool:
        loop = asyncio.get_running_loop()
        if any(loop.time() < self._away_until.get(p, 0.0) for p in partitions):
            return False
        ends, _ = await ends_of(self._log, partitions, END_S)
        if len(ends) < len(partitions):
            # Note these alone: a partition that has lost its leader must not make the reads of the others stale.
            self._away_until |= dict.fromkeys(set(partitions) - ends.keys(), loop.time() + AWAY_S)
            return False
        wanted = {p: end - 1 for p, end in ends.items() if end > 0}
        if not await self._progress.wait_all(wanted, self._wait_s):
            raise unavailable("the tables are behind the log, try again")
        return True
