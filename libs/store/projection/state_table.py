"""
State table: how the states of one kind stand in a table. Each kind has one, in a module of its own (job_rows.py,
schedule_rows.py).

A column has the name of a field of the state. Its SQL type says how its values are written: ids are `uuid` columns, positions
are `bytea`, everything else is written as it is.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any

import msgspec

from libs.domain.registry import State
from libs.domain.state_kind import StateKind


class StateTable(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """
    One table of states.

    Args:
        kind: whose states it holds.
        name: of the table.
        types: column -> SQL type, in the order of the state's fields.
        fixed: columns that never change after the row is created; the id is one of them.
        newborn: column -> the value (number, truth value or None) that it has in every state that was created and has not
            changed since. Such a row is sent without these columns. Empty: it is sent whole.
        state_of: (row with the columns of *types*) -> state.
        waits: the SQL condition for rows that wait for their timer: exactly that of the partial index that holds them.
        is_open: the SQL condition for rows that their owner needs although no timer rings for them; None when there are none.
    """

    kind: StateKind
    name: str
    types: Mapping[str, str]
    fixed: frozenset[str]
    newborn: Mapping[str, int | None] = {}
    state_of: Callable[[Any], State]
    waits: str
    is_open: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that hold the state; the table also has `part`."""
        return tuple(self.types)

    @property
    def key(self) -> str:
        """The column of the primary key."""
        return self.kind.key

    @property
    def listed(self) -> str:
        """The columns as a query lists them, with the table's name before each."""
        return ", ".join(f"{self.name}.{column}" for column in self.types)

    @property
    def select(self) -> str:
        """The beginning of a query for states."""
        return f"SELECT {self.listed} FROM {self.name}"  # noqa: S608 - our own names


def one_of(column: str, statuses: Iterable[IntEnum]) -> str:
    """Return the SQL condition that *column* holds one of *statuses*, as the partial indexes write it."""
    numbers = sorted(int(status) for status in statuses)
    if len(numbers) == 1:
        return f"{column} = {numbers[0]}"
    return f"{column} IN ({', '.join(map(str, numbers))})"
