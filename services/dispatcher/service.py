"""
The dispatcher's loop: leases in, attempts through, outcomes out.

    keeper --lease--> reader --due--> loader --ready--> calls --outcome--> log
                                 held_attempts: what is held, so that nothing starts twice

A lost lease drops what has not started; what has started ends, and its outcome is appended: a late one is a fact like any other,
and the first wins. Stopping drains: calls under way may end, for a bounded time, before the leases are given back, so that a deploy
repeats no call.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from libs.egress.fair_queue import FairQueue
from libs.events import AttemptDue
from libs.following.left_partitions import LEAVE_S, LeftPartitions
from libs.log.port import Log
from libs.runtime.clock import Clock
from libs.runtime.lifecycle import StartStop
from libs.runtime.telemetry.tracing import NO_TRACING, Tracing
from services.dispatcher.calls import Calls
from services.dispatcher.held_attempts import HeldAttempts
from services.dispatcher.loader import Loader
from services.dispatcher.ports import (
    DueTables,
    Egress,
    Keeper,
    Lease,
    Meter,
    Progress,
    SigningSecrets,
)
from services.dispatcher.reader import Reader

WINDOW: Final = 20_000  # attempts held; more than the owners allow to be under way (services/scheduler/concurrency.py)
WINDOW_BYTES: Final = 128_000_000  # held bodies and their surroundings
DRAIN_S: Final = 30.0
STUCK_EVERY_MS: Final = 10_000
HALTS_EVERY_MS: Final = 500

log = structlog.get_logger("dispatcher")


class DispatcherService(StartStop):
    """Makes the calls of the partitions it holds."""

    def __init__(
        self,
        *,
        event_log: Log,
        tables: DueTables,
        progress: Progress,
        secrets: SigningSecrets,
        egress: Egress,
        clock: Clock,
        meter: Meter,
        version: str,
        make_keeper: Callable[["DispatcherService"], Keeper],
        concurrency: int = 1_000,
        per_host: int = 50,
        window: int = WINDOW,
        drain_s: float = DRAIN_S,
        gather_ms: int = 0,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        """
        Put the dispatcher together; nothing happens before `start`.

        Args:
            version: stands in the User-Agent.
            make_keeper: makes the keeper of this service's leases, which calls its `on_gained`, `on_lost` and `may_release`.
            concurrency: calls under way at once, all hosts together.
            per_host: calls under way to one host.
            window: attempts held; beyond it reading stops.
            drain_s: how long calls under way may take to end when the service stops.
            gather_ms: the least time between two reads, and between two appends, of a partition: what arrives meanwhile goes
                together.
            tracing: where the spans of attempts go.
        """
        super().__init__()
        self._log = event_log
        self._tables = tables
        self._progress = progress
        self._secrets = secrets
        self._egress = egress
        self._clock = clock
        self._meter = meter
        self._user_agent = f"Fliq/{version}"
        self._concurrency = concurrency
        self._per_host = per_host
        self._window = window
        self._drain_s = drain_s
        self._gather_ms = gather_ms
        self._tracing = tracing
        self._is_taking = False
        self._readers: dict[int, tuple[Reader, asyncio.Task[None]]] = {}
        self._room: asyncio.Future[None] | None = None
        self._left = LeftPartitions(clock)
        self._assemble()
        self.keeper = make_keeper(self)

    def _assemble(self) -> None:
        """Make what lives as long as one life of the service."""
        self._held_attempts = HeldAttempts()
        self._calls = Calls(
            event_log=self._log,
            egress=self._egress,
            clock=self._clock,
            held_attempts=self._held_attempts,
            meter=self._meter,
            fair_queue=FairQueue(total=self._concurrency, per_host=self._per_host),
            user_agent=self._user_agent,
            may_start=self._may_start,
            on_recorded=self._recorded,
            gather_ms=self._gather_ms,
            tracing=self._tracing,
        )
        self._loader = Loader(
            tables=self._tables,
            progress=self._progress,
            secrets=self._secrets,
            clock=self._clock,
            held_attempts=self._held_attempts,
            on_ready=self._calls.put,
            on_failed=self._calls.fail,
        )

    @property
    def held_count(self) -> int:
        """How many attempts are held whose outcome is not in the log."""
        return self._held_attempts.open_count

    async def on_start(self) -> None:
        """Take leases and begin."""
        self._assemble()
        self._is_taking = True
        self.spawn(self._loader.run(), name="dispatcher loader")
        self.spawn(self._watch_calls(), name="dispatcher watch")
        self.spawn(self._watch_halts(), name="dispatcher halts")
        await self.keeper.start()

    async def on_stop(self) -> None:
        """
        Drain, and give each lease back as soon as nothing of its partition is under way: a slow call holds up its own only.

        Cancelled while it drains, it breaks off what is under way.
        """
        self._is_taking = False
        try:
            await self._stop_taking()
            await asyncio.gather(self.keeper.end(self._drain_s), self._drain())
        finally:
            await self._calls.stop()
            await self.keeper.stop()
            log.debug("drained", in_flight=self._held_attempts.open_count)

    def ready(self) -> str | None:
        """Return None when all is well, else what is not."""
        if not self._is_taking:
            return "dispatcher is not running"
        for partition, (reader, _) in sorted(self._readers.items()):
            if reader.trouble is not None:
                return f"partition {partition}: {reader.trouble}"
        if failing := self._calls.failing_partitions:
            return f"partition {failing[0]}: outcomes cannot be appended"
        return self._left.reason(self._readers) or self._loader.trouble

    @property
    def active_count(self) -> int:
        """How many calls are under way."""
        return self._calls.active_count

    @property
    def waiting_count(self) -> int:
        """How many calls wait for a slot."""
        return self._calls.waiting_count

    def positions(self) -> dict[int, int]:
        """Return the last position read, by partition; while no more can be held, reading stops on purpose."""
        if not self._has_room():
            return {}
        return {partition: reader.position for partition, (reader, _) in self._readers.items()}

    def halted_count(self) -> int:
        """Return how many partitions cannot be read on."""
        return sum(reader.is_halted for reader, _ in self._readers.values()) + self._left.count(self._readers)

    async def on_gained(self, lease: Lease) -> None:
        """Serve a partition from here on (called by the keeper)."""
        partition = lease.partition
        if not self._is_taking or partition in self._readers:
            return
        reader = Reader(
            partition,
            event_log=self._log,
            tables=self._tables,
            progress=self._progress,
            clock=self._clock,
            held_attempts=self._held_attempts,
            meter=self._meter,
            on_due=self._take,
            room=self._wait_for_room,
            gather_ms=self._gather_ms,
        )
        self._readers[partition] = reader, asyncio.create_task(reader.run(), name=f"dispatcher partition {partition}")
        log.debug("partition_gained", partition=partition)

    async def on_lost(self, partition: int) -> None:
        """Serve a partition no longer: drop what has not started (called by the keeper)."""
        found = self._readers.pop(partition, None)
        if found is None:
            return
        found[1].cancel()
        dropped = self._held_attempts.drop_unstarted(partition)
        await asyncio.wait([found[1]])
        dropped += self._held_attempts.drop_unstarted(partition)
        self._free_room()
        if self._is_taking:  # at a stop all are given back, and "stopped" says so
            log.info("partition_lost", partition=partition, dropped=dropped)

    def may_release(self, partition: int) -> bool:
        """
        Stop taking from a partition that is to be handed to another, and say whether nothing of it is under way any more.

        Asked again until it is true, the keeper hands a partition over without a call being made twice. Once asked, the
        partition is not served any more until it is gained anew.
        """
        found = self._readers.get(partition)
        if found is not None and not found[1].done():
            found[1].cancel()
        self._held_attempts.drop_unstarted(partition)
        return self._held_attempts.open_count_of(partition) == 0

    def _may_start(self, partition: int) -> bool:
        return self.keeper.holds(partition)

    def _take(self, partition: int, due: Sequence[tuple[int, AttemptDue]]) -> None:
        """Take up the attempts that were found due, each with the position at which the tables know its job."""
        held_attempts = []
        for position, event in due:
            held_attempt = self._held_attempts.add(partition, event, position)
            if held_attempt is not None:
                held_attempts.append(held_attempt)
        if held_attempts:
            self._loader.put(held_attempts)
            self._meter.in_flight(self._held_attempts.open_count)

    def _recorded(self) -> None:
        self._meter.in_flight(self._held_attempts.open_count)
        self._free_room()

    def _has_room(self) -> bool:
        return self._held_attempts.open_count < self._window and self._held_attempts.open_bytes < WINDOW_BYTES

    def _wait_for_room(self) -> "asyncio.Future[None] | None":
        if self._has_room():
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return asyncio.shield(self._room)

    def _free_room(self) -> None:
        room = self._room
        if room is not None and self._has_room():
            self._room = None
            room.set_result(None)

    async def _watch_calls(self) -> None:
        while True:
            await self._clock.pause(STUCK_EVERY_MS)
            if count := self._calls.end_stuck():
                self._meter.overdue(count)

    async def _watch_halts(self) -> None:
        """Leave partitions that only a newer build may read on, each once its calls have ended."""
        while True:
            await self._clock.pause(HALTS_EVERY_MS)
            for partition, (reader, _) in list(self._readers.items()):
                if reader.must_leave and self.may_release(partition):
                    self._left.note(partition, reader.trouble or "")
                    await self.on_lost(partition)
                    await self.keeper.give_up(partition, pause_s=LEAVE_S)

    async def _stop_taking(self) -> None:
        for partition in list(self._readers):
            await self.on_lost(partition)
        self._calls.forget_waiting()
        await self._loader.stop()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._drain_s):
                await self._calls.wait_idle()
        except TimeoutError:
            log.warning("drain_timed_out", in_flight=self._held_attempts.open_count)
