"""
Flush SQL: the one statement that writes a flush, made from the column lists of `rows`, and its arguments.

Every argument is an array, one element per row; `unnest` turns the arrays of a table back into rows. A row is written when its
partition passed the fence.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from libs.store import rows

if TYPE_CHECKING:
    from libs.store.projector import Flush

# What never changes after a job's first record.
_FIXED_JOB_COLUMNS: Final = frozenset(
    {
        "job_id",
        "account",
        "schedule_id",
        "max_retries",
        "timeout_ms",
        "has_webhook",
        "scheduled_at",
        "created_at",
        "idempotency_key",
        "replay_of",
    }
)
_CHANGING_JOB_COLUMNS: Final = tuple(name for name in rows.JOB_COLUMNS if name not in _FIXED_JOB_COLUMNS)
_EPOCH: Final = date(1970, 1, 1)


class _Source:
    """One table's worth of array parameters."""

    def __init__(self, first: int, columns: Sequence[tuple[str, str]]) -> None:
        self.columns = columns
        self.next = first + len(columns)
        self.names = ", ".join(name for name, _ in columns)
        arrays = ", ".join(f"${first + index}::{kind}[]" for index, (_, kind) in enumerate(columns))
        self.unnest = f"unnest({arrays}) AS u({self.names})"
        # Rows of partitions that passed the fence. ARRAY(...) is computed once, and completes the fence before the first row.
        self.select = f"FROM {self.unnest} WHERE u.part = ANY (ARRAY(SELECT part FROM fence))"  # noqa: S608


def _typed(names: Sequence[str], types: dict[str, str]) -> list[tuple[str, str]]:
    return [("part", "int4"), *((name, types[name]) for name in names)]


_FENCE_COLUMNS: Final = (
    ("part", "int4"),
    ("nonce", "text"),
    ("from_position", "int8"),
    ("to_position", "int8"),
    ("claim_epoch", "int8"),
    ("claim_nonce", "text"),
)
_fence = _Source(1, _FENCE_COLUMNS)
_new_jobs = _Source(_fence.next, _typed(rows.JOB_COLUMNS, rows.JOB_TYPES))
_jobs = _Source(_new_jobs.next, _typed(("job_id", *_CHANGING_JOB_COLUMNS), rows.JOB_TYPES))
_specs = _Source(_jobs.next, [("part", "int4"), ("spec_id", "uuid"), ("spec", "bytea")])
_new_executions = _Source(_specs.next, _typed(rows.EXECUTION_COLUMNS, rows.EXECUTION_TYPES))
_executions = _Source(_new_executions.next, _typed(rows.EXECUTION_COLUMNS, rows.EXECUTION_TYPES))
_schedules = _Source(_executions.next, _typed(rows.SCHEDULE_COLUMNS, rows.SCHEDULE_TYPES))
_usage = _Source(_schedules.next, [("part", "int4"), ("account", "text"), ("day", "date"), ("executions", "int8")])


def _assign(names: Sequence[str], source: str) -> str:
    return ", ".join(f"{name} = {source}.{name}" for name in names)


_EXECUTION_VALUES: Final = tuple(name for name in rows.EXECUTION_COLUMNS if name not in ("job_id", "attempt"))

STATEMENT: Final = f"""
WITH flush AS MATERIALIZED (
    SELECT * FROM {_fence.unnest}
), locked AS MATERIALIZED (
    SELECT p.part, f.to_position, f.claim_epoch, f.claim_nonce
    FROM progress p JOIN flush f ON f.part = p.part
    WHERE p.lease_nonce = f.nonce AND p.position = f.from_position
    ORDER BY p.part FOR NO KEY UPDATE OF p
), fence AS (
    UPDATE progress p SET position = l.to_position, claim_epoch = l.claim_epoch, claim_nonce = l.claim_nonce,
        applied_at = clock_timestamp()
    FROM locked l WHERE p.part = l.part RETURNING p.part
), new_jobs AS (
    INSERT INTO jobs ({_new_jobs.names}) SELECT {_new_jobs.names} {_new_jobs.select}
    ON CONFLICT (job_id) DO UPDATE SET {_assign(_CHANGING_JOB_COLUMNS, "excluded")}
), changed_jobs AS (
    UPDATE jobs j SET {_assign(_CHANGING_JOB_COLUMNS, "u")} {_jobs.select} AND j.job_id = u.job_id
), new_specs AS (
    INSERT INTO specs ({_specs.names}) SELECT {_specs.names} {_specs.select} ON CONFLICT (spec_id) DO NOTHING
), new_executions AS (
    INSERT INTO executions ({_new_executions.names}) SELECT {_new_executions.names} {_new_executions.select}
    ON CONFLICT (job_id, attempt) DO UPDATE SET {_assign(_EXECUTION_VALUES, "excluded")}
), changed_executions AS (
    UPDATE executions e SET {_assign(_EXECUTION_VALUES, "u")} {_executions.select}
    AND e.job_id = u.job_id AND e.attempt = u.attempt
), all_schedules AS (
    INSERT INTO schedules ({_schedules.names}) SELECT {_schedules.names} {_schedules.select}
    ON CONFLICT (schedule_id) DO UPDATE SET {_assign(rows.SCHEDULE_COLUMNS[1:], "excluded")}
), counted AS (
    INSERT INTO usage_daily AS d ({_usage.names}) SELECT {_usage.names} {_usage.select}
    ON CONFLICT (account, day, part) DO UPDATE SET executions = d.executions + excluded.executions
)
SELECT part FROM fence
"""  # noqa: S608 - our own names; every value is a parameter


def arguments(flushes: Sequence["Flush"]) -> list[Any]:
    """Return the arguments of `STATEMENT` for *flushes*, which are in the order of partitions."""
    return [
        *_fence_arguments(flushes),
        *_job_arguments(flushes),
        *_spec_arguments(flushes),
        *_execution_arguments(flushes),
        *_schedule_arguments(flushes),
        *_usage_arguments(flushes),
    ]


def _fence_arguments(flushes: Sequence["Flush"]) -> list[Any]:
    return [
        [flush.partition for flush in flushes],
        [flush.lease_nonce for flush in flushes],
        [flush.from_position for flush in flushes],
        [flush.to_position for flush in flushes],
        [flush.claim.epoch if flush.claim else None for flush in flushes],
        [flush.claim.nonce if flush.claim else None for flush in flushes],
    ]


def _job_arguments(flushes: Sequence["Flush"]) -> list[Any]:
    new_parts, new_states, parts, states = [], [], [], []
    for flush in flushes:
        new = flush.changes.new_jobs
        for job_id, state in flush.changes.jobs.items():
            if job_id in new:
                new_parts.append(flush.partition)
                new_states.append(state)
            else:
                parts.append(flush.partition)
                states.append(state)
    names = rows.JOB_COLUMNS
    return [
        new_parts,
        *rows.columns_of(rows.job_rows(new_states), names, names),
        parts,
        *rows.columns_of(rows.job_rows(states), names, ("job_id", *_CHANGING_JOB_COLUMNS)),
    ]


def _spec_arguments(flushes: Sequence["Flush"]) -> list[Any]:
    return [
        [flush.partition for flush in flushes for _ in flush.changes.specs],
        rows.uuids_of(chain.from_iterable(flush.changes.specs for flush in flushes)),
        list(chain.from_iterable(flush.changes.specs.values() for flush in flushes)),
    ]


def _execution_arguments(flushes: Sequence["Flush"]) -> list[Any]:
    new_parts, new_executions, parts, executions = [], [], [], []
    for flush in flushes:
        new = flush.changes.new_executions
        for key, row in flush.changes.executions.items():
            if key in new:
                new_parts.append(flush.partition)
                new_executions.append(row)
            else:
                parts.append(flush.partition)
                executions.append(row)
    names = rows.EXECUTION_COLUMNS
    return [
        new_parts,
        *rows.columns_of(new_executions, names, names),
        parts,
        *rows.columns_of(executions, names, names),
    ]


def _schedule_arguments(flushes: Sequence["Flush"]) -> list[Any]:
    states = [state for flush in flushes for state in flush.changes.schedules.values()]
    names = rows.SCHEDULE_COLUMNS
    return [
        [flush.partition for flush in flushes for _ in flush.changes.schedules],
        *rows.columns_of(rows.schedule_rows(states), names, names),
    ]


def _usage_arguments(flushes: Sequence["Flush"]) -> list[Any]:
    counts = [(flush.partition, *day, count) for flush in flushes for day, count in flush.changes.usage.items()]
    return [
        [part for part, _, _, _ in counts],
        [account for _, account, _, _ in counts],
        [_EPOCH + timedelta(days=day) for _, _, day, _ in counts],
        [count for _, _, _, count in counts],
    ]
