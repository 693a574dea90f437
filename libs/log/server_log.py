"""ServerLog: a log that is kept on a server. The adapters share: reading from `RecentRecords` first, and the end of a run."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from libs.log.appends import AppendQueue
from libs.log.port import LogUnavailable, Record
from libs.log.recent_records import RecentRecords
from libs.runtime.garbage import give_back

QUEUE_RECORDS_MAX: Final = 50_000  # per queue
# Per partition, at about 650 bytes a record. Readers that are further behind ask the server, each for itself: with 5,000, five
# accounts with thousands of due jobs delayed a neighbour by 18 s, with 20,000 by 3 s.
RECENT_RECORDS_MAX: Final = 20_000
RECENT_BYTES_MAX: Final = 64_000_000  # over all partitions
BURST_RECORDS: Final = 2_000  # more than a megabyte
RECENT_S: Final = 60.0  # a record is kept for so long, and for twice as long at the most
WAIT_MAX_S: Final = 1.0  # after so long a reader that waits asks the server itself
FLUSH_S: Final = 5.0  # what stop() waits for appends to be written


class Running(ABC):
    """
    What an adapter has between `start` and `stop`: the newest records of each partition, and tasks that write and look.

    `wait_max_s` is how long a reader waits before it asks the server itself. An adapter that wakes its readers when the server does
    not answer needs no bound.
    """

    wait_max_s = WAIT_MAX_S

    def __init__(self, partitions: int) -> None:
        share = RECENT_BYTES_MAX // partitions
        self.recents = [RecentRecords(max_records=RECENT_RECORDS_MAX, max_bytes=share) for _ in range(partitions)]
        self._writing: list[asyncio.Task[None]] = []
        self._looking: list[asyncio.Task[None]] = []

    @abstractmethod
    async def stop(self) -> None:
        """Write what waits, for a few seconds; then end everything."""

    @abstractmethod
    def watch(self, partition: int) -> None:
        """Look for records of other processes while a reader waits."""

    @abstractmethod
    def answer_count(self, partition: int) -> int:
        """Return how often the server has answered where *partition* ends."""

    @abstractmethod
    async def read(self, partition: int, position: int, max_records: int) -> list[Record]:
        """Read from the server."""

    async def _let_go(self) -> None:
        """Keep no record for long: a process that had much to do for a while does not keep the memory of it."""
        while True:
            await asyncio.sleep(RECENT_S)
            dropped = sum([recent.let_go() for recent in self.recents])
            if dropped > BURST_RECORDS and dropped > 10 * sum([recent.count for recent in self.recents]):
                give_back()  # a burst is over, and nothing is under way that it could delay

    async def _end_tasks(self, queues: Sequence[AppendQueue]) -> None:
        """Take no more appends, write what waits in *queues* for at most `FLUSH_S`, then end all tasks and all waits."""
        for queue in queues:
            queue.close()
        if self._writing:
            await asyncio.wait(self._writing, timeout=FLUSH_S)
            tasks = [*self._writing, *self._looking]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for queue in queues:
            queue.abandon()
        for recent in self.recents:
            recent.wake()


R = TypeVar("R", bound=Running)


class ServerLog(Generic[R]):
    """A log on a server, with *partitions* partitions that runs from `start` to `stop`, and may be started again."""

    def __init__(self, partitions: int) -> None:
        self._count = partitions
        self._running: R | None = None

    async def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.stop()

    async def partitions(self) -> int:
        return self._count

    async def read(self, partition: int, position: int, *, max_records: int = 500, wait_s: float = 0.0) -> list[Record]:
        if max_records < 1:
            raise ValueError("max_records must be at least 1")
        running = self._at(partition)
        recent = running.recents[partition]
        kept = recent.slice(position, max_records)
        if kept is not None:
            return kept
        if wait_s > 0 and position == recent.known_end:
            running.watch(partition)
            answers = running.answer_count(partition)
            await recent.wait_beyond(position, min(wait_s, running.wait_max_s))
            if self._running is not running:
                raise LogUnavailable("the log was stopped")
            kept = recent.slice(position, max_records)
            if kept is not None:
                return kept
            if position == recent.known_end and running.answer_count(partition) > answers:
                return []  # the server was asked while the reader waited, and had nothing new
        return await running.read(partition, position, max_records)

    def _at(self, partition: int) -> R:
        """Return the run, if there is such a partition; raises `ValueError` or `LogUnavailable`."""
        if not 0 <= partition < self._count:
            raise ValueError(f"no partition {partition}: there are {self._count}")
        if self._running is None:
            raise LogUnavailable("the log is not running")
        return self._running
