"""
The webhooks service's loop: leases in, ends of jobs through, outcomes out.

    keeper --lease--> reader --end of a job--> deliveries --outcome--> log
                         position, saved each second

When the service stops, POSTs under way may end, and their outcomes and the positions are saved before the leases are given
back.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from libs.following.ports import Egress, Keeper, LeaseHolder, Progress, SigningSecrets, SpecTables
from libs.following.service import FollowingService
from libs.log.port import Log
from libs.runtime.clock import Clock
from libs.runtime.telemetry.tracing import NO_TRACING, Tracing
from libs.store.leases.lease_table import Lease
from services.webhooks.deliveries import PER_HOST, TOTAL, WAITING_MAX, Deliveries
from services.webhooks.ports import Meter, Positions
from services.webhooks.reader import EndedJobsReader

PENDING_MAX: Final = 5_000  # POSTs held by the process; beyond it reading stops
DRAIN_S: Final = 12.0  # a POST takes at most 10 s; the rest is for its outcome
SAVE_EVERY_MS: Final = 1_000
LAST_SAVE_S: Final = 1.0  # for the position of a partition that was lost
LEASE_CHECK_MS: Final = 250

_log = structlog.get_logger("webhooks")


class WebhooksService(FollowingService[EndedJobsReader]):
    """Makes the webhooks of the partitions it holds."""

    def __init__(
        self,
        *,
        event_log: Log,
        positions: Positions,
        tables: SpecTables,
        progress: Progress,
        secrets: SigningSecrets,
        egress: Egress,
        clock: Clock,
        meter: Meter,
        version: str,
        make_keeper: Callable[[LeaseHolder], Keeper],
        total: int = TOTAL,
        per_host: int = PER_HOST,
        waiting_max: int = WAITING_MAX,
        drain_s: float = DRAIN_S,
        gather_ms: int = 0,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        """
        Put the service together; nothing happens before `start`.

        Args:
            version: stands in the User-Agent.
            make_keeper: makes the keeper of this service's leases.
            total: POSTs under way at once.
            per_host: POSTs under way to one host.
            waiting_max: POSTs of one account that may wait for one host.
            drain_s: how long POSTs under way may take to end when the service stops.
            gather_ms: the least time between two reads, and between two appends, of a partition: what arrives meanwhile goes
                together.
            tracing: where the spans of POSTs go.
        """
        super().__init__(
            "webhooks",
            event_log=event_log,
            clock=clock,
            meter=meter,
            make_keeper=make_keeper,
            drain_s=drain_s,
            gather_ms=gather_ms,
        )
        self._positions = positions
        self._tables = tables
        self._progress = progress
        self._secrets = secrets
        self._make_deliveries: Callable[[], Deliveries] = lambda: Deliveries(
            event_log=event_log,
            egress=egress,
            clock=clock,
            meter=meter,
            user_agent=f"Fliq/{version}",
            may_start=self.keeper.holds,
            on_recorded=self._capacity.freed,
            total=total,
            per_host=per_host,
            waiting_max=waiting_max,
            gather_ms=gather_ms,
            tracing=tracing,
        )
        self._deliveries = self._make_deliveries()

    @property
    def held_count(self) -> int:
        """How many POSTs are waiting, under way or being recorded."""
        return self._deliveries.held_count

    @property
    def failing_partitions(self) -> Sequence[int]:
        """The partitions whose outcomes cannot be appended at the moment."""
        return self._deliveries.failing_partitions

    def has_room(self) -> bool:
        """Whether more POSTs may be held."""
        return self._deliveries.held_count < PENDING_MAX

    async def on_start(self) -> None:
        """Take leases and begin."""
        self._deliveries = self._make_deliveries()
        self.spawn(self._watch_leases(), name="webhooks watch")
        self.spawn(self._save_forever(), name="webhooks positions")
        await super().on_start()

    def make_reader(self, lease: Lease) -> EndedJobsReader:
        """Return the reader of the ended jobs of the partition of *lease*."""
        return EndedJobsReader(
            lease,
            self._reader_context,
            positions=self._positions,
            tables=self._tables,
            progress=self._progress,
            secrets=self._secrets,
            deliveries=self._deliveries,
        )

    def drop_unstarted(self, partition: int) -> int:
        """Drop the POSTs of *partition* that wait; the log has the ends of their jobs behind the saved position."""
        return self._deliveries.drop_unstarted(partition)

    def open_count_of(self, partition: int) -> int:
        """Return how many POSTs of *partition* are under way or being recorded."""
        return self._deliveries.open_count_of(partition)

    async def on_ended(self, reader: EndedJobsReader, dropped: int) -> None:
        """Save the position for the last time."""
        # So that the next holder does not repeat what is done. The wait is short: the keeper renews nothing meanwhile, and the
        # tables may be the reason why the lease was lost.
        try:
            async with asyncio.timeout(LAST_SAVE_S):
                await reader.save()
        except TimeoutError:
            _log.warning("position_not_saved", partition=reader.partition, reason="no answer in time")
        if self._is_taking:  # at a stop all are given back, and "stopped" says so
            _log.info("partition_lost", partition=reader.partition)

    async def wait_idle(self) -> None:
        """Return once no POST is under way and every outcome is in the log."""
        await self._deliveries.wait_idle()

    async def break_off(self) -> None:
        """End the POSTs under way, at once."""
        await self._deliveries.stop()

    async def _watch_leases(self) -> None:
        """Start what could not start while its lease was not certain."""
        while True:
            await self._clock.pause(LEASE_CHECK_MS)
            self._deliveries.start_waiting()

    async def _save_forever(self) -> None:
        """Save the positions each second."""
        while True:
            await self._clock.pause(SAVE_EVERY_MS)
            await asyncio.gather(*[reader.save() for reader, _ in self._readers.values()])
