"""
State table: how the states of one kind stand in a table. Each kind has one, in a module of its own (job_rows.py, schedule_rows.py).

A column has the name of a field of the state. Its SQL type says how its values are written: `uuid` columns hold ids, `bytea`
columns hold positions or a struct (as JSON, for what no query asks about), all others hold the value as it is.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, Generic

import msgspec

from libs.domain.state_kind import StateKind
from libs.domain.state_registry import STATE_KINDS, S
from libs.events.ids import from_int
from libs.store.projection.rows import Offsets, Row, struct_reader, unpack_offsets

_NOTHING: Final[Mapping[str, int | None]] = MappingProxyType({})
# Columns with ids -> the kind of id; a column that holds the id of a state has the name of that kind's key.
_SPEC_IDS: Final = dict.fromkeys(("shared_spec_id", "changed_spec_id"), "job")
_ID_KINDS: Final = {
    "replay_of": "job",
    **_SPEC_IDS,
    **{kind.key: kind.id_kind for kind in STATE_KINDS},
}


class StateTable(Generic[S]):
    """
    One table of states.

    Attributes:
        kind: whose states it holds.
        name: the table's name.
        types: column -> SQL type, in the order of the state's fields. The table also has `part`.
        key: the column of the primary key.
        newborn: column -> the value (number, truth value or None) that it has in every state that was created and has not
            changed since. Such a row is sent without these columns. Empty: it is sent whole.
        changing: columns that may change after the row is created; those of *newborn* are among them.
        waits: the SQL condition for rows that wait for their timer: exactly that of the partial index that holds them.
        is_open: the SQL condition for rows that their owner needs although no timer rings for them; None: there are none.
        listed: the columns as a query lists them, with the table's name before each.
        select: the beginning of a query for states.
    """

    def __init__(
        self,
        kind: StateKind,
        name: str,
        types: Mapping[str, str],
        *,
        newborn: Mapping[str, int | None] = _NOTHING,
        changing: Iterable[str],
        waits: str,
        is_open: str | None = None,
        readers: Mapping[str, Callable[[Any], Any]] = MappingProxyType({}),
    ) -> None:
        """Describe the table *name*; see the attributes. *readers* take the place of the usual ones of these columns."""
        self.kind, self.name, self.types, self.key = kind, name, types, kind.key
        self.columns = tuple(types)
        self.newborn = newborn
        self.changing = tuple(column for column in types if column in newborn or column in changing)
        self.waits, self.is_open = waits, is_open
        self.listed = ", ".join(f"{name}.{column}" for column in types)
        self.select = f"SELECT {self.listed} FROM {name}"  # noqa: S608 - our own names
        statuses = tuple(kind.statuses)  # by number: they count from 0
        self._decoders: list[tuple[str, Callable[[Any], Any]]] = [("status", statuses.__getitem__)]
        fields = {field.name: field.type for field in msgspec.structs.fields(kind.state)}
        for column, type_ in types.items():
            if column in readers:
                self._decoders.append((column, readers[column]))
            elif type_ == "uuid":
                self._decoders.append((column, _id_reader(_ID_KINDS[column])))
            elif type_ == "bytea":
                self._decoders.append(
                    (column, unpack_offsets if fields[column] == Offsets else struct_reader(fields[column]))
                )

    def state_of(self, row: Row) -> S:
        """Return the state in a row that begins with the columns of the table, in their order."""
        fields = dict(zip(self.columns, row, strict=False))  # a spec may follow
        for column, decode in self._decoders:
            value = fields[column]
            if value is not None:
                fields[column] = decode(value)
        state: S = self.kind.state(**fields)
        return state


def _id_reader(id_kind: str) -> Callable[[Any], str]:
    return lambda value: from_int(id_kind, value.int)


def one_of(column: str, statuses: Iterable[IntEnum]) -> str:
    """Return the SQL condition that *column* holds one of *statuses*, as the partial indexes write it."""
    numbers = sorted(int(status) for status in statuses)
    if len(numbers) == 1:
        return f"{column} = {numbers[0]}"
    return f"{column} IN ({', '.join(map(str, numbers))})"
