"""
Differences: rows that are not the same in the tables and in the log, as values for programs and as lines for people.

A spec is never shown: it may hold a caller's secrets.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

SHOWN: Final = 20  # differences that are kept per table and partition; the rest is only counted
HIDDEN: Final = frozenset({"spec"})  # columns whose values are not shown

Kind = Literal["changed", "only in the tables", "only in the log"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """
    One row that is not what the log says.

    Args:
        key: the row's key as text: a job's or schedule's id, `id attempt`, `account day`; empty for `progress`.
        columns: name -> (value in the tables, value by the log) of the columns that differ; empty unless both have the row.
    """

    partition: int
    table: str
    key: str
    kind: Kind
    columns: dict[str, tuple[Any, Any]]


class Differences:
    """The differences that were found: the first `SHOWN` of each table and partition, and how many there are in all."""

    def __init__(self) -> None:
        """Start with none."""
        self.shown: list[Difference] = []
        self.counts: Counter[tuple[int, str]] = Counter()

    def add(
        self,
        partition: int,
        table: str,
        key: str,
        kind: Kind,
        columns: dict[str, tuple[Any, Any]] | None = None,
    ) -> None:
        """Add one."""
        self.counts[partition, table] += 1
        if self.counts[partition, table] <= SHOWN:
            found = Difference(partition=partition, table=table, key=key, kind=kind, columns=columns or {})
            self.shown.append(found)

    def include(self, others: "Differences") -> None:
        """Add all of *others*, of other tables."""
        self.shown += others.shown
        self.counts.update(others.counts)

    @property
    def count(self) -> int:
        """How many rows differ."""
        return sum(self.counts.values())

    def lines(self) -> Iterator[str]:
        """Yield a line for each difference that is kept, and one for each table and partition that has more."""
        for each in self.shown:
            yield line(each)
        for (partition, table), count in sorted(self.counts.items()):
            if count > SHOWN:
                yield f"partition {partition}: {table}: {count - SHOWN} more"


def line(found: Difference) -> str:
    """Return *found* as one line."""
    where = f"partition {found.partition}: {found.table}"
    if found.kind == "only in the tables":
        return f"{where}: {found.key} is in the tables and not in the log"
    if found.kind == "only in the log":
        return f"{where}: {found.key} is in the log and not in the tables"
    said = ", ".join(
        f"{name} is not what the log says" if name in HIDDEN else f"{name} is {ours!r}, and the log says {theirs!r}"
        for name, (ours, theirs) in found.columns.items()
    )
    return f"{where}: {found.key}: {said}" if found.key else f"{where}: {said}"


def columns_apart(names: tuple[str, ...], stored: Any, expected: Any) -> dict[str, tuple[Any, Any]]:
    """Return the fields *names* in which two structs or named tuples differ."""
    return {
        name: (getattr(stored, name), getattr(expected, name))
        for name in names
        if getattr(stored, name) != getattr(expected, name)
    }
