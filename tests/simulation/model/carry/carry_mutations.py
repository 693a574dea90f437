"""
Mutations of carrying and trimming, and of what is taken for new: each breaks one rule of libs/store/carried, of the log keeper or
of the decider, and must be caught.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from libs.domain.ledger import Applied
from libs.events import Event, JobScheduled, Unknown, Unreadable
from libs.store.carried.carried_rows import OVER, SPECS, Piece
from services.scheduler.decider import Decider
from services.scheduler.new_jobs import NewJobs
from tests.fakes.control.carried import MemoryCarried
from tests.simulation.model.actors import Owner
from tests.simulation.model.carry.carrying import Carrier
from tests.simulation.model.harness import Harness, Partition


class CarrierWithoutSpecs(Carrier):
    """Carries jobs, and not what they call."""

    def pieces(self, owner: Owner, tables: MemoryCarried, at: int) -> list[Piece]:
        return [piece for piece in super().pieces(owner, tables, at) if piece.table != SPECS]


class CarrierOfTheLiving(Carrier):
    """Does not say which jobs are over: one that is asked for twice, as one is whenever rows are carried, is made a second time."""

    def carry(self, owner: Owner) -> None:
        super().carry(owner)
        rows = owner.part.tables.jobs
        for stored in owner.part.records:
            item = stored.item
            if isinstance(item, JobScheduled) and item.job_id in rows and rows[item.job_id].is_terminal:
                owner.part.send(object(), [stored.envelope])
                return

    def pieces(self, owner: Owner, tables: MemoryCarried, at: int) -> list[Piece]:
        return [piece for piece in super().pieces(owner, tables, at) if piece.table != OVER]


class HastyCarrier(Carrier):
    """Carries before old ids are closed."""

    def close(self, owner: Owner, before: int) -> None:
        super().close(owner, before)
        self.carry(owner)

    def is_closed(self, owner: Owner, tables: MemoryCarried) -> bool:
        return True


class TornCarrier(Carrier):
    """Reads the rows a while after it has looked where the tables stand."""

    def __init__(self, harness: Harness) -> None:
        super().__init__(harness)
        self.first: tuple[Owner, MemoryCarried] | None = None

    def close(self, owner: Owner, before: int) -> None:
        super().close(owner, before)
        self.first = (owner, super().look(owner))

    def look(self, owner: Owner) -> MemoryCarried:
        now = super().look(owner)
        if self.first is None or self.first[0] is not owner:
            return now
        return now._replace(begin=self.first[1].begin, claim=self.first[1].claim)


class ImpatientCarrier(Carrier):
    """Says that all is carried before it knows that the rows are in the log."""

    def send(self, owner: Owner, decisions: list[Event]) -> None:
        for each in decisions:
            owner.append([each])


class TrimBeforeCarry(Carrier):
    """Deletes the log up to where the tables stand as soon as it has asked for the rows to be appended."""

    def carry(self, owner: Owner) -> None:
        begin = self.look(owner).begin
        super().carry(owner)
        if self.closing is None and owner.part.tables.position + 1 == begin:
            self.delete(owner.part, begin)


class TrimByTime(Carrier):
    """Deletes what is older than a while, wherever that is."""

    def needless(self, part: Partition) -> int:
        return part.tables.position if part.tables.floors.trim_to else 0


class TrimOfBackups(Carrier):
    """Does not ask which tables may have to be used again."""

    def needless(self, part: Partition) -> int:
        return part.tables.floors.carried_to

    def trim(self, part: Partition) -> None:
        self.delete(part, self.needless(part))


class DeciderNotingNoNewJobs(Decider):
    """Takes every job for a new one whose id is above those that were in the tables when it began."""

    def apply(self, position: int, item: Event | Unknown | Unreadable, stamp: str | None) -> Applied:
        new_jobs = self.new_jobs
        self.new_jobs = NewJobs("")
        applied = super().apply(position, item, stamp)
        self.new_jobs = new_jobs
        return applied


class OwnerNotingNoNewJobs(Owner):
    decider_type = DeciderNotingNoNewJobs


CARRY_MUTATIONS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "carried without specs": ("I30", {"carrier": CarrierWithoutSpecs}),
    "jobs that are over not carried": ("I30", {"carrier": CarrierOfTheLiving}),
    "carried before ids are closed": ("I30", {"carrier": HastyCarrier}),
    "carried as of two positions": ("I30", {"carrier": TornCarrier}),
    "end of rows that may be lost": ("I30", {"carrier": ImpatientCarrier}),
    "trimmed before it is carried": ("I30", {"carrier": TrimBeforeCarry}),
    "trimmed by time": ("I30", {"carrier": TrimByTime}),
    "takes known jobs for new": ("I4", {"owner": OwnerNotingNoNewJobs}),
    "trimmed under a replica": ("I31", {"carrier": TrimOfBackups}),
}
