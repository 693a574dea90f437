"""
Heartbeats: asks, once in a period, for a job that proves that jobs get through (libs/domain/heartbeat.py).

The partitions take turns, and the owner of the partition whose turn it is asks. So one process asks while all is well. If nobody
owns the partition, the heartbeat is missing, which is what it is there to show. A heartbeat that cannot be appended is left out.
"""

import asyncio
from collections.abc import Callable

import structlog

from libs.domain.heartbeat import AHEAD_MS, heartbeat, partition_of_slot, slot_after
from libs.events import encode
from libs.log.port import Log, LogError
from libs.runtime.clock import Clock

_log = structlog.get_logger("scheduler")


class Heartbeats:
    """Asks for one heartbeat in every *period_ms*, for as long as `run` runs."""

    def __init__(
        self, *, event_log: Log, clock: Clock, period_ms: int, partition_count: int, decides: Callable[[int], bool]
    ) -> None:
        """Ask on *event_log* when it is the turn of a partition that this process decides for, as *decides* says."""
        self._log = event_log
        self._clock = clock
        self._period_ms = period_ms
        self._partition_count = partition_count
        self._decides = decides

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            now = self._clock.now()
            slot_at = slot_after(now, self._period_ms)
            # Wait by real time, then check the clock: heartbeats must go on if the clock was a day ahead and is set back.
            await self._clock.pause(slot_at - AHEAD_MS - now)
            if self._clock.now() < slot_at - AHEAD_MS:
                continue
            partition = partition_of_slot(slot_at, self._period_ms, self._partition_count)
            if self._decides(partition):
                await self._ask(slot_at, partition)

    async def _ask(self, slot_at: int, partition: int) -> None:
        event = heartbeat(slot_at, partition, self._clock.now())
        try:
            await self._log.append(partition, [encode(event)], timeout_s=self._period_ms / 1000)
        except asyncio.CancelledError:
            raise
        except LogError as error:
            _log.warning("heartbeat_not_asked_for", partition=partition, reason=str(error))
