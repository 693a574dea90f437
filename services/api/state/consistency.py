"""
Consistency: reads that see every write acknowledged before they began, on every replica.

A read asks the log how far it reaches, waits until the tables are that far (a read index), and then reads. Nobody has
to wait at write time, and nobody pays who finds at once what it looks for and what cannot change any more.

While the log cannot be asked, reads go on with what the tables have, and say so (`STALE`): nothing is promised of them then but
that they are a state that was. A read that finds nothing in tables that may be behind is refused, never answered with 404.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from libs.log.ends import ends_of
from libs.log.port import Log, LogUnavailable
from services.api.contract.errors import unavailable
from services.api.state.ports import Progress

WAIT_S: Final = 3.0  # bound on catching up; a healthy fold is some 10 ms behind
END_S: Final = 1.0  # bound on asking the log where it ends; a healthy one answers within some ms
AWAY_S: Final = 0.5  # after it did not answer, others are not kept waiting for so long
STALE: Final[Mapping[str, str]] = {
    "Fliq-Stale": "true"
}  # header of an answer that may lack what was acknowledged before it
FRESH: Final[Mapping[str, str]] = {}

T = TypeVar("T")


class Found(NamedTuple, Generic[T]):
    """What a query found, and whether that is as new as the log."""

    row: T | None
    is_fresh: bool


class ReadIndex:
    """Waits for the tables. *partition_count* partitions, numbered from 0."""

    def __init__(self, log: Log, progress: Progress, *, partition_count: int, wait_s: float = WAIT_S) -> None:
        self._log = log
        self._progress = progress
        self._partition_count = partition_count
        self._wait_s = wait_s
        self._away_until: dict[int, float] = {}  # partition -> until when the log is not asked again where it ends

    async def partition(self, partition: int) -> bool:
        """
        Wait until the tables hold all that *partition* held when this was called; False when the log cannot be asked.

        Raises:
            ApiError: 503 when that does not happen in time.
        """
        if not self.serves(partition):
            # The log has grown since this process was started; or the id is made up, and nothing can ever have been accepted there.
            # Whether anything is folded of it does not matter: a new partition gets jobs before it gets an owner.
            return not await self._progress.has(partition)
        return await self._catch_up([partition])

    def serves(self, partition: int) -> bool:
        """Whether this process knows *partition*; one that came later it can neither read nor write before it is started again."""
        return partition < self._partition_count

    async def everywhere(self) -> bool:
        """The same for every partition."""
        return await self._catch_up(range(self._partition_count))

    async def find(self, partition: int, query: Callable[[], Awaitable[T | None]]) -> T | None:
        """
        Return what *query* finds; when that is nothing, wait for *partition* and ask again.

        Raises:
            ApiError: 503 when the tables cannot be made current in time.
            LogUnavailable: nothing was found, and the log cannot be asked whether that means anything.
        """
        found = await query()
        if found is None:
            if not await self.partition(partition):
                raise LogUnavailable("the log does not say where it ends")
            found = await query()
        return found

    async def current(
        self, partition: int, query: Callable[[], Awaitable[T | None]], is_final: Callable[[T], bool]
    ) -> Found[T]:
        """
        Return what *query* finds once the tables hold all that *partition* held; at once when that can change no more.

        Targets and receivers of webhooks are called from the log, which is ahead of the tables: whoever was told something
        must not be shown what was before it.

        Raises:
            ApiError, LogUnavailable: as `find`.
        """
        found = await query()
        if found is not None and is_final(found):
            return Found(found, is_fresh=True)
        if await self.partition(partition):
            return Found(await query(), is_fresh=True)
        if found is None:
            raise LogUnavailable("the log does not say where it ends")
        return Found(found, is_fresh=False)

    async def applied(self, partition: int, position: int, *, wait_s: float | None = None) -> bool:
        """Wait until the tables hold *position*; False when that does not happen in time."""
        return await self._progress.wait(partition, position, self._wait_s if wait_s is None else wait_s)

    async def _catch_up(self, partitions: Sequence[int]) -> bool:
        loop = asyncio.get_running_loop()
        if any(loop.time() < self._away_until.get(p, 0.0) for p in partitions):
            return False
        ends, _ = await ends_of(self._log, partitions, END_S)
        if len(ends) < len(partitions):
            # Of these alone: a partition that has lost its leader must not make the others' reads stale.
            self._away_until |= dict.fromkeys(set(partitions) - ends.keys(), loop.time() + AWAY_S)
            return False
        wanted = {p: end - 1 for p, end in ends.items() if end > 0}
        if not await self._progress.wait_all(wanted, self._wait_s):
            raise unavailable("the tables are behind the log, try again")
        return True
