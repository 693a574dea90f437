"""
Log link: how one process reaches the log. The records are those of the reference log in memory; between it and the process lies a
network that is slow, loses, and tells lies about what arrived, as `AppendFailed` allows (libs/log/port.py, G6).

    taken -> (on its way) -> written -> (the answer on its way) -> durable, as far as the caller knows
    lost       never written, and the caller gets AppendFailed
    untold     written, and the caller gets AppendFailed
    late       the caller gets AppendFailed first; written seconds later, behind whatever was appended meanwhile
    slow       on its way for longer than the caller waits
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from libs.events import Envelope
from libs.log.memory import MemoryLog
from libs.log.port import AppendFailed, LogError, LogUnavailable, Record, measure
from tests.simulation.fleet.chronicle import Chronicle
from tests.simulation.fleet.loop import Process, SimLoop, never_if_dead


class LogServer:
    """The log itself, and the weather on the way to it."""

    def __init__(self, loop: SimLoop, chronicle: Chronicle, *, partitions: int, seed: str) -> None:
        """Begin with empty partitions and fair weather."""
        self.loop = loop
        self.chronicle = chronicle
        self.memory = MemoryLog(partitions=partitions, clock=chronicle)  # type: ignore[arg-type]
        self.draw = random.Random(f"{seed} log")
        self.is_down = False
        self.trouble = 0.0  # the share of appends that meet a fate of their own
        self.slow_reads = 0.0
        self.partition_count = partitions
        self._trimmed: dict[int, list[Record]] = {}

    def place(self, partition: int) -> Any:
        """Return the records of *partition*."""
        return self.memory._place(partition)

    def write(self, partition: int, envelopes: Sequence[Envelope]) -> int:
        """Write at this moment, and wake the readers."""
        first: int = self.place(partition).write(envelopes, self.chronicle.now())
        words = " ".join(f"{each.type}:{each.key[-6:]}" for each in envelopes)
        self.chronicle.note(f"log {partition}/{first} {words}")
        return first

    def records(self, partition: int) -> list[Record]:
        """Return all records that *partition* ever had."""
        return [*self._trimmed.get(partition, ()), *self.place(partition).records]

    def trim(self, partition: int, before: int) -> None:
        """Delete the records before *before*; they are kept for the judge."""
        place = self.place(partition)
        gone = place.records[: max(0, before - place.begin)]
        del place.records[: len(gone)]
        place.begin += len(gone)
        self._trimmed.setdefault(partition, []).extend(gone)
        self.chronicle.note(f"log {partition} trimmed before {before}, {len(gone)} records")


class _Flight:
    """An append on its way."""

    __slots__ = ("end", "envelopes", "future", "is_lost", "partition")

    def __init__(self, partition: int, envelopes: list[Envelope], future: Any, end: str) -> None:
        self.partition = partition
        self.envelopes = envelopes
        self.future = future
        self.end = end
        self.is_lost = False


class LogLink:
    """Meets the log port for one life of a process."""

    def __init__(self, server: LogServer, process: Process) -> None:
        """Reach *server* from *process*."""
        self._server = server
        self._loop = server.loop
        self._process = process
        self._lanes: dict[int, float] = {}
        self._held_attempts: dict[_Flight, None] = {}
        self.is_cut = False  # nothing passes, in either direction

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    async def partitions(self) -> int:
        return self._server.partition_count

    def die(self) -> None:
        """The process is gone: of what it was sending, some was sent and some was not."""
        for flight in self._held_attempts:
            flight.is_lost = self._server.draw.random() < 0.5

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        taken = list(envelopes)
        measure(taken)
        await never_if_dead(self._loop, self._process)
        server, loop, draw = self._server, self._loop, self._server.draw
        way_s = draw.uniform(0.0002, 0.003)
        end = "written"
        if draw.random() < server.trouble:
            end = draw.choice(("lost", "untold", "late", "slow", "refused"))
            way_s += draw.choice((0.0, 0.02, 0.3))
        if end == "refused":
            await self._pause(way_s)
            raise LogUnavailable("the log takes no appends")
        future = loop.create_future()
        flight = _Flight(partition, taken, future, end)
        now = loop.time()
        if end == "late":
            loop.outside(now + way_s, self._fail, flight)
            loop.outside(now + way_s + draw.choice((0.01, 0.3, 2.0, 6.0)) * draw.random(), self._arrive, flight)
        else:
            arrives_at = max(now + way_s, self._lanes.get(partition, 0.0))
            if end == "slow":
                arrives_at += draw.choice((0.5, 2.0, 12.0)) * draw.random()
            self._lanes[partition] = arrives_at
            loop.outside(arrives_at, self._arrive, flight)
            if arrives_at > now + timeout_s:
                loop.outside(now + timeout_s, self._fail, flight)
        self._held_attempts[flight] = None
        result: int = await future
        return result

    def _arrive(self, flight: _Flight) -> None:
        """The append reaches the server."""
        self._held_attempts.pop(flight, None)
        if flight.is_lost:
            return
        if self._server.is_down or self.is_cut:
            self._answer(flight, AppendFailed("the connection is gone"))
        elif flight.end == "lost":
            self._answer(flight, AppendFailed("no answer"))
        else:
            first = self._server.write(flight.partition, flight.envelopes)
            back_s = self._server.draw.uniform(0.0001, 0.002)
            answer: Any = AppendFailed("no answer") if flight.end == "untold" else first
            self._loop.outside(self._loop.time() + back_s, self._answer, flight, answer)

    def _fail(self, flight: _Flight) -> None:
        self._answer(flight, AppendFailed("no answer in time"))

    @staticmethod
    def _answer(flight: _Flight, answer: Any) -> None:
        if flight.future.done():
            return
        if isinstance(answer, Exception):
            flight.future.set_exception(answer)
        else:
            flight.future.set_result(answer)

    async def read(self, partition: int, position: int, *, max_records: int = 500, wait_s: float = 0.0) -> list[Record]:
        place = self._server.place(partition)
        await self._travel()
        if position == place.end and wait_s > 0:
            woken = self._loop.create_future()
            place.readers.append(woken)
            timer = self._loop.call_later(wait_s, _end, woken)
            try:
                await woken
            finally:
                timer.cancel()
                if not woken.done():
                    woken.cancel()
            place.readers = [reader for reader in place.readers if reader is not woken]
            await self._travel()
        if not place.begin <= position <= place.end:
            raise LogError(f"position {position} is not in partition {partition}: {place.begin} to {place.end}")
        index = position - place.begin
        found: list[Record] = place.records[index : index + max_records]
        return found

    async def begin(self, partition: int) -> int:
        await self._travel()
        begin: int = self._server.place(partition).begin
        return begin

    async def end(self, partition: int) -> int:
        await self._travel()
        end: int = self._server.place(partition).end
        return end

    async def trim(self, partition: int, before: int) -> None:
        await self._travel()
        self._server.trim(partition, before)
        await self._travel()

    async def _travel(self) -> None:
        draw = self._server.draw
        chance = draw.random()
        if chance < self._server.slow_reads:
            await self._pause(draw.choice((0.05, 0.5, 3.0)) * draw.random())
        elif chance < 0.5:
            await self._pause(0.002 * chance)
        else:
            await self._pause(0.0)
        if self._server.is_down or self.is_cut:
            await self._pause(0.05)
            raise LogUnavailable("the log cannot be reached")

    async def _pause(self, seconds: float) -> None:
        """As asyncio.sleep, which is wrapped in more than a simulation needs."""
        future = self._loop.create_future()
        handle = self._loop.call_later(seconds, _end, future)
        try:
            await future
        finally:
            handle.cancel()


def _end(future: Any) -> None:
    if not future.done():
        future.set_result(None)
