"""Rules of forgetting, carrying and trimming, taken out: only fleets that do it (keeping.py) can find them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from libs.domain.history.floors import Floors
from libs.domain.job import JobState
from libs.store.carried import seals
from libs.store.carried.carried_rows import SPECS, Piece
from services.scheduler.history.log_keeper import LogKeeper
from services.scheduler.partition_owner import PartitionOwner
from tests.fakes.control.carried import MemoryCarried
from tests.fakes.database import Database
from tests.simulation.webhooks.mutations import patched


def trimmed_before_it_is_carried() -> AbstractContextManager[None]:
    """The log is deleted up to where the tables stand, whatever was carried."""

    async def trim(self: Any, owner: PartitionOwner) -> None:
        async with self._carrier.opened(owner.partition) as tables:
            await self._log.trim(owner.partition, tables.begin)

    return patched((LogKeeper, "_trim", trim))


def carried_without_specs() -> AbstractContextManager[None]:
    """Jobs are carried, and not what they call."""
    all_pieces = MemoryCarried.all_pieces

    def without(self: MemoryCarried, at: int) -> list[Piece]:
        return [piece for piece in all_pieces(self, at) if piece.table != SPECS]

    return patched((MemoryCarried, "all_pieces", without))


def forgotten_ids_come_back() -> AbstractContextManager[None]:
    """A request of an id that is not known makes a job, whatever was forgotten."""
    return patched((Floors, "bars", lambda *_: False))


def janitor_of_old_ids() -> AbstractContextManager[None]:
    """The janitor deletes what was asked for long ago, whether it has ended or not."""

    def old(self: Database, partition: int, floors: Floors) -> list[JobState]:
        return [job for job in self._jobs(partition) if job.created_at < floors.success_before]

    return patched((Database, "_forgotten", old))


def hours_sealed_before_their_end() -> AbstractContextManager[None]:
    """Jobs still end in an hour whose jobs are summed up."""
    return patched((seals, "MARGIN_MS", -10_000))


def seals_of_before_not_repeated() -> AbstractContextManager[None]:
    """Only the hours since the last time are carried; the sums of those before go with the log."""
    carried = LogKeeper._carried_seals

    async def forget(self: LogKeeper, owner: PartitionOwner) -> seals.Seals:
        found = await carried(self, owner)
        found.known.clear()
        return found

    return patched((LogKeeper, "_carried_seals", forget))


KEEPING_MUTATIONS = (
    trimmed_before_it_is_carried,
    carried_without_specs,
    forgotten_ids_come_back,
    janitor_of_old_ids,
    hours_sealed_before_their_end,
    seals_of_before_not_repeated,
)
