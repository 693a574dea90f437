"""
Progress: waiting until the tables have caught up with a position of the log (read-your-writes).

A process that folds a partition publishes each flushed position at once; positions of partitions folded elsewhere are learned
by one poll of `progress`, a row per partition, every `POLL_S` and only while somebody waits. LISTEN/NOTIFY is not used: it
takes a lock over all commits of the database.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from libs.store.errors import StoreUnavailable, answer_call, translated

POLL_S = 0.005
_POLL_FAILED_S = 0.1  # between polls while the database does not answer
_POSITIONS = "SELECT part, position FROM progress"


class ProgressWatch:
    """What is known of every partition's folded position, and who waits for more."""

    def __init__(self, pool: Any, *, poll_s: float = POLL_S) -> None:
        """Watch `progress` through *pool*."""
        self._pool = pool
        self._poll_s = poll_s
        self._known: dict[int, int] = {}
        self._waiters: dict[int, list[tuple[int, asyncio.Future[None]]]] = {}
        self._poller: asyncio.Task[None] | None = None

    def known(self, partition: int) -> int:
        """Return the newest position known to be in the tables; -1 when none is."""
        return self._known.get(partition, -1)

    def is_awaited(self) -> bool:
        """Whether somebody in this process waits."""
        return any(not future.done() for waiting in self._waiters.values() for _, future in waiting)

    def publish(self, partition: int, position: int) -> None:
        """Tell that everything up to *position* is in the tables, and wake who waits for it."""
        if position > self._known.get(partition, -1):
            self._known[partition] = position
        waiting = self._waiters.get(partition)
        if not waiting:
            return
        left = []
        for wanted, future in waiting:
            if wanted <= position and not future.done():
                future.set_result(None)
            elif not future.done():
                left.append((wanted, future))
        self._waiters[partition] = left

    def correct(self, partition: int, position: int) -> None:
        """
        Tell what the database itself just said, which may be less than was known.

        A server that crashed may have lost its last flushes, which do not wait for the disk: they come again from the log.
        """
        self._known[partition] = min(position, self._known.get(partition, position))
        self.publish(partition, position)

    def forget(self) -> None:
        """
        Take nothing for known any more: the next wait asks the database.

        Said whenever a connection is new: the server may have crashed meanwhile, and its tables stand where the disk had them.
        """
        self._known.clear()

    @answer_call
    async def has(self, partition: int) -> bool:
        """
        Whether the tables know *partition*, be it that nothing is folded of it yet; the database is asked each time.

        Raises:
            StoreUnavailable: it does not answer.
        """
        return any(row["part"] == partition for row in await self._pool.fetch(_POSITIONS))

    async def wait(self, partition: int, position: int, timeout_s: float) -> bool:
        """Wait until the tables hold *position*; return False when that did not happen within *timeout_s*."""
        return await self.wait_all({partition: position}, timeout_s)

    async def wait_all(self, positions: Mapping[int, int], timeout_s: float) -> bool:
        """Wait until the tables hold every position of *positions*; return False when not all did within *timeout_s*."""
        futures = []
        for partition, position in positions.items():
            if position > self._known.get(partition, -1):
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.setdefault(partition, []).append((position, future))
                futures.append(future)
        if not futures:
            return True
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll(), name="progress-poll")
        _, late = await self._wait_bounded(futures, timeout_s)
        return not late

    async def _wait_bounded(
        self, futures: list["asyncio.Future[None]"], timeout_s: float
    ) -> tuple[set["asyncio.Future[None]"], set["asyncio.Future[None]"]]:
        try:
            return await asyncio.wait(futures, timeout=max(timeout_s, 0))
        finally:
            for future in futures:
                future.cancel()  # given up: the next publish, or poll, forgets it

    async def _poll(self) -> None:
        """Read the positions until nobody waits any more."""
        while self._still_awaited():
            # First a breath: a flush of our own process, which publishes, is usually on its way.
            await asyncio.sleep(self._poll_s)
            if not self._still_awaited():
                return
            try:
                with translated():
                    rows = await self._pool.fetch(_POSITIONS)
            except StoreUnavailable:
                # Whoever waits has a bound of their own; the next poll may find the database again.
                await asyncio.sleep(_POLL_FAILED_S)
                continue
            for row in rows:
                self.correct(row["part"], row["position"])

    def _still_awaited(self) -> bool:
        for partition, waiting in list(self._waiters.items()):
            left = [(wanted, future) for wanted, future in waiting if not future.done()]
            if left:
                self._waiters[partition] = left
            else:
                del self._waiters[partition]
        return bool(self._waiters)

    async def stop(self) -> None:
        """End the poller; who still waits is told nothing and meets their own bound."""
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
            await asyncio.gather(poller, return_exceptions=True)
