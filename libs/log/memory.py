"""
MemoryLog: the reference adapter. It is exact, lives in one process, and makes every fault that the port allows when it is asked to.

Theory of operation

A partition is a list; position p stands at index p - begin. An append without faults is written at once, before the event loop
runs anything else, so G1 to G5 hold by construction; the caller goes on one step of the event loop later. Faults change the *fate*
of an append: how long it is under way, and how it ends.

    under way   delay_ms > 0: the append waits so long. Later appends to the same partition wait behind it (G2).
    ends        written      the ordinary end
                reply_lost   written, but the caller gets AppendFailed
                lost         not written, and the caller gets AppendFailed
                late         the caller gets AppendFailed; written after `late_after` later appends, or by `land_late` (G6)

Deterministic: the same calls on the same clock with the same fates give the same log. Nothing here is random.
Durable only within this object: records outlive `stop` and a new `start`, not the process.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec

from libs.events import Envelope
from libs.log.port import AppendFailed, LogDamaged, LogError, LogUnavailable, Record, measure
from libs.runtime.clock import Clock, SystemClock


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """
    How one append ends.

    Args:
        end: `written`, `reply_lost`, `lost` or `late`.
        delay_ms: how long it is under way before it ends.
        late_after: for `late` only: how many later appends to the partition are written first; at least 1.
    """

    end: Literal["written", "reply_lost", "lost", "late"] = "written"
    delay_ms: int = 0
    late_after: int = 1


WRITTEN = Fate()
REPLY_LOST = Fate(end="reply_lost")
LOST = Fate(end="lost")
LATE = Fate(end="late")

Draw = Callable[[int, Sequence[Envelope]], Fate]


class Faults:
    """
    Controls the faults of a memory log: fates for the next appends, and switches.

    Args:
        draw: returns the fate of an append that has none planned, given its partition and envelopes; usually a seeded generator.
    """

    def __init__(self, *, draw: Draw | None = None) -> None:
        self.draw = draw
        self.reads_unavailable = False
        self.appends_unavailable = False
        self._planned: deque[tuple[int | None, Fate]] = deque()

    def plan(self, *fates: Fate, partition: int | None = None) -> None:
        """Give the next appends (to *partition*, or to any) these fates, one each."""
        self._planned.extend((partition, fate) for fate in fates)

    def fate_of(self, partition: int, envelopes: Sequence[Envelope]) -> Fate:
        """Take the fate of the append that is being made now."""
        for index, (wanted, fate) in enumerate(self._planned):
            if wanted is None or wanted == partition:
                del self._planned[index]
                return fate
        return WRITTEN if self.draw is None else self.draw(partition, envelopes)

    def heal(self) -> None:
        """Let nothing fail from now on: drop plans, generator and switches. Appends that are late stay late."""
        self._planned.clear()
        self.draw = None
        self.reads_unavailable = self.appends_unavailable = False


class _Held(msgspec.Struct, frozen=True):
    """An append under way."""

    due_at: int
    fate: Fate
    envelopes: list[Envelope]
    ended: "asyncio.Future[int]"


class _Late(msgspec.Struct):
    """Records of a failed append that are written after *appends_ahead* more appends."""

    appends_ahead: int
    envelopes: list[Envelope]


class _Partition:
    """One partition: its records, the appends under way, and the readers that wait."""

    def __init__(self) -> None:
        self.begin = 0
        self.records: list[Record] = []
        self.held: deque[_Held] = deque()
        self.late: list[_Late] = []
        self.readers: list[asyncio.Future[None]] = []
        self.releasing: asyncio.Task[None] | None = None

    @property
    def end(self) -> int:
        return self.begin + len(self.records)

    def write(self, envelopes: Sequence[Envelope], at: int) -> int:
        """Write an append, then the late ones that come after it; return the position of its first record."""
        first = self._write(envelopes, at)
        for late in self.late:
            late.appends_ahead -= 1
        landing = [late for late in self.late if late.appends_ahead <= 0]
        self.late = [late for late in self.late if late.appends_ahead > 0]
        for late in landing:
            self._write(late.envelopes, at)
        return first

    def land_late(self, at: int) -> int:
        landing, self.late = self.late, []
        for late in landing:
            self._write(late.envelopes, at)
        return len(landing)

    def wake(self) -> None:
        readers, self.readers = self.readers, []
        for reader in readers:
            if not reader.done():
                reader.set_result(None)

    def _write(self, envelopes: Sequence[Envelope], at: int) -> int:
        first = self.end
        self.records.extend(Record(first + index, at, envelope) for index, envelope in enumerate(envelopes))
        self.wake()
        return first


class MemoryLog:
    """
    The log as a list in memory; the port's specification.

    Args:
        partitions: how many.
        clock: dates records and bounds waits; the machine's by default.
        faults: see `Faults`; none by default.
        name: part of its identity.
    """

    def __init__(
        self, *, partitions: int = 4, clock: Clock | None = None, faults: Faults | None = None, name: str = "log"
    ) -> None:
        self._name = name
        self.faults = faults or Faults()
        self._clock = clock or SystemClock()
        self._partitions = [_Partition() for _ in range(partitions)]
        self._running = False

    position_reports: Final = None  # no tools look at a log in memory

    async def start(self) -> None:
        self._running = True

    async def stop(self) -> None:
        self._running = False
        for partition in self._partitions:
            if partition.releasing is not None:
                partition.releasing.cancel()
                await asyncio.wait([partition.releasing])
                partition.releasing = None
            while partition.held:
                held = partition.held.popleft()
                if not held.ended.done():
                    held.ended.set_exception(AppendFailed("the log was stopped while the append was under way"))
            partition.wake()

    async def partitions(self) -> int:
        return len(self._partitions)

    async def identity(self) -> str:
        return f"memory {self._name}"

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        place = self._place(partition)
        taken = list(envelopes)
        measure(taken)
        if not self._running or self.faults.appends_unavailable:
            raise LogUnavailable("the log takes no appends")
        fate = self.faults.fate_of(partition, taken)
        if not fate.delay_ms and not place.held:
            try:
                return self._finish(place, fate, taken)
            finally:
                # As every log does, let other tasks run: a caller that appends in a loop must not starve them.
                await asyncio.sleep(0)
        # Never before an append that is already under way in this partition (G2).
        due_at = max(self._clock.now() + fate.delay_ms, place.held[-1].due_at if place.held else 0)
        held = _Held(due_at, fate, taken, asyncio.get_running_loop().create_future())
        place.held.append(held)
        if place.releasing is None:
            place.releasing = asyncio.create_task(self._release(place))
        if not await self._within(held.ended, timeout_s):
            raise AppendFailed(f"no answer within {timeout_s} s")
        return held.ended.result()

    async def read(self, partition: int, position: int, *, max_records: int = 500, wait_s: float = 0.0) -> list[Record]:
        place = self._place(partition)
        if max_records < 1:
            raise ValueError("max_records must be at least 1")
        await self._check_reads()
        if position == place.end and wait_s > 0:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            place.readers.append(woken)
            await self._within(woken, wait_s)
            place.readers = [reader for reader in place.readers if reader is not woken]
            await self._check_reads()
        if not place.begin <= position <= place.end:
            raise LogDamaged(f"position {position} is not in partition {partition}: {place.begin} to {place.end}")
        index = position - place.begin
        return place.records[index : index + max_records]

    async def begin(self, partition: int) -> int:
        place = self._place(partition)
        await self._check_reads()
        return place.begin

    async def end(self, partition: int) -> int:
        place = self._place(partition)
        await self._check_reads()
        return place.end

    async def trim(self, partition: int, before: int) -> None:
        place = self._place(partition)
        await self._check_reads()
        if before > place.end:
            raise LogError(f"cannot trim partition {partition} before {before}: it ends at {place.end}")
        if before > place.begin:
            del place.records[: before - place.begin]
            place.begin = before

    def land_late(self) -> int:
        """Write all appends that are still late, and return how many they were."""
        return sum(place.land_late(self._clock.now()) for place in self._partitions)

    def _place(self, partition: int) -> _Partition:
        if not 0 <= partition < len(self._partitions):
            raise ValueError(f"no partition {partition}: there are {len(self._partitions)}")
        return self._partitions[partition]

    async def _check_reads(self) -> None:
        await asyncio.sleep(0)
        if not self._running or self.faults.reads_unavailable:
            raise LogUnavailable("the log cannot be read")

    def _finish(self, place: _Partition, fate: Fate, envelopes: list[Envelope]) -> int:
        match fate.end:
            case "written":
                return place.write(envelopes, self._clock.now())
            case "reply_lost":
                place.write(envelopes, self._clock.now())
            case "late":
                place.late.append(_Late(max(1, fate.late_after), envelopes))
            case "lost":
                pass
        raise AppendFailed("the outcome of the append is unknown")

    async def _release(self, place: _Partition) -> None:
        """End the appends under way one after the other; return when there are none left."""
        while place.held:
            await self._clock.sleep_until(place.held[0].due_at)
            held = place.held.popleft()
            try:
                first = self._finish(place, held.fate, held.envelopes)
            except AppendFailed as failure:
                if not held.ended.done():
                    held.ended.set_exception(failure)
            else:
                if not held.ended.done():
                    held.ended.set_result(first)
        place.releasing = None

    async def _within(self, future: "asyncio.Future[Any]", timeout_s: float) -> bool:
        """Return whether *future* ended within *timeout_s* of the clock; cancel it if it did not."""
        ends_at = self._clock.now() + math.ceil(timeout_s * 1000)
        timer = asyncio.ensure_future(self._clock.sleep_until(ends_at))
        try:
            await asyncio.wait({future, timer}, return_when=asyncio.FIRST_COMPLETED)
            return future.done()
        finally:
            timer.cancel()
            future.cancel()  # no effect on one that ended
