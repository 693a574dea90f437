"""
Advance: moves a virtual clock on, from one thing that is due to the next.

Theory of operation
    quiet    every reader is at the end of the log, nothing is decided and not yet read back, no timer up to now is left, and no
             call is under way. Then nothing happens until the clock moves.
    step     the clock goes to the first instant that somebody waits for: a timer in memory, or the first row of the tables beyond
             what is in memory. Then it stands until all is quiet again. So what is due at 9 has happened before the clock shows 10.

    Cost: O(instants at which something is due), 5 to 30 ms each besides the calls themselves; empty time costs nothing.
    Not seen: tries of webhooks, which wait in the tables of the webhooks service. It looks at them within a second of real time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from libs.domain.state_registry import OWED_KINDS
from libs.events.fields import MAX_INSTANT
from libs.following.service import FollowingService
from libs.log.port import Log
from libs.store.projection.progress import ProgressWatch
from libs.store.reads.partition_tables import Tables
from services.dev.server.recorded_egress import Calls
from services.dev.server.virtual_clock import VirtualClock
from services.scheduler.service import SchedulerService

STEPS_MAX: Final = 100_000  # instants of one advance
QUIET_S: Final = 120.0  # a call takes its timeout in real time
_LOOK_S: Final = 0.001
_TIMES_QUIET: Final = 2  # in a row: what was read is about to be acted on


class NotQuiet(Exception):
    """Something goes on and on; the message says what."""


class Advanced(NamedTuple):
    """
    What an advance did.

    Args:
        now: where the clock stands, ms since 1970.
        steps: at how many instants something was due.
        calls: those that were made, oldest first.
        clock_work_s: how long it took, without the time in which calls were under way.
        is_partial: there were more than `STEPS_MAX` instants; the clock stands at the last of them.
    """

    now: int
    steps: int
    calls: list[dict[str, Any]]
    clock_work_s: float
    is_partial: bool


class Advancer:
    """Moves *clock*; one advance at a time."""

    def __init__(
        self,
        clock: VirtualClock,
        *,
        log: Log,
        partitions: int,
        watch: ProgressWatch,
        tables: Tables,
        scheduler: SchedulerService,
        followers: Mapping[str, FollowingService[Any, Any]],
        calls: Calls,
        lead_ms: int,
    ) -> None:
        self._clock = clock
        self._log = log
        self._partitions = partitions
        self._watch = watch
        self._tables = tables
        self._scheduler = scheduler
        self._followers = followers
        self._calls = calls
        self._lead_ms = lead_ms
        self._one = asyncio.Lock()

    async def advance(self, *, by_ms: int | None = None, to_ms: int | None = None) -> Advanced:
        """
        Move the clock by a span or to an instant, and return when all that was due until then has happened.

        Raises:
            NotQuiet: something goes on for longer than `QUIET_S` at one instant.
        """
        async with self._one:
            clock, began_s, busy_s, count = self._clock, time.monotonic(), self._calls.busy_s, self._calls.count
            target = to_ms if to_ms is not None else clock.now() + (by_ms or 0)
            steps = 0
            await self.quiet()
            while steps < STEPS_MAX and (at := await self._next_at()) is not None and at <= target:
                clock.set(at)
                await self.quiet()
                steps += 1
            is_partial = steps == STEPS_MAX
            if not is_partial:
                clock.set(target)
                await self.quiet()
            work_s = time.monotonic() - began_s - (self._calls.busy_s - busy_s)
            return Advanced(clock.now(), steps, self._calls.since(count), max(0.0, work_s), is_partial)

    async def quiet(self) -> None:
        """Wait until nothing happens any more while the clock stands. Raises `NotQuiet`."""
        ends_s, in_a_row = time.monotonic() + QUIET_S, 0
        while in_a_row < _TIMES_QUIET:
            if (reason := await self._unrest()) is None:
                in_a_row += 1
                await asyncio.sleep(0)
                continue
            in_a_row = 0
            if time.monotonic() > ends_s:
                raise NotQuiet(f"after {QUIET_S:.0f} s it still goes on: {reason}")
            await asyncio.sleep(_LOOK_S)

    async def _unrest(self) -> str | None:
        """Return what goes on; None if all is quiet."""
        now, owners = self._clock.now(), self._scheduler.owners
        last = {partition: await self._log.end(partition) - 1 for partition in range(self._partitions)}
        for partition, position in last.items():
            owner = owners.get(partition)
            if owner is None or not owner.deciding.is_set():
                return f"partition {partition} has no owner"
            if owner.position < position or owner.decider.overlay_count:
                return f"partition {partition} is decided"
            if owner.horizon.is_loading or owner.decider.horizon_at <= now + self._lead_ms:
                return f"partition {partition} is loaded"
            if (at := owner.decider.next_decision_at()) is not None and at <= now:
                return f"partition {partition} has something due"
        if (at := self._clock.next_at()) is not None and at <= now:
            return "a timer rings"
        for role, service in self._followers.items():
            positions = service.positions()
            if any(positions.get(partition, -1) < position for partition, position in last.items()):
                return f"{role} reads"
            if service.working_count:
                return f"{role} calls"
        return None

    async def _next_at(self) -> int | None:
        """Return the first instant at which something is due; only while all is quiet. Raises `NotQuiet`."""
        in_memory = self._clock.next_at()
        if in_memory is not None and all(
            in_memory < each.decider.horizon_at for each in self._scheduler.owners.values()
        ):
            return in_memory
        last = {partition: await self._log.end(partition) - 1 for partition in range(self._partitions)}
        if not await self._watch.wait_all(last, QUIET_S):
            raise NotQuiet(f"the tables were not written within {QUIET_S:.0f} s")
        found = [] if in_memory is None else [in_memory]
        for partition, owner in self._scheduler.owners.items():
            since = owner.decider.horizon_at + self._lead_ms  # what is due before is in memory, with a timer
            for kind in OWED_KINDS:
                states = await self._tables.load_due(kind, partition, MAX_INSTANT, 1, since=since)
                found += [getattr(state, kind.timer) - self._lead_ms for state in states]
        return max(min(found), self._clock.now()) if found else None
