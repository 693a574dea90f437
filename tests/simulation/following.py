"""A dispatcher or a webhooks service with everything around it in memory, on a clock that the test moves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from libs.events import Event
from libs.following.calls import CallLimits
from libs.following.ports import FollowingPorts
from libs.following.service import FollowingService
from libs.log.memory import MemoryLog
from tests.fakes.control.endpoints import FakeEndpoints
from tests.fakes.partition import FoldedTables, Owner, events_of
from tests.fakes.targets import HandKeeper, ScriptedEgress, Tally
from tests.simulation.manual_clock import ManualClock

S = TypeVar("S", bound=FollowingService[Any, Any])
E = TypeVar("E", bound=Event)


class Harness(ABC, Generic[S]):
    """One service, one owner of partition 0, one target."""

    limits: CallLimits

    def __init__(self, log: MemoryLog, clock: ManualClock, **settings: Any) -> None:
        """*settings* are the service's; those that are fields of its limits change these."""
        self.log = log
        self.clock = clock
        self.tables = FoldedTables(log)
        self.egress = ScriptedEgress(clock)
        self.tally = Tally()
        self.owner = Owner(log)
        self.endpoints = FakeEndpoints()
        changed = {name: settings.pop(name) for name in CallLimits._fields if name in settings}
        self.settings = {"limits": self.limits._replace(**changed), **settings}
        self.service = self.new_service()

    @abstractmethod
    def new_service(self) -> S:
        """Put another service together, as another process, or another life of this one."""

    @property
    def ports(self) -> FollowingPorts:
        return FollowingPorts(self.log, self.tables, self.tables, self.egress, self.clock, version="1.2.3")

    def new_keeper(self, service: Any) -> HandKeeper:
        return HandKeeper(service.on_gained, service.on_lost)

    @property
    def keeper(self) -> HandKeeper:
        assert isinstance(self.service.keeper, HandKeeper)
        return self.service.keeper

    async def begin(self) -> None:
        """Start the service and give it the partition."""
        await self.service.start()
        await self.keeper.give()
        await self.settle()

    async def settle(self) -> None:
        await self.clock.settle(60)

    async def die(self) -> None:
        """End the service as a crash would: nothing is drained, nothing is recorded."""
        await self.service._calls.stop()
        self.service._drain_s = 0
        await self.service.stop()

    async def begin_anew(self) -> None:
        """Start another life of the service."""
        self.service = self.new_service()
        await self.begin()

    async def facts(self, kind: type[E]) -> list[E]:
        """Return the facts of one class that are in the log."""
        return [event for event in await events_of(self.log, 0, kind) if isinstance(event, kind)]


H = TypeVar("H", bound=Harness[Any])


@asynccontextmanager
async def running(kind: type[H], **settings: Any) -> AsyncIterator[H]:
    """Make a harness whose log is started and whose owner has claimed; stop everything at the end."""
    clock = ManualClock()
    log = MemoryLog(partitions=1, clock=clock)
    await log.start()
    made = kind(log, clock, **settings)
    await made.owner.take_over()
    try:
        yield made
    finally:
        await made.die()
        await log.stop()
