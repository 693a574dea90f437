"""
Progress: waits until the tables have caught up with a position of the log, so that a caller reads its own writes.

A process that folds a partition publishes each flushed position at once. It learns the positions of other partitions by polling
`progress`, a row per partition, every `POLL_S`, and only while a request waits. LISTEN/NOTIFY is not used: it takes a lock over
all commits of the database.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from libs.log.shared_request import SharedRequest
from libs.store.errors import StoreUnavailable, answer_call, translated

POLL_S = 0.005
_POLL_FAILED_S = 0.1  # between polls while the database does not answer
_POSITIONS = "SELECT part, position FROM progress"


class ProgressWatch:
    """The known position of every partition's tables, and the requests that wait for a later one."""

    def __init__(self, pool: Any, *, poll_s: float = POLL_S) -> None:
        """Watch `progress` through *pool*."""
        self._pool = pool
        self._poll_s = poll_s
        self._asked = SharedRequest(self._fetch)
        self._known: dict[int, int] = {}
        self._forgotten_count = 0
        self._waiters: dict[int, list[tuple[int, asyncio.Future[None]]]] = {}
        self._poller: asyncio.Task[None] | None = None

    @property
    def forgotten_count(self) -> int:
        """
        Another number once the tables may be older than they were.

        If it stays the same from a wait until rows were read, these rows are of tables that held what was waited for. If not,
        what was not found may be there all the same, once it is folded again.
        """
        return self._forgotten_count

    def known(self, partition: int) -> int:
        """Return the newest position known to be in the tables; -1 when none is."""
        return self._known.get(partition, -1)

    def is_awaited(self) -> bool:
        """Whether a request in this process waits."""
        return any(not future.done() for waiting in self._waiters.values() for _, future in waiting)

    def publish(self, partition: int, position: int) -> None:
        """Note that everything up to *position* is in the tables, and wake the requests that wait for it."""
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
        Note the position that the database itself just answered; it may be lower than the known one.

        Flushes do not wait for the disk, so a server that crashed may have lost the last ones. They are folded again from the
        log.
        """
        self._known[partition] = min(position, self._known.get(partition, position))
        self.publish(partition, position)

    def forget(self) -> None:
        """
        Forget all known positions: the next wait asks the database.

        Call this for every new connection: the server may have crashed, and its tables may be older than they were.
        """
        self._known.clear()
        self._forgotten_count += 1

    async def _fetch(self) -> dict[int, int]:
        with translated():
            return {row["part"]: row["position"] for row in await self._pool.fetch(_POSITIONS)}

    @answer_call
    async def has(self, partition: int) -> bool:
        """
        Whether the tables know *partition*, even if nothing of it is folded yet.

        The database is asked each time, by one question for all callers of one moment.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        return partition in await self._asked.ask()

    async def wait(self, partition: int, position: int, timeout_s: float) -> bool:
        """Wait until the tables hold *position*; return False if they do not within *timeout_s*."""
        return await self.wait_all({partition: position}, timeout_s)

    async def wait_all(self, positions: Mapping[int, int], timeout_s: float) -> bool:
        """Wait until the tables hold every position of *positions*; return False if they do not within *timeout_s*."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout_s
        # Again if something was forgotten, or corrected, since it was waited for.
        while wanted := [each for each in positions.items() if each[1] > self._known.get(each[0], -1)]:
            futures = [loop.create_future() for _ in wanted]
            for (partition, position), future in zip(wanted, futures, strict=True):
                self._waiters.setdefault(partition, []).append((position, future))
            if self._poller is None or self._poller.done():
                self._poller = asyncio.create_task(self._poll(), name="progress-poll")
            try:
                _, late = await asyncio.wait(futures, timeout=max(ends_at - loop.time(), 0))
            finally:
                for future in futures:
                    future.cancel()  # the wait is over: the next publish, or poll, drops it
            if late:
                return False
        return True

    async def _poll(self) -> None:
        """Read the positions until no request waits any more."""
        while self._still_awaited():
            # Wait first: a flush of this process, which publishes its position, is usually under way.
            await asyncio.sleep(self._poll_s)
            if not self._still_awaited():
                return
            forgotten_count = self._forgotten_count
            try:
                positions = await self._fetch()
            except StoreUnavailable:
                # Every waiting request has its own timeout; the next poll may find the database again.
                await asyncio.sleep(_POLL_FAILED_S)
                continue
            if forgotten_count == self._forgotten_count:  # else the answer may be that of a server that is gone
                for partition, position in positions.items():
                    self.correct(partition, position)

    def _still_awaited(self) -> bool:
        for partition, waiting in list(self._waiters.items()):
            left = [(wanted, future) for wanted, future in waiting if not future.done()]
            if left:
                self._waiters[partition] = left
            else:
                del self._waiters[partition]
        return bool(self._waiters)

    async def stop(self) -> None:
        """End the poller; requests that still wait run into their own timeout."""
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
            await asyncio.gather(poller, return_exceptions=True)
        await self._asked.stop()
