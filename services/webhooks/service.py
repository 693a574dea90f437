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

from libs.following.calls import CallLimits
from libs.following.ports import FollowingPorts, LeaseHolder, SpecTables
from libs.following.service import FollowingService
from libs.store.leases.keeper_port import Keeper
from libs.store.leases.lease_table import Lease
from services.webhooks.ports import Meter, Positions
from services.webhooks.reader import EndedJobsReader
from services.webhooks.webhook_calls import WebhookCalls

LIMITS: Final = CallLimits(places=20_000, slots=300, per_host=20)
WAITING_MAX: Final = 5_000  # POSTs of one account that may wait for one host: half of what it may hold
DRAIN_S: Final = 12.0  # a POST takes at most 10 s; the rest is for its outcome
SAVE_EVERY_MS: Final = 1_000
LAST_SAVE_S: Final = 1.0  # for the position of a partition that was lost


class WebhooksService(FollowingService[EndedJobsReader, WebhookCalls]):
    """Makes the webhooks of the partitions it holds."""

    def __init__(
        self,
        ports: FollowingPorts,
        *,
        positions: Positions,
        tables: SpecTables,
        meter: Meter,
        make_keeper: Callable[[LeaseHolder], Keeper],
        limits: CallLimits = LIMITS,
        waiting_max: int = WAITING_MAX,
        drain_s: float = DRAIN_S,
    ) -> None:
        """
        Put the service together; nothing happens before `start`.

        Args:
            make_keeper: makes the keeper of this service's leases.
            waiting_max: POSTs of one account that may wait for one host.
            drain_s: how long POSTs under way may take to end when the service stops.
        """
        self._positions = positions
        self._tables = tables
        self._meter = meter
        self._waiting_max = waiting_max
        super().__init__("webhooks", ports, meter=meter, make_keeper=make_keeper, limits=limits, drain_s=drain_s)

    def make_calls(self) -> WebhookCalls:
        """Return what makes the POSTs from one start of the service to its stop."""
        return WebhookCalls(self._call_context, self._tables, meter=self._meter, waiting_max=self._waiting_max)

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
            calls=self._calls,
        )

    async def on_ended(self, reader: EndedJobsReader, dropped: int) -> None:
        """Save the position for the last time."""
        # So that the next holder does not repeat what is done. The wait is short: the keeper renews nothing meanwhile, and the
        # tables may be the reason why the lease was lost.
        try:
            async with asyncio.timeout(LAST_SAVE_S):
                await reader.save()
        except TimeoutError:
            self._logger.warning("position_not_saved", partition=reader.partition, reason="no answer in time")
        await super().on_ended(reader, dropped)

    async def _save_forever(self) -> None:
        """Save the positions each second."""
        while True:
            await self._clock.pause(SAVE_EVERY_MS)
            await asyncio.gather(*[reader.save() for reader, _ in self._readers.values()])
