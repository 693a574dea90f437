"""LogAdapter: what the adapters with a server have in common: reading from `RecentRecords` first, and the end of a run."""

from typing import Generic, Protocol, TypeVar

from libs.log.port import LogUnavailable, Record
from libs.log.recent_records import RecentRecords


class Running(Protocol):
    """What an adapter has between `start` and `stop`."""

    async def stop(self) -> None:
        """Write what waits, for a few seconds; then end everything."""

    def recent(self, partition: int) -> RecentRecords:
        """Return the newest records of *partition*."""

    def watch(self, partition: int) -> int:
        """Look for records of other processes while a reader waits; return how often the server has answered so far."""

    def answer_count(self, partition: int) -> int:
        """Return how often the server has answered where *partition* ends."""

    async def read(self, partition: int, position: int, max_records: int) -> list[Record]:
        """Read from the server."""


R = TypeVar("R", bound=Running)


class LogAdapter(Generic[R]):
    """A log with *partitions* partitions that runs from `start` to `stop`, and may be started again."""

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
        recent = running.recent(partition)
        kept = recent.slice(position, max_records)
        if kept is not None:
            return kept
        if wait_s > 0 and position == recent.known_end:
            answers = running.watch(partition)
            await recent.wait_beyond(position, wait_s)
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
