"""
Following service: serves the partitions whose leases it holds, and acts on what their log says.

    keeper --lease--> reader --events--> calls --outcomes--> log

    gained   a reader begins for the partition
    lost     the reader ends; what has not started is dropped; what has started ends, and its outcome is appended
    handing  if a lease is to go to another process, the partition is read no more, and the lease goes when nothing of the
             partition is under way any more
    leaving  if the next record needs a newer build, the lease is given up in the same way, and not taken again for 30 s
    stopping all partitions are handed over, each as soon as nothing of it is under way, within the time allowed
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import structlog

from libs.following.calls import CallContext, CallLimits, Calls
from libs.following.left_partitions import LEAVE_S, LeftPartitions
from libs.following.partition_reader import PartitionReader, ReaderContext
from libs.following.partition_trouble import PartitionTrouble, TroubleKind
from libs.following.ports import FollowingPorts, LeaseHolder, PoisonMeter
from libs.runtime.lifecycle import StartStop
from libs.store.leases.keeper_port import Keeper
from libs.store.leases.lease_table import Lease

LEAVE_CHECK_MS: Final = 500

R = TypeVar("R", bound=PartitionReader)
K = TypeVar("K", bound=Calls[Any])


class FollowingService(StartStop, Generic[R, K]):
    """The partitions of one service in one process. A subclass says how to read them and how to make the calls."""

    def __init__(
        self,
        role: str,
        ports: FollowingPorts,
        *,
        meter: PoisonMeter,
        make_keeper: Callable[[LeaseHolder], Keeper],
        limits: CallLimits,
        drain_s: float,
    ) -> None:
        """
        Prepare to serve; nothing happens before `start`.

        Args:
            role: the service's name: that of its logger and its tasks.
            make_keeper: makes the keeper of this service's leases, which calls its `on_gained`, `on_lost` and `may_release`.
            drain_s: how long what is under way may take to end when the service stops.
        """
        super().__init__()
        self.keeper = make_keeper(self)
        self._role = role
        self._ports = ports
        self._clock = ports.clock
        self._drain_s = drain_s
        self._is_taking = False
        self._readers: dict[int, tuple[R, asyncio.Task[None]]] = {}
        self._reader_context = ReaderContext(role, ports.event_log, ports.clock, meter, ports.gather_ms)
        self._call_context = CallContext(role, ports, limits, self.keeper.holds)
        self._left = LeftPartitions(ports.clock)
        self._logger = structlog.get_logger(role)
        self._calls = self.make_calls()

    @abstractmethod
    def make_calls(self) -> K:
        """Return what makes the calls from one start of the service to its stop."""

    @abstractmethod
    def make_reader(self, lease: Lease) -> R:
        """Return the reader for the partition of *lease*."""

    @property
    def held_count(self) -> int:
        """How many calls are held whose outcome is not in the log."""
        return self._calls.held.open_count

    @property
    def working_count(self) -> int:
        """How many calls are held whose outcome is not in the log, without those that wait for their instant. O(calls held)."""
        return self._calls.held.working_count()

    @property
    def active_count(self) -> int:
        """How many calls are under way."""
        return self._calls.active_count

    @property
    def waiting_count(self) -> int:
        """How many calls wait for a slot."""
        return self._calls.waiting_count

    async def on_ended(self, reader: R, dropped: int) -> None:
        """The partition of *reader* is read no more, and *dropped* calls were dropped."""
        if self._is_taking:  # at a stop all are given back, and "stopped" says so
            self._logger.info("partition_lost", partition=reader.partition, dropped=dropped)

    async def on_start(self) -> None:
        """Take leases and begin."""
        self._calls = self.make_calls()
        self._is_taking = True
        self.spawn(self._calls.loader.run(), name=f"{self._role} loader")
        self.spawn(self._leave_forever(), name=f"{self._role} halts")
        await self.keeper.start()

    async def on_stop(self) -> None:
        """
        Give each lease back as soon as nothing of its partition is under way: a slow call holds up its own partition only.

        If cancelled meanwhile, break off what is under way.
        """
        self._is_taking = False
        try:
            for partition in self._readers:
                self.may_release(partition)
            await asyncio.gather(self.keeper.end(self._drain_s), self._drain())
        finally:
            await self._calls.stop()
            await asyncio.gather(*[self.on_lost(partition) for partition in self._readers])
            await self.keeper.stop()
            self._logger.debug("drained", in_flight=self.held_count)

    def trouble_of(self, reader: R) -> PartitionTrouble | None:
        """Return why the partition of *reader* is not served in full."""
        return reader.trouble

    def ready(self) -> str | None:
        """Return None if all is well, else what is not."""
        if not self._is_taking:
            return f"{self._role} is not running"
        for partition, (reader, _) in sorted(self._readers.items()):
            if reader.trouble is not None:
                return f"partition {partition}: {reader.trouble.text}"
        return self._left.reason(self._readers) or self._calls.trouble

    def positions(self) -> dict[int, int]:
        """Return the last position read, by partition."""
        return {partition: reader.position for partition, (reader, _) in self._readers.items()}

    def halted_count(self) -> int:
        """Return how many partitions cannot be read on."""
        halted = sum(reader.trouble is not None and reader.trouble.is_halt for reader, _ in self._readers.values())
        return halted + self._left.count(self._readers)

    async def on_gained(self, lease: Lease) -> None:
        """Serve a partition from here on (called by the keeper)."""
        partition = lease.partition
        if not self._is_taking:
            return
        await self.on_lost(partition)
        reader = self.make_reader(lease)
        self._readers[partition] = (
            reader,
            asyncio.create_task(reader.run(), name=f"{self._role} partition {partition}"),
        )
        self._logger.debug("partition_gained", partition=partition)

    async def on_lost(self, partition: int) -> None:
        """Stop serving a partition, and drop what has not started (called by the keeper)."""
        found = self._readers.pop(partition, None)
        if found is None:
            return
        reader, reading = found
        reading.cancel()
        dropped = self._calls.held.drop_unstarted(partition)
        await asyncio.wait([reading])
        dropped += self._calls.held.drop_unstarted(partition)
        await self.on_ended(reader, dropped)

    def may_release(self, partition: int) -> bool:
        """
        Stop reading a partition that is to go to another process, and say whether nothing of it is under way any more.

        The keeper asks again until it is true, so that no call is made twice. Once asked, the service reads the partition no
        more until it gains the lease anew.
        """
        found = self._readers.get(partition)
        if found is not None:
            found[1].cancel()
        self._calls.held.drop_unstarted(partition)
        return self._calls.held.open_count_of(partition) == 0

    async def _leave_forever(self) -> None:
        """Leave each partition that only a newer build can read on, once nothing of it is under way."""
        while True:
            await self._clock.beat(LEAVE_CHECK_MS)
            for partition, (reader, _) in list(self._readers.items()):
                trouble = self.trouble_of(reader)
                if trouble is None or trouble.kind is not TroubleKind.NEEDS_NEWER or not self.may_release(partition):
                    continue
                self._left.note(partition, trouble.text)
                await self.on_lost(partition)
                await self.keeper.give_up(partition, pause_s=LEAVE_S)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._drain_s):
                await self._calls.wait_idle()
        except TimeoutError:
            self._logger.warning("drain_timed_out", in_flight=self.held_count)
