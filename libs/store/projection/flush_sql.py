"""
Flush SQL: the one statement that writes a flush, and its arguments.

Every argument is an array, one element per row; `unnest` turns the arrays of a table back into rows. A row is written only if
its partition passed the fence. The statement names only the tables that have rows, so a small flush is a small statement. Few
combinations of tables occur, and each is prepared once.

The rows of a table come in up to three parts. A state that was created and has not changed since is sent without the columns
that are the same in all such states (most of a burst of new jobs, and half of their columns). A row that was created and changed
within the same flush is sent whole. If a row was there before, only its key and the columns that can change are sent; the few
states of which a caller has changed more (`is_rewritten`) are sent whole.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final

import msgspec

from libs.domain.history.floors import FIELDS
from libs.store.projection import rows
from libs.store.projection.changes import ExecutionRow, Flush, PartitionChanges
from libs.store.projection.table_registry import STATE_TABLES, is_rewritten

_EXECUTION_VALUES: Final = tuple(name for name in rows.EXECUTION_COLUMNS if name not in ("job_id", "attempt"))


def _typed(names: Iterable[str], types: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return (("part", "int4"), *((name, types[name]) for name in names))


def _assign(names: Iterable[str], source: str) -> str:
    return ", ".join(f"{name} = {source}.{name}" for name in names)


def _literal(value: int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(int(value))


class _Parts:
    """The parts in which the rows of one table are sent; `changed` is that of rows which were there before."""

    def __init__(
        self,
        table: str,
        keys: Sequence[str],
        types: Mapping[str, str],
        changing: Sequence[str],
        newborn: Mapping[str, int | None],
    ) -> None:
        self.types = types
        self._newborn, self._created, self.changed = (f"{how}_{table}" for how in ("newborn", "created", "changed"))
        self.rewritten = f"rewritten_{table}"
        self._born_fields = itemgetter(*map(list(types).index, newborn)) if newborn else None
        self._born_values = tuple(newborn.values())
        upsert = f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {_assign(changing, 'excluded')}"
        same_row = "".join(f" AND t.{key} = u.{key}" for key in keys)
        others = [name for name in types if name not in keys]
        self.columns = {
            self._created: _typed(types, types),
            self.changed: _typed((*keys, *changing), types),
            self.rewritten: _typed(types, types),
        }
        self.writes = {
            self.rewritten: f"UPDATE {table} t SET {_assign(others, 'u')} {{rows}}{same_row}",  # noqa: S608
            self._created: f"INSERT INTO {table} ({{names}}) SELECT {{names}} {{rows}} {upsert}",
            self.changed: f"UPDATE {table} t SET {_assign(changing, 'u')} {{rows}}{same_row}",  # noqa: S608
        }
        if newborn:
            # What is null in all of them is left out of the statement, too: null is the columns' default.
            literals = {name: _literal(value) for name, value in newborn.items() if value is not None}
            self.columns[self._newborn] = _typed([name for name in types if name not in newborn], types)
            self.writes[self._newborn] = (
                f"INSERT INTO {table} ({{names}}, {', '.join(literals)})"
                f" SELECT {{names}}, {', '.join(literals.values())} {{rows}} {upsert}"
            )

    def new(self, row: Sequence[Any]) -> str:
        """Return the part in which *row*, which was not there before, is sent."""
        is_newborn = self._born_fields is not None and self._born_fields(row) == self._born_values
        return self._newborn if is_newborn else self._created


# Class of a state, or of another row that may be there before -> its table's parts.
_PARTS: Final[dict[type, _Parts]] = {
    **{
        table.kind.state: _Parts(table.name, (table.key,), table.types, table.changing, table.newborn)
        for table in STATE_TABLES
    },
    ExecutionRow: _Parts("executions", ("job_id", "attempt"), rows.EXECUTION_TYPES, _EXECUTION_VALUES, {}),
}

# Part -> its columns, and what is done with them: {names} are the columns, {rows} the rows that passed the fence.
_COLUMNS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    **{part: columns for each in _PARTS.values() for part, columns in each.columns.items()},
    "fence": (
        ("part", "int4"),
        ("nonce", "text"),
        ("from_position", "int8"),
        ("to_position", "int8"),
        ("claim_epoch", "int8"),
        ("claim_nonce", "text"),
        ("needs", "int4"),
    ),
    "new_specs": (("part", "int4"), ("spec_id", "uuid"), ("spec", "bytea")),
    "new_labels": (("part", "int4"), ("account", "text"), ("key", "text"), ("value", "text"), ("job_id", "uuid")),
    "new_responses": (
        ("part", "int4"),
        ("job_id", "uuid"),
        ("attempt", "int2"),
        ("at", "int8"),
        ("key", "text"),
        ("data", "bytea"),
    ),
    "counted": (("part", "int4"), ("account", "text"), ("day", "date"), ("executions", "int8")),
    "forgotten": (("part", "int4"), *((name, "int8") for name in FIELDS)),
}
_WRITES: Final[dict[str, str]] = {
    **{part: write for each in _PARTS.values() for part, write in each.writes.items()},
    "new_specs": "INSERT INTO specs ({names}) SELECT {names} {rows} ON CONFLICT (spec_id) DO NOTHING",
    "new_labels": "INSERT INTO labels ({names}) SELECT {names} {rows} ON CONFLICT DO NOTHING",
    "new_responses": "INSERT INTO responses ({names}) SELECT {names} {rows} ON CONFLICT DO NOTHING",
    "counted": "INSERT INTO usage_daily AS d ({names}) SELECT {names} {rows}"
    " ON CONFLICT (account, day, part) DO UPDATE SET executions = d.executions + excluded.executions",
    "forgotten": f"INSERT INTO history AS h ({{names}}) SELECT {{names}} {{rows}} {rows.FLOORS_RISE}",
}
# Part -> what returns its rows; most flushes have none.
_IN_FULL: Final[dict[str, Callable[[PartitionChanges], list[Any]]]] = {
    "new_labels": rows.labels_of,
    "new_responses": rows.responses_of,
    "forgotten": rows.floors_of,
}
_TYPES: Final = {part: each.types for each in _PARTS.values() for part in each.columns}

_FENCE: Final = """
WITH flush AS MATERIALIZED (
    SELECT * FROM {unnest}
), locked AS MATERIALIZED (
    SELECT p.part, f.to_position, f.claim_epoch, f.claim_nonce, f.needs
    FROM progress p JOIN flush f ON f.part = p.part
    WHERE p.lease_nonce = f.nonce AND p.position = f.from_position
    ORDER BY p.part FOR NO KEY UPDATE OF p
), fence AS (
    UPDATE progress p SET position = l.to_position, claim_epoch = l.claim_epoch, claim_nonce = l.claim_nonce,
        needs = greatest(p.needs, l.needs), applied_at = clock_timestamp()
    FROM locked l WHERE p.part = l.part RETURNING p.part
)"""


@cache
def statement(parts: tuple[str, ...]) -> str:
    """Return the statement for the fence and *parts*, whose parameters are the columns of both, in that order."""
    text, first = _FENCE.format(unnest=_unnest("fence", 1)), 1 + len(_COLUMNS["fence"])
    for part in parts:
        names = ", ".join(name for name, _ in _COLUMNS[part])
        # ARRAY(...) is computed once, and completes the fence before the first row is written.
        passed = f"FROM {_unnest(part, first)} WHERE u.part = ANY (ARRAY(SELECT part FROM fence))"  # noqa: S608
        text += f", {part} AS (\n    {_WRITES[part].format(names=names, rows=passed)}\n)"
        first += len(_COLUMNS[part])
    return text + "\nSELECT part FROM fence"


def _unnest(part: str, first: int) -> str:
    columns = _COLUMNS[part]
    arrays = ", ".join(f"${first + index}::{kind}[]" for index, (_, kind) in enumerate(columns))
    return f"unnest({arrays}) AS u({', '.join(name for name, _ in columns)})"


def prepare(flushes: Sequence[Flush]) -> tuple[str, list[Any]]:
    """Return the statement for *flushes*, which are in the order of partitions, and its arguments."""
    gathered = {**_rows(flushes), **_specs(flushes), **_usage(flushes)}
    for part, rows_of in _IN_FULL.items():
        if found := [row for flush in flushes for row in rows_of(flush.changes)]:
            gathered[part] = [list(column) for column in zip(*found, strict=True)]
    parts = tuple(part for part, columns in gathered.items() if columns[0])
    return statement(parts), [*_fence(flushes), *chain.from_iterable(gathered[part] for part in parts)]


def _fence(flushes: Sequence[Flush]) -> list[Any]:
    fenced = [
        (
            *(each.partition, each.lease_nonce, each.from_position, each.to_position),
            *(*rows.claim_columns(each.claim), each.changes.needs),
        )
        for each in flushes
    ]
    return [list(column) for column in zip(*fenced, strict=True)]


def _rows(flushes: Sequence[Flush]) -> dict[str, list[Any]]:
    found: dict[str, tuple[list[int], list[Sequence[Any]]]] = {part: ([], []) for part in _TYPES}
    for flush in flushes:
        partition, changes = flush.partition, flush.changes
        new, new_executions = changes.new, changes.new_executions
        of_executions = _PARTS[ExecutionRow]
        for state_id, state in changes.states.items():
            row = msgspec.structs.astuple(state)
            parts = _PARTS[type(state)]
            part = parts.new(row) if state_id in new else parts.rewritten if is_rewritten(state) else parts.changed
            partitions, of_part = found[part]
            partitions.append(partition)
            of_part.append(row)
        for key, execution in changes.executions.items():
            partitions, of_part = found[
                of_executions.new(execution) if key in new_executions else of_executions.changed
            ]
            partitions.append(partition)
            of_part.append(execution)
    return {
        part: [partitions, *rows.columns_of(of_part, _TYPES[part], (name for name, _ in _COLUMNS[part][1:]))]
        for part, (partitions, of_part) in found.items()
        if of_part
    }


def _specs(flushes: Sequence[Flush]) -> dict[str, list[Any]]:
    return {
        "new_specs": [
            [flush.partition for flush in flushes for _ in flush.changes.specs],
            rows.uuids_of(chain.from_iterable(flush.changes.specs for flush in flushes)),
            list(chain.from_iterable(flush.changes.specs.values() for flush in flushes)),
        ]
    }


def _usage(flushes: Sequence[Flush]) -> dict[str, list[Any]]:
    counted = [row for flush in flushes for row in rows.usage_of(flush.changes)]
    return {"counted": [[row[index] for row in counted] for index in range(4)]}
