"""
The webhooks service's loop: leases in, ends of jobs through, outcomes out.

    keeper --lease--> follower --end of a job--> deliveries --outcome--> log
                          position, saved each second

Stopping drains: POSTs under way may end, their outcomes and the positions are saved, then the leases are given back.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import structlog

from libs.following.left_partitions import LEAVE_S, LeftPartitions
from libs.log.port import Log
from libs.runtime.clock import Clock
from libs.runtime.lifecycle import StartStop
from libs.runtime.telemetry.tracing import NO_TRACING, Tracing
from services.webhooks.deliveries import LANE_MAX, PER_HOST, TOTAL, Deliveries
from services.webhooks.ports import (
    Egress,
    Keeper,
    Lease,
    Meter,
    Positions,
    Progress,
    SigningSecrets,
    SpecTables,
)
from services.webhooks.reader import PENDING_MAX, Follower

DRAIN_S: Final = 12.0  # a POST takes at most 10 s; the rest is for its outcome
LAST_SAVE_S: Final = 1.0  # for the position of a partition that was lost
LEASE_CHECK_MS: Final = 250
HALTS_EVERY_MS: Final = 500

L = TypeVar("L", bound=Lease)

log = structlog.get_logger("webhooks")


class WebhooksService(StartStop, Generic[L]):
    """Tells callers of the ends of the jobs of the partitions it holds."""

    def __init__(
        self,
        *,
        event_log: Log,
        positions: Positions[L],
        tables: SpecTables,
        progress: Progress,
        secrets: SigningSecrets,
        egress: Egress,
        clock: Clock,
        meter: Meter,
        version: str,
        make_keeper: Callable[["WebhooksService[L]"], Keeper],
        total: int = TOTAL,
        per_host: int = PER_HOST,
        lane_max: int = LANE_MAX,
        drain_s: float = DRAIN_S,
        gather_ms: int = 0,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        """
        Put the service together; nothing happens before `start`.

        Args:
            version: stands in the User-Agent.
            make_keeper: makes the keeper of this service's leases, which calls its `on_gained`, `on_lost` and `may_release`.
            total: POSTs under way at once.
            per_host: POSTs under way to one host.
            lane_max: POSTs of one account that may wait for one host.
            drain_s: how long POSTs under way may take to end when the service stops.
            gather_ms: the least time between two reads, and between two appends, of a partition: what arrives meanwhile goes
                together.
            tracing: where the spans of POSTs go.
        """
        super().__init__()
        self._log = event_log
        self._positions = positions
        self._tables = tables
        self._progress = progress
        self._secrets = secrets
        self._egress = egress
        self._clock = clock
        self._meter = meter
        self._user_agent = f"Fliq/{version}"
        self._total = total
        self._per_host = per_host
        self._lane_max = lane_max
        self._drain_s = drain_s
        self._gather_ms = gather_ms
        self._tracing = tracing
        self._followers: dict[int, tuple[Follower[L], list[asyncio.Task[None]]]] = {}
        self._is_taking = False
        self._left = LeftPartitions(clock)
        self._deliveries = self._make_deliveries()
        self.keeper = make_keeper(self)

    def _make_deliveries(self) -> Deliveries:
        return Deliveries(
            event_log=self._log,
            egress=self._egress,
            clock=self._clock,
            meter=self._meter,
            user_agent=self._user_agent,
            may_start=self._may_start,
            total=self._total,
            per_host=self._per_host,
            lane_max=self._lane_max,
            gather_ms=self._gather_ms,
            tracing=self._tracing,
        )

    @property
    def held_count(self) -> int:
        """How many POSTs are waiting, under way or being recorded."""
        return self._deliveries.held_count

    async def on_start(self) -> None:
        """Take leases and begin."""
        self._deliveries = self._make_deliveries()
        self._is_taking = True
        self.spawn(self._watch_leases(), name="webhooks watch")
        self.spawn(self._watch_halts(), name="webhooks halts")
        await self.keeper.start()

    async def on_stop(self) -> None:
        """
        Drain, save the positions, give the leases back.

        Cancelled while it drains, it breaks off what is under way.
        """
        self._is_taking = False
        followers, self._followers = self._followers, {}
        try:
            await _end_tasks([task for _, tasks in followers.values() for task in tasks])
            for partition in followers:
                self._deliveries.drop_unstarted(partition)
            await self._drain()
            for follower, _ in followers.values():
                await follower.save()
        finally:
            await self._deliveries.stop()
            await self.keeper.stop()
            log.debug("drained", in_flight=self._deliveries.held_count)

    def ready(self) -> str | None:
        """Return None when all is well, else what is not."""
        if not self._is_taking:
            return "webhooks is not running"
        for partition, (follower, _) in sorted(self._followers.items()):
            if follower.trouble is not None:
                return f"partition {partition}: {follower.trouble}"
        if failing := self._deliveries.failing_partitions:
            return f"partition {failing[0]}: outcomes cannot be appended"
        return self._left.reason(self._followers)

    def positions(self) -> dict[int, int]:
        """Return the last position read, by partition; while no more can be held, reading stops on purpose."""
        if self._deliveries.held_count >= PENDING_MAX:
            return {}
        return {partition: follower.position for partition, (follower, _) in self._followers.items()}

    def halted_count(self) -> int:
        """Return how many partitions cannot be read on."""
        return sum(follower.is_halted for follower, _ in self._followers.values()) + self._left.count(self._followers)

    async def on_gained(self, lease: L) -> None:
        """Serve a partition from here on (called by the keeper)."""
        partition = lease.partition
        if not self._is_taking:
            return
        await self.on_lost(partition)
        follower = Follower(
            lease,
            event_log=self._log,
            positions=self._positions,
            tables=self._tables,
            progress=self._progress,
            secrets=self._secrets,
            clock=self._clock,
            deliveries=self._deliveries,
            meter=self._meter,
            gather_ms=self._gather_ms,
        )
        self._followers[partition] = (
            follower,
            [
                asyncio.create_task(follower.run(), name=f"webhooks partition {partition}"),
                asyncio.create_task(follower.save_forever(), name=f"webhooks position {partition}"),
            ],
        )
        log.debug("partition_gained", partition=partition)

    async def on_lost(self, partition: int) -> None:
        """Serve a partition no longer: drop what has not started (called by the keeper)."""
        found = self._followers.pop(partition, None)
        if found is None:
            return
        await _end_tasks(found[1])
        self._deliveries.drop_unstarted(partition)
        # The lease may still be ours to give: what is done now is not done again by its next holder. But not for long: while the
        # keeper waits for us it renews nothing, and the tables may be the reason why the lease was lost.
        try:
            async with asyncio.timeout(LAST_SAVE_S):
                await found[0].save()
        except TimeoutError:
            log.warning("position_not_saved", partition=partition, reason="no answer in time")
        if self._is_taking:  # at a stop all are given back, and "stopped" says so
            log.info("partition_lost", partition=partition)

    def may_release(self, partition: int) -> bool:
        """
        Stop following a partition that is to be handed to another, and say whether nothing of it is under way any more.

        Asked again until it is true, the keeper hands a partition over without a job's end being told twice. Once asked, the
        partition is not followed any more until it is gained anew.
        """
        found = self._followers.get(partition)
        if found is not None and not found[1][0].done():
            found[1][0].cancel()
        self._deliveries.drop_unstarted(partition)
        return self._deliveries.open_count_of(partition) == 0

    def _may_start(self, partition: int) -> bool:
        return self.keeper.holds(partition)

    async def _watch_leases(self) -> None:
        """Try again what could not start while a lease was not certain."""
        while True:
            await self._clock.pause(LEASE_CHECK_MS)
            self._deliveries.start_waiting()

    async def _watch_halts(self) -> None:
        """Leave partitions that only a newer build may read on; webhooks under way end, and what is done is saved."""
        while True:
            await self._clock.pause(HALTS_EVERY_MS)
            for partition, (follower, _) in list(self._followers.items()):
                if follower.must_leave:
                    self._left.note(partition, follower.trouble or "")
                    await self.on_lost(partition)
                    await self.keeper.give_up(partition, pause_s=LEAVE_S)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._drain_s):
                await self._deliveries.wait_idle()
        except TimeoutError:
            log.warning("drain_timed_out", in_flight=self._deliveries.held_count)


async def _end_tasks(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
