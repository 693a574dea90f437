"""
History keeper: for every partition that this process owns, once a minute, asks whether ended jobs are too old, has the owner decide
that they are forgotten, and deletes the rows of those that are.

Nothing is decided if no job would be forgotten, so a partition in which nothing ends gets no record. Nothing is decided either
while the webhooks service is more than a look behind with telling endpoints: what it reads of jobs and appends for them must still
count.

Deleting takes a tenth of the time at the most: after each slice the keeper waits nine times as long as the slice took.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec
import structlog

from libs.domain.history.choice import HistoryTerms, wanted
from libs.domain.history.floors import FORGOTTEN, Floors
from libs.events import HistoryForgotten
from libs.runtime.clock import Clock
from libs.store.errors import StoreUnavailable
from libs.store.history.janitor import HistoryLook
from services.scheduler.history.history_metrics import HistoryMetrics
from services.scheduler.partition_owner import PartitionOwner

LOOK_EVERY_MS: Final = 60_000
SLICE: Final = 250  # jobs of each kind of end deleted in one transaction: some 20 ms
SLICES_MAX: Final = 1_000  # at one look; then the other partitions have their turn
REST_FACTOR: Final = 9
REST_MIN_MS: Final = 20

_log = structlog.get_logger("scheduler")


class History(Protocol):
    """The tables' side: `Janitor`."""

    async def look(self, partition: int, floors: Floors) -> HistoryLook:
        """Say whether *floors* would forget anything, and how far events are fanned out."""

    async def sweep(self, partition: int, limit: int) -> int:
        """Delete up to *limit* forgotten jobs of each kind of end; return how many were deleted."""

    async def sweep_responses(self, partition: int, limit: int) -> int:
        """Delete up to *limit* forgotten answers; return how many were deleted."""

    async def oldest_end(self, partition: int) -> int | None:
        """Return when the oldest ended job of *partition* ended; None if there is none."""

    async def ended_rows(self) -> int:
        """Return about how many jobs that have ended are in the tables."""


class HistoryKeeper:
    """Runs for as long as the process does; owners come and go."""

    def __init__(
        self,
        history: History,
        owners: Mapping[int, PartitionOwner],
        clock: Clock,
        terms: HistoryTerms,
        metrics: HistoryMetrics,
        *,
        is_disk_short: Callable[[], bool] = lambda: False,
    ) -> None:
        """Keep the history of *owners* as *terms* say; *is_disk_short* says at each look whether it must be shortened."""
        self._history = history
        self._owners = owners
        self._clock = clock
        self._terms = terms
        self._metrics = metrics
        self._is_disk_short = is_disk_short
        self._seen: dict[int, int] = {}  # partition -> the position at the look before
        self._was_pressed = False

    async def run(self) -> None:
        """Look every minute until cancelled."""
        while True:
            await self._clock.pause(LOOK_EVERY_MS)
            try:
                is_pressed = await self._is_pressed()
                for owner in list(self._owners.values()):
                    if owner.decider.is_deciding:
                        await self._look_at(owner, is_pressed=is_pressed)
                        await self._sweep(owner.partition)
            except StoreUnavailable as error:
                _log.warning("history_not_looked_at", reason=str(error))

    async def _is_pressed(self) -> bool:
        """Say whether there is too little room; a log line says when that changes."""
        reason = None
        if self._is_disk_short():
            reason = "the disk is nearly full"
        elif self._terms.rows_max and await self._history.ended_rows() > self._terms.rows_max:
            reason = "there are more ended jobs than FLIQ_HISTORY_MAX_ROWS"
        is_pressed = reason is not None
        if is_pressed and not self._was_pressed:
            _log.warning("history_shortened", reason=reason)
        self._was_pressed = is_pressed
        self._metrics.is_pressed(is_pressed)
        return is_pressed

    async def _look_at(self, owner: PartitionOwner, *, is_pressed: bool) -> None:
        partition, position, floors = owner.partition, owner.position, owner.decider.ledger.floors
        seen = self._seen.get(partition)
        self._seen[partition] = position
        oldest_at = await self._history.oldest_end(partition) if is_pressed else None
        now = self._clock.now()
        new = wanted(self._terms, floors, now=now, position=position, oldest_at=oldest_at, is_pressed=is_pressed)
        look = await self._history.look(partition, new)
        is_behind = seen is None or look.fanned_out < seen
        if not look.has_old_responses:
            new = msgspec.structs.replace(new, responses_before=floors.responses_before)
        if (look.is_needed or look.has_old_responses) and not is_behind:
            self._metrics.decided()
            owner.decider.asked.append(HistoryForgotten(**{name: getattr(new, name) for name in FORGOTTEN}, at=now))
            owner.look_again()

    async def _sweep(self, partition: int) -> None:
        for _ in range(SLICES_MAX):
            began_at = self._clock.steady()
            count = await self._history.sweep(partition, SLICE)
            if not count + await self._history.sweep_responses(partition, SLICE):
                return
            self._metrics.deleted(count)
            took_ms = self._clock.steady() - began_at
            await self._clock.pause(max(REST_MIN_MS, REST_FACTOR * took_ms))
