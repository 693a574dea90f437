"""
The webhooks service's loop: leases in, ends of jobs through, outcomes out.

    keeper --lease--> reader --end of a job--> webhook calls --outcome--> log
                      fan-out reader --jobs that tell endpoints--> log

When the service stops, POSTs under way may end, and their outcomes are appended before the leases are given back.
"""

from collections.abc import Callable
from typing import Final

from libs.following.calls import CallLimits
from libs.following.partition_trouble import PartitionTrouble
from libs.following.ports import FollowingPorts, LeaseHolder
from libs.following.service import FollowingService
from libs.store.leases.keeper_port import Keeper
from libs.store.leases.lease_table import Lease
from services.webhooks.fan_out.fan_outs import FanOuts
from services.webhooks.fan_out.ports import FanOutPorts
from services.webhooks.ports import Meter, PendingTables
from services.webhooks.reader import EndedJobsReader
from services.webhooks.webhook_calls import WebhookCalls

# One endpoint alone holds 2,000 of the places, about 3 MB: two seconds of sending. Recall looks four times a second.
LIMITS: Final = CallLimits(places=6_000, slots=600, per_lane=64, per_round=32)
DRAIN_S: Final = 12.0  # a POST takes at most 10 s; the rest is for its outcome


class WebhooksService(FollowingService[EndedJobsReader, WebhookCalls]):
    """Makes the webhooks of the partitions it holds."""

    def __init__(
        self,
        ports: FollowingPorts,
        *,
        tables: PendingTables,
        fan_out: FanOutPorts,
        meter: Meter,
        make_keeper: Callable[[LeaseHolder], Keeper],
        retries: int = 0,
        retry_base_s: float = 30.0,
        limits: CallLimits = LIMITS,
        drain_s: float = DRAIN_S,
    ) -> None:
        """
        Put the service together; nothing happens before `start`.

        Args:
            make_keeper: makes the keeper of this service's leases.
            retries: how often a webhook that fails is tried again if its job does not say it (`FLIQ_WEBHOOK_RETRIES`).
            retry_base_s: the delay after its first failure if its job does not say it (`FLIQ_RETRY_BASE_SECONDS`).
            drain_s: how long POSTs under way may take to end when the service stops.
        """
        self._tables = tables
        self._meter = meter
        self._retries = retries
        self._retry_base_s = retry_base_s
        super().__init__("webhooks", ports, meter=meter, make_keeper=make_keeper, limits=limits, drain_s=drain_s)
        self._fan_outs = FanOuts(self._reader_context, fan_out, ports.progress, meter=meter)

    @property
    def pending_count(self) -> int:
        """How many webhooks of its partitions were pending when the tables were last asked, at most half a minute ago."""
        return sum(reader.pending.pending_count for reader, _ in self._readers.values() if reader.pending is not None)

    @property
    def waiting_deliveries_count(self) -> int:
        """How many deliveries of its partitions waited for a try when the tables were last asked."""
        return sum(reader.due.waiting_count for reader, _ in self._readers.values() if reader.due is not None)

    @property
    def oldest_pending_s(self) -> float:
        """For how many seconds the oldest of them has waited by now; 0 if there was none."""
        oldest = [
            at
            for reader, _ in self._readers.values()
            if reader.pending is not None
            for at, _ in reader.pending.oldest.values()
        ]
        return max(0.0, (self._clock.now() - min(oldest)) / 1000) if oldest else 0.0

    async def on_start(self) -> None:
        """Take leases and begin."""
        for name, loop in self._fan_outs.loops().items():
            self.spawn(loop, name=f"webhooks {name}")
        await super().on_start()

    def trouble_of(self, reader: EndedJobsReader) -> PartitionTrouble | None:
        """Return why the partition of *reader* is not served in full: also if only its events are not fanned out."""
        return reader.trouble or self._fan_outs.trouble_of(reader.partition)

    def ready(self) -> str | None:
        """Return None if all is well, else what is not."""
        return super().ready() or self._fan_outs.ready()

    async def on_gained(self, lease: Lease) -> None:
        """Serve a partition from here on (called by the keeper)."""
        await super().on_gained(lease)
        if lease.partition in self._readers:
            self._fan_outs.gained(lease.partition)

    async def on_lost(self, partition: int) -> None:
        """Stop serving a partition (called by the keeper)."""
        await super().on_lost(partition)
        await self._fan_outs.lost(partition)

    def may_release(self, partition: int) -> bool:
        """Stop reading a partition that is to go to another process, and say whether nothing of it is under way any more."""
        self._fan_outs.pause(partition)
        return super().may_release(partition)

    def make_calls(self) -> WebhookCalls:
        """Return what makes the POSTs from one start of the service to its stop."""
        return WebhookCalls(
            self._call_context,
            self._tables,
            meter=self._meter,
            retries=self._retries,
            retry_base_s=self._retry_base_s,
        )

    def make_reader(self, lease: Lease) -> EndedJobsReader:
        """Return the reader of the ended jobs of the partition of *lease*."""
        return EndedJobsReader(
            lease.partition,
            self._reader_context,
            tables=self._tables,
            progress=self._ports.progress,
            calls=self._calls,
            meter=self._meter,
        )
