"""
The dispatcher's loop: leases in, attempts through, outcomes out.

    keeper --lease--> reader --due--> loader --ready--> calls --outcome--> log
                                 held_attempts: what is held, so that nothing starts twice

If a lease is lost, the attempts that have not started are dropped. Those that have started end, and their outcomes are
appended: a late outcome is a fact like any other, and the first one counts. When the service stops, calls under way may end,
for a bounded time, before the leases are given back, so that a deploy repeats no call.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from libs.egress.fair_queue import FairQueue
from libs.events import AttemptDue
from libs.following.ports import FollowingPorts, LeaseHolder
from libs.following.service import FollowingService
from libs.store.leases.keeper_port import Keeper
from libs.store.leases.lease_table import Lease
from services.dispatcher.attempt_calls import AttemptCalls
from services.dispatcher.held_attempts import HeldAttempts
from services.dispatcher.loader import Loader
from services.dispatcher.ports import DueTables, Meter
from services.dispatcher.reader import DueReader

WINDOW: Final = 20_000  # attempts held; more than the owners allow to be under way (services/scheduler/concurrency.py)
WINDOW_BYTES: Final = 128_000_000  # held bodies and their surroundings
DRAIN_S: Final = 30.0
STUCK_EVERY_MS: Final = 10_000

_log = structlog.get_logger("dispatcher")


class DispatcherService(FollowingService[DueReader]):
    """Makes the calls of the partitions it holds."""

    _calls: AttemptCalls

    def __init__(
        self,
        ports: FollowingPorts,
        *,
        tables: DueTables,
        meter: Meter,
        make_keeper: Callable[[LeaseHolder], Keeper],
        concurrency: int = 1_000,
        per_host: int = 50,
        window: int = WINDOW,
        drain_s: float = DRAIN_S,
    ) -> None:
        """
        Put the dispatcher together; nothing happens before `start`.

        Args:
            make_keeper: makes the keeper of this service's leases.
            concurrency: calls under way at once, all hosts together.
            per_host: calls under way to one host.
            window: attempts held; beyond it reading stops.
            drain_s: how long calls under way may take to end when the service stops.
        """
        super().__init__("dispatcher", ports, meter=meter, make_keeper=make_keeper, drain_s=drain_s)
        self._tables = tables
        self._meter = meter
        self._concurrency = concurrency
        self._per_host = per_host
        self._window = window
        self.assemble()

    def assemble(self) -> None:
        """Hold nothing."""
        self._held_attempts = HeldAttempts()
        self._calls = AttemptCalls(
            self._ports,
            held_attempts=self._held_attempts,
            meter=self._meter,
            fair_queue=FairQueue(total=self._concurrency, per_host=self._per_host),
            may_start=self.keeper.holds,
            on_recorded=self._recorded,
        )
        self._loader = Loader(
            self._ports,
            tables=self._tables,
            held_attempts=self._held_attempts,
            on_ready=self._calls.put,
            on_failed=self._calls.fail,
        )

    @property
    def held_count(self) -> int:
        """How many attempts are held whose outcome is not in the log."""
        return self._held_attempts.open_count

    def has_room(self) -> bool:
        """Whether more attempts may be held."""
        return self._held_attempts.open_count < self._window and self._held_attempts.open_bytes < WINDOW_BYTES

    async def on_start(self) -> None:
        """Take leases and begin."""
        await super().on_start()
        self.spawn(self._loader.run(), name="dispatcher loader")
        self.spawn(self._watch_calls(), name="dispatcher watch")

    def ready(self) -> str | None:
        """Return None if all is well, else what is not."""
        return super().ready() or self._loader.trouble

    def make_reader(self, lease: Lease) -> DueReader:
        """Return the reader of the due attempts of the partition of *lease*."""
        return DueReader(
            lease.partition,
            self._reader_context,
            tables=self._tables,
            progress=self._ports.progress,
            held_attempts=self._held_attempts,
            meter=self._meter,
            on_due=self._take,
        )

    def drop_unstarted(self, partition: int) -> int:
        """Drop the attempts of *partition* that have not started; the tables have them as running."""
        return self._held_attempts.drop_unstarted(partition)

    def open_count_of(self, partition: int) -> int:
        """Return how many attempts of *partition* are held whose outcome is not in the log."""
        return self._held_attempts.open_count_of(partition)

    async def on_ended(self, reader: DueReader, dropped: int) -> None:
        """Say that the partition is served no more."""
        if self._is_taking:  # at a stop all are given back, and "stopped" says so
            _log.info("partition_lost", partition=reader.partition, dropped=dropped)

    async def break_off(self) -> None:
        """End the calls under way, at once."""
        await self._loader.stop()
        await super().break_off()

    def _take(self, partition: int, due: Sequence[tuple[int, AttemptDue]]) -> None:
        """Hold the attempts that were found due, and load what they need."""
        held_attempts = []
        for position, event in due:
            held_attempt = self._held_attempts.add(partition, event, position)
            if held_attempt is not None:
                held_attempts.append(held_attempt)
        if held_attempts:
            self._loader.put(held_attempts)
            self._meter.in_flight(self._held_attempts.open_count)

    def _recorded(self) -> None:
        self._meter.in_flight(self._held_attempts.open_count)
        self._capacity.freed()

    async def _watch_calls(self) -> None:
        while True:
            await self._clock.pause(STUCK_EVERY_MS)
            if count := self._calls.end_stuck():
                self._meter.overdue(count)
