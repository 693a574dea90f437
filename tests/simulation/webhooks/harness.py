"""A webhooks service with everything around it in memory, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from libs.events import Claim, JobScheduled, WebhookFinished
from libs.log.memory import MemoryLog
from libs.runtime.clock import ManualClock
from libs.store.leases.lease_table import Lease
from services.webhooks.service import WebhooksService
from tests.fakes.partition import FoldedTables, Owner, events_of
from tests.fakes.targets import HandKeeper, ScriptedEgress, Tally

HOST = "http://hooks.example"


class SavedPositions:
    """The role's lease rows."""

    def __init__(self) -> None:
        self.saved: dict[int, tuple[int, Claim | None]] = {}
        self.saves = 0
        self.fails: Exception | None = None

    async def position(self, partition: int) -> tuple[int, Claim | None]:
        if self.fails is not None:
            raise self.fails
        return self.saved.get(partition, (-1, None))

    async def save_position(self, lease: Lease, position: int, claim: Claim | None) -> bool:
        if self.fails is not None:
            raise self.fails
        self.saves += 1
        self.saved[lease.partition] = position, claim
        return True


class Harness:
    """One webhooks service, one owner of partition 0, one receiver."""

    def __init__(self, log: MemoryLog, clock: ManualClock, **limits: Any) -> None:
        self.log = log
        self.clock = clock
        self.tables = FoldedTables(log)
        self.positions = SavedPositions()
        self.egress = ScriptedEgress(clock)
        self.tally = Tally()
        self.owner = Owner(log)
        self.limits = limits
        self.service = self.new_service()

    def new_service(self) -> WebhooksService:
        return WebhooksService(
            event_log=self.log,
            positions=self.positions,
            tables=self.tables,
            progress=self.tables,
            secrets=self.tables,
            egress=self.egress,
            clock=self.clock,
            meter=self.tally,
            version="1.2.3",
            make_keeper=lambda service: HandKeeper(service.on_gained, service.on_lost),
            **self.limits,
        )

    @property
    def keeper(self) -> HandKeeper:
        assert isinstance(self.service.keeper, HandKeeper)
        return self.service.keeper

    async def begin(self) -> None:
        await self.service.start()
        await self.keeper.give()
        await self.settle()

    async def settle(self) -> None:
        await self.clock.settle(60)

    async def die(self) -> None:
        """End the service as a crash would: nothing is drained, recorded or saved."""
        self.positions.save_position, kept = _nothing, self.positions.save_position  # type: ignore[method-assign]
        await self.service._deliveries.stop()
        self.service._drain_s = 0
        await self.service.stop()
        self.positions.save_position = kept  # type: ignore[method-assign]

    async def job(self, **spec: object) -> JobScheduled:
        """Append a job with a webhook that has been due for a moment."""
        spec = {"webhook_url": f"{HOST}/me"} | spec
        return await self.owner.schedule(self.clock.now(), **spec)  # type: ignore[arg-type]

    async def told(self) -> list[WebhookFinished]:
        found = await events_of(self.log, 0, WebhookFinished)
        return [event for event in found if isinstance(event, WebhookFinished)]

    @property
    def posted(self) -> list[str | None]:
        """The ids of the jobs told of, in order."""
        return [call.header("webhook-id") for call in self.egress.calls]


async def _nothing(*_: object) -> bool:
    return True


@asynccontextmanager
async def harness(**limits: Any) -> AsyncIterator[Harness]:
    """Make a harness whose log is started and whose owner has claimed; stop everything at the end."""
    clock = ManualClock()
    log = MemoryLog(partitions=1, clock=clock)
    await log.start()
    made = Harness(log, clock, **limits)
    await made.owner.take_over()
    try:
        yield made
    finally:
        await made.die()
        await log.stop()
