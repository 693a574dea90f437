"""
The dispatcher's loop: leases in, attempts through, outcomes out.

    keeper --lease--> reader --due--> attempt calls --outcome--> log

If a lease is lost, the attempts that have not started are dropped. Those that have started end, and their outcomes are
appended: a late outcome is a fact like any other, and the first one counts. When the service stops, calls under way may end,
for a bounded time, before the leases are given back, so that a deploy repeats no call.
"""

from collections.abc import Callable
from typing import Final

from libs.domain.responses.terms import CaptureTerms
from libs.following.calls import CallLimits
from libs.following.ports import FollowingPorts, LeaseHolder
from libs.following.service import FollowingService
from libs.store.leases.keeper_port import Keeper
from libs.store.leases.lease_table import Lease
from services.dispatcher.answers import Answers
from services.dispatcher.attempt_calls import AttemptCalls
from services.dispatcher.endpoints import EndpointHealth, HealthTable
from services.dispatcher.ports import DueTables, Meter
from services.dispatcher.reader import DueReader

LIMITS: Final = CallLimits(places=20_000, slots=1_500, per_lane=50, per_round=8)
DRAIN_S: Final = 30.0
STUCK_EVERY_MS: Final = 10_000


class DispatcherService(FollowingService[DueReader, AttemptCalls]):
    """Makes the calls of the partitions it holds."""

    def __init__(
        self,
        ports: FollowingPorts,
        *,
        tables: DueTables,
        endpoint_health: HealthTable,
        meter: Meter,
        make_keeper: Callable[[LeaseHolder], Keeper],
        limits: CallLimits = LIMITS,
        capture: CaptureTerms = CaptureTerms(),  # noqa: B008 - frozen
        drain_s: float = DRAIN_S,
    ) -> None:
        """
        Put the dispatcher together; nothing happens before `start`.

        Args:
            make_keeper: makes the keeper of this service's leases.
            capture: what is kept of answers.
            drain_s: how long calls under way may take to end when the service stops.
        """
        self._tables = tables
        self._meter = meter
        self._health = EndpointHealth(endpoint_health, ports.clock, meter)
        self._answers = Answers(capture, ports.keyring, ports.clock)
        super().__init__("dispatcher", ports, meter=meter, make_keeper=make_keeper, limits=limits, drain_s=drain_s)

    def make_calls(self) -> AttemptCalls:
        """Return what makes the calls from one start of the service to its stop."""
        return AttemptCalls(
            self._call_context, tables=self._tables, meter=self._meter, health=self._health, answers=self._answers
        )

    async def on_start(self) -> None:
        """Take leases and begin."""
        await super().on_start()
        self.spawn(self._watch_calls(), name="dispatcher watch")
        self.spawn(self._health.run(), name="dispatcher endpoint health")

    def make_reader(self, lease: Lease) -> DueReader:
        """Return the reader of the due attempts of the partition of *lease*."""
        return DueReader(
            lease.partition,
            self._reader_context,
            tables=self._tables,
            progress=self._ports.progress,
            calls=self._calls,
            meter=self._meter,
        )

    async def _watch_calls(self) -> None:
        while True:
            await self._clock.beat(STUCK_EVERY_MS)
            if count := self._calls.end_stuck():
                self._meter.overdue(count)
