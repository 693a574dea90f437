"""A webhooks service with everything around it in memory, on a clock that the test moves."""

from __future__ import annotations

from functools import partial
from typing import Any

from libs.events import Claim, JobScheduled, WebhookFinished
from libs.log.memory import MemoryLog
from libs.store.leases.lease_table import Lease
from services.webhooks.service import LIMITS, WebhooksService
from tests.simulation import following
from tests.simulation.manual_clock import ManualClock

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


class Harness(following.Harness[WebhooksService]):
    """One webhooks service, one owner of partition 0, one receiver."""

    limits = LIMITS

    def __init__(self, log: MemoryLog, clock: ManualClock, **settings: Any) -> None:
        self.positions = SavedPositions()
        super().__init__(log, clock, **settings)

    def new_service(self) -> WebhooksService:
        return WebhooksService(
            self.ports,
            positions=self.positions,
            tables=self.tables,
            meter=self.tally,
            make_keeper=self.new_keeper,
            **self.settings,
        )

    async def die(self) -> None:
        """End the service as a crash would: nothing is drained, recorded or saved."""
        self.positions.save_position, kept = _nothing, self.positions.save_position  # type: ignore[method-assign]
        await super().die()
        self.positions.save_position = kept  # type: ignore[method-assign]

    async def job(self, **spec: object) -> JobScheduled:
        """Append a job with a webhook that has been due for a moment."""
        spec = {"webhook_url": f"{HOST}/me"} | spec
        return await self.owner.schedule(self.clock.now(), **spec)  # type: ignore[arg-type]

    async def ended_job(self, **spec: object) -> JobScheduled:
        """Append a job with a webhook, and the decision that it is at its end."""
        job = await self.job(**spec)
        await self.owner.finish(job)
        return job

    async def told(self) -> list[WebhookFinished]:
        return await self.facts(WebhookFinished)

    @property
    def posted(self) -> list[str | None]:
        """The ids of the jobs told of, in order."""
        return [call.header("webhook-id") for call in self.egress.calls]


async def _nothing(*_: object) -> bool:
    return True


harness = partial(following.running, Harness)
