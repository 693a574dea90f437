"""
What lives is carried over in the protocol model, and the log is trimmed; I30 and I31.

An owner closes what is old, takes a snapshot of the tables at which that is folded, and appends the rows, then the end of them,
while everything else goes on: facts come, owners die, the tables go back. A log is trimmed by what the tables say, but never beyond
what a replica needs that may take over: in seconds it stands for backups.

    I30  a fold that begins with what was carried, at any place at which that was ever decided, ends as the fold of the whole log
    I31  nobody reads what was trimmed
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from libs.domain.history.floors import FIELDS
from libs.domain.instants import day_of
from libs.domain.ledger import Ledger, Verdict
from libs.events import Event, HistoryForgotten, LogCarried, encode
from libs.store.carried.carried_rows import BadRows, Beginning, Piece, own_spec_id, rows_carried, spec_ids_of
from libs.store.projection.changes import PartitionChanges
from libs.store.rebuild.older_rows import Older
from tests.fakes.control.carried import MemoryCarried

if TYPE_CHECKING:
    from tests.simulation.model.actors import Owner
    from tests.simulation.model.harness import Harness, Partition


class Closing(NamedTuple):
    """What an owner waits for before it carries."""

    owner: Owner
    before: int


class Carrier:
    """Does the next step for an owner; what an owner began ends with it."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.closing: Closing | None = None

    def step(self, owner: Owner) -> None:
        """Close, or carry once that is in the tables."""
        history_ms = self.harness.settings.history_ms
        if self.closing is not None and self.closing.owner.dead:
            self.closing = None
        if history_ms is None or owner.dead or not owner.decider.is_deciding or owner.decider.superseded:
            return
        if self.closing is None:
            self.close(owner, owner.now - history_ms)
        else:
            self.carry(self.closing.owner)

    def close(self, owner: Owner, before: int) -> None:
        """Decide that no request makes jobs of older ids."""
        self.closing = Closing(owner, before)
        through = owner.decider.ledger.floors.through
        owner.append([HistoryForgotten(through=through, closed_before=before, at=owner.now)])

    def is_closed(self, owner: Owner, tables: MemoryCarried) -> bool:
        """Say whether the tables hold what was closed."""
        assert self.closing is not None
        return tables.floors.closed_before >= self.closing.before

    def carry(self, owner: Owner) -> None:
        """Append what lives, as of the tables now."""
        tables = self.look(owner)
        if not self.is_closed(owner, tables):
            return
        self.closing = None
        at = owner.now
        pieces = self.pieces(owner, tables, at)
        self.send(
            owner, [*(rows_carried(each, tables.begin, at) for each in pieces), self.end(owner, tables, pieces, at)]
        )

    def send(self, owner: Owner, decisions: list[Event]) -> None:
        """Append *decisions*, each once the one before it is in the log."""
        if not owner.dead and decisions:
            envelope = encode(decisions[0], owner.claim)
            owner.part.send(owner, [envelope], lambda _: self.send(owner, decisions[1:]), owner.resign)

    def look(self, owner: Owner) -> MemoryCarried:
        """Return the tables of *owner*'s partition at one moment."""
        rows = owner.part.tables.copy()
        return MemoryCarried(
            rows.position + 1,
            rows.claim,
            rows.floors,
            rows.jobs,
            rows.schedules,
            rows.deliveries,
            rows.specs,
            rows.executions,
            rows.usage,
        )

    def pieces(self, owner: Owner, tables: MemoryCarried, at: int) -> list[Piece]:
        """Return what is carried of *tables*, in small pieces."""
        return [
            Piece(piece.table, piece.rows[first : first + 2])
            for piece in tables.all_pieces(at)
            for first in range(0, len(piece.rows), 2)
        ]

    def end(self, owner: Owner, tables: MemoryCarried, pieces: Sequence[Piece], at: int) -> Event:
        """Return the decision that all is carried; what was carried before is not needed from here on."""
        floors = owner.decider.ledger.floors
        return LogCarried(
            begin=tables.begin,
            rows=sum(len(piece.rows) for piece in pieces),
            claim=None if tables.claim is None else str(tables.claim),
            floors={name: getattr(tables.floors, name) for name in FIELDS},
            prior_to=floors.carried_to,
            prior_at=floors.carried_at,
            trim_to=floors.carried_to,
            at=at,
        )

    def trim(self, part: Partition) -> None:
        """Delete what the tables say is not needed, and no replica of them needs either."""
        if self.needless(part) <= self.harness.oldest_position(part) + 1:
            self.delete(part, self.needless(part))

    def needless(self, part: Partition) -> int:
        """Return the position before which nothing is needed."""
        return part.tables.floors.trim_to

    def delete(self, part: Partition, position: int) -> None:
        """Delete the records before *position*."""
        part.begin = max(part.begin, position)


def broken_beginnings(part: Partition) -> list[str]:
    """Return the breaches of I30 in *part*, once all is quiet."""
    begins = [
        stored.item.begin
        for stored in part.records
        if isinstance(stored.item, LogCarried) and stored.applied.verdict is Verdict.APPLIED
    ]
    looked_at = {*begins[:2], *begins[-1:], *([part.begin] if part.begin else [])}
    return [found for begin in sorted(looked_at) for found in _broken_beginning(part, begin)]


def _broken_beginning(part: Partition, begin: int) -> list[str]:
    where = f"I30 a fold that begins at {begin}"
    beginning, ledger, changes = (
        Beginning(begin),
        Ledger(part.number, position=begin - 1),
        PartitionChanges(part.number),
    )
    try:
        for stored in part.records[begin:]:
            beginning.take(stored.item, ledger, changes)
            if beginning.end is not None:
                break
    except BadRows as error:
        return [f"{where}: {error}"]
    if beginning.end is None:
        return [f"{where} finds nothing that was carried"]
    for stored in part.records[begin:]:
        changes.add(ledger.apply(stored.position, stored.item, stored.envelope.claim))
    full = PartitionChanges(part.number)
    for stored in part.records:
        full.add(stored.applied)
    oracle, older = part.oracle, Older.than(beginning)
    found = []
    if (ledger.claim, ledger.floors) != (oracle.claim, oracle.floors):
        found.append(f"{where} ends with {ledger.claim} and {ledger.floors}, not {oracle.claim} and {oracle.floors}")
    for state_id, state in ledger.states.items():
        if oracle.states.get(state_id) != state:
            found.append(f"{where} ends with {state}, not {oracle.states.get(state_id)}")
        for spec_id in (own_spec_id(state), *spec_ids_of(state)):
            if spec_id in full.specs and changes.specs.get(spec_id) != full.specs[spec_id]:
                found.append(f"{where} has not the spec {spec_id} of {state_id}")
    for state_id, state in oracle.states.items():
        if state_id not in ledger.states and not older.has_state(state):
            found.append(f"{where} ends without {state}")
    for key, row in full.executions.items():
        if key[0] in ledger.states and changes.executions.get(key) != row:
            found.append(f"{where} has {changes.executions.get(key)}, not {row}")
    for day, count in full.usage.items():
        if day[1] >= day_of(older.at) - 1 and changes.usage.get(day) != count:
            found.append(f"{where} counts {changes.usage.get(day)}, not {count}")
    return found[:5]
