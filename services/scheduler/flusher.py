"""
Flusher: saves what the owners of this process have folded, all partitions in one statement, over and over.

While one flush is under way, changes gather for the next one, so its size follows the load. A flush that fails is tried again
unchanged: it is fenced by the position it starts from, so it cannot be applied twice. If a defect makes it fail, each partition is
tried again by itself, so that a bad one does not hold up the others.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

import structlog

from libs.runtime.clock import Clock
from libs.runtime.crashpoint import crash_at
from libs.store.errors import StoreUnavailable
from libs.store.projection.changes import Flush
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.partition_owner import PartitionOwner

INTERVAL_MS: Final = (
    8  # between the starts of two flushes: one visible step for readers, and time for a group to gather
)
UNHURRIED_MS: Final = (
    20  # the same if no caller in this process waits for the tables: fewer and larger flushes cost less
)
RETRY_MS: Final = 200  # after a flush that failed

_log = structlog.get_logger("scheduler")


class FlushTarget(Protocol):
    """Where flushes go."""

    async def flush(self, flushes: Sequence[Flush]) -> Collection[int]:
        """Save *flushes*; return the partitions whose fence did not hold."""


class Flusher:
    """Runs for as long as the service does; owners come and go."""

    def __init__(
        self,
        target: FlushTarget,
        owners: Mapping[int, PartitionOwner],
        clock: Clock,
        metrics: SchedulerMetrics,
        *,
        is_awaited: Callable[[], bool] = lambda: True,
    ) -> None:
        """Save the folds of all *owners* to *target*; flush more often while *is_awaited* says that a caller waits."""
        self._target = target
        self._owners = owners
        self._clock = clock
        self._metrics = metrics
        self._is_awaited = is_awaited
        self._wake = asyncio.Event()
        self._suspects: set[int] = set()  # partitions that are saved by themselves since a defect
        self.failing_since: int | None = None

    def wake(self) -> None:
        """Say that there is something to save."""
        self._wake.set()

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            began_at = self._clock.steady()
            next_at = began_at + INTERVAL_MS
            if not await self._save():
                next_at = self._clock.steady() + RETRY_MS
                self._wake.set()
            while (wait_ms := next_at - self._clock.steady()) > 0:
                await self._clock.pause(wait_ms)
                if next_at < began_at + UNHURRIED_MS and not self._is_awaited():
                    next_at += (UNHURRIED_MS - INTERVAL_MS) // 2

    async def _save(self) -> bool:
        """Save what there is; return whether all of it was saved."""
        self._suspects &= self._owners.keys()
        is_well, together, groups = True, [], []
        for owner in list(self._owners.values()):
            try:
                flush = owner.take_flush()
            except Exception:  # noqa: BLE001 - any error is logged, and the flush tried again
                is_well = False
                self._note_defect([owner.partition])
                continue
            if flush is not None and flush.partition in self._suspects:
                groups.append([(owner, flush)])
            elif flush is not None:
                together.append((owner, flush))
        for group in [together, *groups]:
            try:
                if group:
                    await self._flush(group)
            except StoreUnavailable as error:
                if self.failing_since is None:
                    self.failing_since = self._clock.now()
                    _log.error("tables_unreachable", reason=str(error))
                return False
            except Exception:  # noqa: BLE001 - any error is logged, and the flush tried again
                is_well = False
                self._note_defect([flush.partition for _, flush in group])
            else:
                self._suspects -= {flush.partition for _, flush in group}
        if is_well:
            # Also if there was nothing to flush: the owner whose flush failed has given its partition up.
            self.failing_since = None
        return is_well

    def _note_defect(self, partitions: list[int]) -> None:
        """
        Note a defect, which trying again may not cure: the flusher goes on, and readiness says that something is wrong.

        From now on each of *partitions* is saved by itself, so that one whose rows the tables refuse does not hold up the others.
        """
        self.failing_since = self.failing_since or self._clock.now()
        self._suspects.update(partitions)
        _log.exception("flush_failed", partitions=partitions)

    async def _flush(self, taken: list[tuple[PartitionOwner, Flush]]) -> None:
        crash_at("store.before_flush")
        began_s = self._clock.now_s()
        lost = await self._target.flush([flush for _, flush in taken])
        crash_at("store.after_flush")
        self._metrics.flush_seconds.observe(self._clock.now_s() - began_s)
        self._metrics.flush_rows.observe(sum(len(flush.changes) for _, flush in taken))
        for owner, flush in taken:
            if flush.partition in lost:
                owner.fence_lost()
            else:
                owner.flushed()
                if owner.position > flush.to_position:
                    # A flush that was tried again did not grow; what was folded meanwhile is still to be saved.
                    self._wake.set()
