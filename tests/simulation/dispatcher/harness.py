"""A dispatcher with everything around it in memory, on a clock that the test moves."""

from __future__ import annotations

from functools import partial

from libs.events import AttemptDue, AttemptFinished
from services.dispatcher.service import LIMITS, DispatcherService
from tests.simulation import following

HOST = "http://target.example"


class Harness(following.Harness[DispatcherService]):
    """One dispatcher, one owner of partition 0, one target."""

    limits = LIMITS

    def new_service(self) -> DispatcherService:
        return DispatcherService(
            self.ports,
            tables=self.tables,
            endpoint_health=self.endpoints,
            meter=self.tally,
            make_keeper=self.new_keeper,
            **self.settings,
        )

    async def due(self, in_ms: int = 0, **spec: object) -> AttemptDue:
        """Append a job that is due in *in_ms*, and the decision that it is."""
        return await self.owner.due(await self.owner.schedule(self.clock.now() + in_ms, **spec))  # type: ignore[arg-type]

    async def finished(self) -> list[AttemptFinished]:
        return await self.facts(AttemptFinished)


harness = partial(following.running, Harness)
