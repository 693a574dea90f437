"""
The webhooks service's loop: leases in, ends of jobs through, outcomes out.

    keeper --lease--> reader --end of a job--> webhook calls --outcome--> log
                         position, saved each second

When the service stops, POSTs under way may end, and their outcomes and the positions are saved before the leases are given
back.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from libs.following.ports import FollowingPorts, LeaseHolder, SpecTables
from libs.following.service import FollowingService
from libs.store.leases.keeper_port import Keeper
from libs.store.leases.lease_table import Lease
from services.webhooks.ports import Meter, Positions
from services.webhooks.reader import EndedJobsReader
from services.webhooks.webhook_calls import LIMITS, Limits, WebhookCalls

PENDING_MAX: Final = 5_000  # POSTs held by the process; beyond it reading stops
DRAIN_S: Final = 12.0  # a POST takes at most 10 s; the rest is for its outcome
SAVE_EVERY_MS: Final = 1_000
LAST_SAVE_S: Final = 1.0  # for the position of a partition that was lost

_log = structlog.get_logger("webhooks")


class WebhooksService(FollowingService[EndedJobsReader]):
    """Makes the webhooks of the partitions it holds."""

    _calls: WebhookCalls

    def __init__(
        self,
        ports: FollowingPorts,
        *,
        positions: Positions,
        tables: SpecTables,
        meter: Meter,
        make_keeper: Callable[[LeaseHolder], Keeper],
        limits: Limits = LIMITS,
        drain_s: float = DRAIN_S,
    ) -> None:
        """
        Put the service together; nothing happens before `start`.

        Args:
            make_keeper: makes the keeper of this service's leases.
            drain_s: how long POSTs under way may take to end when the service stops.
        """
        super().__init__("webhooks", ports, meter=meter, make_keeper=make_keeper, drain_s=drain_s)
        self._positions = positions
        self._tables = tables
        self._meter = meter
        self._limits = limits
        self.assemble()

    def assemble(self) -> None:
        """Hold nothing."""
        self._calls = WebhookCalls(
            self._ports,
            meter=self._meter,
            limits=self._limits,
            may_start=self.keeper.holds,
            on_recorded=self._capacity.freed,
        )

    @property
    def held_count(self) -> int:
        """How many POSTs are waiting, under way or being recorded."""
        return self._calls.held_count

    def has_room(self) -> bool:
        """Whether more POSTs may be held."""
        return self._calls.held_count < PENDING_MAX

    async def on_start(self) -> None:
        """Take leases and begin."""
        await super().on_start()
        self.spawn(self._save_forever(), name="webhooks positions")

    def make_reader(self, lease: Lease) -> EndedJobsReader:
        """Return the reader of the ended jobs of the partition of *lease*."""
        return EndedJobsReader(
            lease,
            self._reader_context,
            positions=self._positions,
            tables=self._tables,
            progress=self._ports.progress,
            secrets=self._ports.secrets,
            calls=self._calls,
        )

    def drop_unstarted(self, partition: int) -> int:
        """Drop the POSTs of *partition* that wait; the log has the ends of their jobs behind the saved position."""
        return self._calls.drop_unstarted(partition)

    def open_count_of(self, partition: int) -> int:
        """Return how many POSTs of *partition* are under way or being recorded."""
        return self._calls.open_count_of(partition)

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

    async def _save_forever(self) -> None:
        """Save the positions each second."""
        while True:
            await self._clock.pause(SAVE_EVERY_MS)
            await asyncio.gather(*[reader.save() for reader, _ in self._readers.values()])
