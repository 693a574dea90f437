"""
What the suite needs of a log under test. A new adapter is a subclass of `Harness` in a file of its own, named in conftest.py.

A harness stands for one log's data; `open` gives a started log on it. What a log cannot do it declares in `Features`: the tests
that need it are skipped by that declaration, never by the log's name.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar

import pytest

from libs.events import Envelope
from libs.log.port import Log, LogError, LogUnavailable, Record


@dataclass(frozen=True, kw_only=True)
class Features:
    """
    What a log can do, or what can be done to it.

    Args:
        durable: a second `open` on the same data finds it after every log object is gone.
        several_processes: two logs open at once see each other's records.
        cuts: `cut` breaks the connections of every open log, in the middle of whatever they do.
        stalls: inside `stalled`, appends are sent and stay without an answer.
        grows: opened with more partitions than there are, the log gets more; with fewer, it refuses.
    """

    durable: bool = False
    several_processes: bool = False
    cuts: bool = False
    stalls: bool = False
    grows: bool = False


class Harness:
    """
    One log's data, and the means to disturb it. Subclasses say how.

    Args:
        request: yields the fixture named by `fixture`, where the data lives; asked for at once, so that it outlives the log.
    """

    features: ClassVar[Features]
    fixture: ClassVar[str | None] = None

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.address: str = request.getfixturevalue(self.fixture) if self.fixture else ""
        self.opened: list[Log] = []

    def make(self, partitions: int) -> Log:
        """Return a log on this data, not started."""
        raise NotImplementedError

    async def cut(self) -> None:
        """Break every connection; returns when that is done, not when the logs have noticed."""
        raise NotImplementedError

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        """Keep appends to partition 0 under way as long as this is entered."""
        raise NotImplementedError
        yield

    async def open(self, *, partitions: int = 2) -> Log:
        """Return a started log on this data; stopped at the end of the test."""
        log = self.make(partitions)
        self.opened.append(log)
        await log.start()
        return log

    async def close(self) -> None:
        for log in self.opened:
            await log.stop()

    def needs(self, feature: str) -> None:
        if not getattr(self.features, feature):
            pytest.skip(f"{type(self).__name__} does not declare {feature}")


def envelope(value: bytes | str, *, key: str = "job_x") -> Envelope:
    return Envelope("job.scheduled", 1, True, None, key, value.encode() if isinstance(value, str) else value)


async def everything(log: Log, partition: int = 0) -> list[Record]:
    """Read a partition from begin to end, and see that its positions are contiguous (G4)."""
    position = await log.begin(partition)
    end = await log.end(partition)
    found: list[Record] = []
    while position < end:
        records = await log.read(partition, position, max_records=100)
        assert records, f"nothing at {position}, though the end is {end}"
        assert [record.position for record in records] == list(range(position, position + len(records)))
        position += len(records)
        found += records
    return found


async def values(log: Log, partition: int = 0) -> list[str]:
    return [record.envelope.value.decode() for record in await everything(log, partition)]


class Callers:
    """Tasks that append one record after the other to partition 0, and remember what became of each."""

    def __init__(self, log: Log, count: int = 4, *, timeout_s: float = 10.0) -> None:
        self._log = log
        self._timeout_s = timeout_s
        self._returned: dict[int, str] = {}
        self._failed: set[str] = set()
        self._stopping = asyncio.Event()
        self.finished = asyncio.Event()  # set once no append is under way any more
        self._tasks = [asyncio.create_task(self._call(name)) for name in range(count)]

    async def more(self, count: int) -> None:
        """Return once *count* more appends have returned; that nothing can be read meanwhile is no harm."""
        wanted = len(self._returned) + count
        while len(self._returned) < wanted:
            try:
                await self._log.read(0, await self._log.end(0), wait_s=0.1)
            except LogUnavailable:
                continue

    async def stop(self) -> list[str]:
        """End the calls, and return the log: what returned is where it was said to be, what failed is there once or not."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        self.finished.set()
        found = await values(self._log)
        assert len(set(found)) == len(found)
        assert set(self._returned.values()) <= set(found) <= set(self._returned.values()) | self._failed
        assert all(found[position] == text for position, text in self._returned.items())
        return found

    async def _call(self, name: int) -> None:
        turn = 0
        while not self._stopping.is_set():
            text = f"{name}.{turn}"
            turn += 1
            try:
                self._returned[await self._log.append(0, [envelope(text)], timeout_s=self._timeout_s)] = text
            except LogError:
                self._failed.add(text)
