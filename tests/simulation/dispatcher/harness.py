"""A dispatcher with everything around it in memory, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from libs.events import AttemptFinished
from libs.log.memory import MemoryLog
from libs.runtime.clock import ManualClock
from services.dispatcher.service import DispatcherService
from tests.fakes.partition import FoldedTables, Owner, events_of
from tests.fakes.targets import HandKeeper, ScriptedEgress, Tally

HOST = "http://target.example"


class Harness:
    """One dispatcher, one owner of partition 0, one target."""

    def __init__(self, log: MemoryLog, clock: ManualClock, **limits: Any) -> None:
        self.log = log
        self.clock = clock
        self.tables = FoldedTables(log)
        self.egress = ScriptedEgress(clock)
        self.tally = Tally()
        self.owner = Owner(log)
        self.limits = limits
        self.dispatcher = self.new_dispatcher()

    def new_dispatcher(self) -> DispatcherService:
        """Put another dispatcher together, as another process, or another life of this one."""
        return DispatcherService(
            event_log=self.log,
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
        assert isinstance(self.dispatcher.keeper, HandKeeper)
        return self.dispatcher.keeper

    async def begin(self) -> None:
        """Start the dispatcher and give it the partition."""
        await self.dispatcher.start()
        await self.keeper.give()
        await self.clock.settle(60)

    async def settle(self) -> None:
        await self.clock.settle(60)

    async def die(self) -> None:
        """End the dispatcher as a crash would: nothing is drained, nothing is recorded."""
        dispatcher = self.dispatcher
        await dispatcher._calls.stop()
        dispatcher._drain_s = 0
        await dispatcher.stop()

    async def finished(self) -> list[AttemptFinished]:
        found = await events_of(self.log, 0, AttemptFinished)
        return [event for event in found if isinstance(event, AttemptFinished)]


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
