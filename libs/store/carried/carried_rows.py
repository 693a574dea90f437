"""
Carried rows: how rows of the tables stand in the log (`rows.carried`, `log.carried`), and how a fold begins with them. Pure.

    tables as of position P    every row that the records after P may change, or that is needed for what they say
    rows.carried               those rows, in pieces; `begin` is P + 1
    log.carried                the end of the pieces: how many rows they were, the claim and the floors as of P

The tables as of P are the fold up to P. So a fold that begins with these rows, and reads on after P, is the fold of the whole log:
that is all there is to it. No record is interpreted in another way, and a fold that began before P passes the rows over.

What is carried of each table:

    jobs, deliveries, schedules   those to which something can still happen: jobs that are not over, deliveries that are not at
                                  their end, all schedules
    specs, executions             those of these (their labels stand in their states), and the specs of jobs that failed a short
                                  time ago: copies of them share it
    usage_daily                   of today and yesterday
    over                          ids of the jobs that are over, and ended after `closed_before`: a request that was repeated by a
                                  slow network must not make such a job a second time. Older ids are closed (floors.py)

What is not carried stands in the tables alone once the log before P is deleted: jobs that are over, and what belongs to them. Sums
of their rows stand in the log (seals.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from libs.domain.history.floors import Floors
from libs.domain.job import JobState
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.ledger import Ledger
from libs.domain.schedule import ScheduleState
from libs.domain.state_registry import State, id_of
from libs.events import Claim, LogCarried, RowsCarried
from libs.store.projection.changes import ExecutionRow, PartitionChanges
from libs.store.projection.table_registry import STATE_TABLES, TABLE_OF_STATE

SPECS: Final = "specs"
EXECUTIONS: Final = "executions"
USAGE: Final = "usage_daily"
OVER: Final = "over"
SEALS: Final = "seals"
CARRIED: Final = frozenset({"rows.carried", "log.carried"})  # types of records
PIECE_BYTES: Final = 200_000  # of rows in one record; a row that is longer has one of its own
PIECE_ROWS: Final = 2_000
DAYS_OF_USAGE: Final = 1  # before the day on which rows are carried

_encode: Final = msgspec.json.Encoder().encode
_STATES: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    table.name: msgspec.json.Decoder(table.kind.state) for table in STATE_TABLES
}
_DEFAULTS: Final = {
    table.kind.state: {each.name: each.default for each in msgspec.structs.fields(table.kind.state)}
    for table in STATE_TABLES
}
_EXECUTION: Final = msgspec.json.Decoder(
    tuple[str, int, int, bool | None, int | None, str | None, int | None, str | None, bool | None]
)
_SPEC: Final = msgspec.json.Decoder(tuple[str, msgspec.Raw])
_USAGE: Final = msgspec.json.Decoder(tuple[str, int, int])
_ID: Final = msgspec.json.Decoder(str)


class BadRows(Exception):
    """What the log carries is not whole, or cannot be read: no fold can begin there."""


class Piece(NamedTuple):
    """Some rows of one table, each as it is written."""

    table: str
    rows: tuple[bytes, ...]


def state_row(state: State) -> bytes:
    """Return how *state* is carried: what its fields say, but for those that say the usual."""
    defaults = _DEFAULTS[type(state)]
    said = {name: getattr(state, name) for name in state.__struct_fields__}
    return _encode({name: value for name, value in said.items() if value != defaults[name]})


def states(found: Iterable[State]) -> Iterator[tuple[str, bytes]]:
    """Yield the table and the row of each state."""
    for state in found:
        yield TABLE_OF_STATE[type(state)].name, state_row(state)


def spec_row(spec_id: str, spec: bytes) -> bytes:
    """Return how the spec *spec_id* is carried: *spec* as it is stored."""
    return _encode((spec_id, msgspec.Raw(spec)))


def plain_row(row: Any) -> bytes:
    """Return how an execution, an account's usage (account, day, count) or an id is carried."""
    return _encode(row)


def own_spec_id(state: State) -> str | None:
    """Return the id of the spec that came with *state* and goes with it; it need not exist."""
    if isinstance(state, JobState):
        return state.job_id
    return state.schedule_id if isinstance(state, ScheduleState) else None


def spec_ids_of(state: State) -> set[str]:
    """Return the ids of the other specs that *state* names; those of schedules are left out, since all schedules are carried."""
    found: set[str | None] = set()
    if isinstance(state, JobState):
        found = {state.spec_id}
        if state.more is not None:
            found |= {each.spec_id for each in (*state.more.changes, state.more.merge) if each is not None}
    elif isinstance(state, ScheduleState):
        found = {state.changed_spec_id}
    elif isinstance(state, DeliveryState):
        found = {state.spec_id}
    return {each for each in found if each is not None and not each.startswith("sched_")}


def pieces(rows: Iterable[tuple[str, bytes]]) -> Iterator[Piece]:
    """Yield *rows*, given with their tables, in pieces."""
    table, size = "", 0
    gathered: list[bytes] = []
    for of_table, row in rows:
        if gathered and (of_table != table or size + len(row) > PIECE_BYTES or len(gathered) >= PIECE_ROWS):
            yield Piece(table, tuple(gathered))
            gathered, size = [], 0
        table = of_table
        gathered.append(row)
        size += len(row)
    if gathered:
        yield Piece(table, tuple(gathered))


def rows_carried(piece: Piece, begin: int, at: int) -> RowsCarried:
    """Return the record of *piece*, as of the position before *begin*."""
    return RowsCarried(begin=begin, table=piece.table, rows=tuple(map(msgspec.Raw, piece.rows)), at=at)


class Beginning:
    """The first states of a fold of a log that begins at *begin*: takes the carried rows one record after the other."""

    def __init__(self, begin: int) -> None:
        """Start with nothing."""
        self.begin = begin
        self.end: LogCarried | None = None
        self._rows = 0
        self._over: set[str] = set()

    def take(self, event: object, ledger: Ledger, changes: PartitionChanges) -> None:
        """
        Take *event* in if it is about this beginning.

        Raises:
            BadRows: what is carried cannot be read, or is not whole.
        """
        if isinstance(event, RowsCarried) and event.begin == self.begin:
            self._rows += len(event.rows)
            try:
                self._read(event.table, event.rows, ledger, changes)
            except (msgspec.MsgspecError, KeyError) as error:
                raise BadRows(f"carried rows of {event.table} cannot be read: {error}") from error
        elif isinstance(event, LogCarried) and event.begin == self.begin:
            if event.rows != self._rows:
                raise BadRows(f"{event.rows} rows were carried, and {self._rows} are there")
            epoch, _, nonce = (event.claim or "").partition(".")
            ledger.claim = Claim(int(epoch), nonce) if event.claim is not None else None
            ledger.floors = changes.floors = Floors(**(event.floors or {}))
            ledger.over = self._over
            self.end = event

    def _read(self, table: str, found: Sequence[msgspec.Raw], ledger: Ledger, changes: PartitionChanges) -> None:
        if table == SPECS:
            for spec_id, spec in map(_SPEC.decode, found):
                changes.carry_spec(spec_id, bytes(spec))
        elif table == EXECUTIONS:
            for row in map(_EXECUTION.decode, found):
                execution = ExecutionRow(*row)
                key = (execution.job_id, execution.attempt)
                changes.executions[key] = execution
                changes.new_executions.add(key)
        elif table == USAGE:
            changes.usage.update(((account, day), count) for account, day, count in map(_USAGE.decode, found))
        elif table == SEALS:
            return  # seals.py reads them
        elif table == OVER:
            self._over.update(map(_ID.decode, found))
        else:
            for state in map(_STATES[table].decode, found):
                ledger.states[id_of(state)] = state
                changes.carry_state(id_of(state), state)
