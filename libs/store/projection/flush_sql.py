"""
Flush SQL: the one statement that writes a flush, and its arguments.

Every argument is an array, one element per row; `unnest` turns the arrays of a table back into rows. A row is written when its
partition passed the fence. Only the tables that have rows take part, so a small flush is a small statement: the combinations that
occur are few, and each is prepared once.

Jobs come in three parts: those that were created and have not changed since leave out what such a job cannot have yet (most
of a burst of new jobs, and half of the columns); those that were created and changed within the same flush; and those that were
there before, of which only what can change is sent.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from libs.store.projection import rows
from libs.store.projection.changes import Flush

# What never changes after a job's first record.
_FIXED: Final = frozenset(
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
_CHANGING: Final = tuple(name for name in rows.JOB_COLUMNS if name not in _FIXED)
# What a job that was only asked for has, in the words of SQL and of Python; the rest of what can change is null.
_FRESH_LITERALS: Final = {"status": "0", "attempt": "0", "cancel_requested": "false", "held": "false"}
_FRESH_VALUES: Final = {"status": 0, "attempt": 0, "cancel_requested": False, "held": False}
_NOT_SENT_WHEN_FRESH: Final = tuple(name for name in _CHANGING if name not in ("fire_at", "offsets"))
_FRESH: Final = tuple(name for name in rows.JOB_COLUMNS if name not in _NOT_SENT_WHEN_FRESH)
_fresh_fields: Final = itemgetter(*(rows.JOB_COLUMNS.index(name) for name in _NOT_SENT_WHEN_FRESH))
_FRESH_FIELDS: Final = tuple(_FRESH_VALUES.get(name) for name in _NOT_SENT_WHEN_FRESH)

_EXECUTION_VALUES: Final = tuple(name for name in rows.EXECUTION_COLUMNS if name not in ("job_id", "attempt"))
_EPOCH: Final = date(1970, 1, 1)


def _typed(names: Sequence[str], types: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return (("part", "int4"), *((name, types[name]) for name in names))


def _assign(names: Sequence[str], source: str) -> str:
    return ", ".join(f"{name} = {source}.{name}" for name in names)


# Part -> its columns, and what is done with them: {names} are the columns, {rows} the rows that passed the fence.
_COLUMNS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "fence": (
        ("part", "int4"),
        ("nonce", "text"),
        ("from_position", "int8"),
        ("to_position", "int8"),
        ("claim_epoch", "int8"),
        ("claim_nonce", "text"),
    ),
    "fresh_jobs": _typed(_FRESH, rows.JOB_TYPES),
    "created_jobs": _typed(rows.JOB_COLUMNS, rows.JOB_TYPES),
    "changed_jobs": _typed(("job_id", *_CHANGING), rows.JOB_TYPES),
    "new_specs": (("part", "int4"), ("spec_id", "uuid"), ("spec", "bytea")),
    "new_executions": _typed(rows.EXECUTION_COLUMNS, rows.EXECUTION_TYPES),
    "ended_executions": _typed(rows.EXECUTION_COLUMNS, rows.EXECUTION_TYPES),
    "all_schedules": _typed(rows.SCHEDULE_COLUMNS, rows.SCHEDULE_TYPES),
    "counted": (("part", "int4"), ("account", "text"), ("day", "date"), ("executions", "int8")),
}
_UPSERT_JOB: Final = f"ON CONFLICT (job_id) DO UPDATE SET {_assign(_CHANGING, 'excluded')}"
_WRITES: Final[dict[str, str]] = {
    "fresh_jobs": f"INSERT INTO jobs ({{names}}, {', '.join(_FRESH_LITERALS)})"
    f" SELECT {{names}}, {', '.join(_FRESH_LITERALS.values())} {{rows}} {_UPSERT_JOB}",
    "created_jobs": f"INSERT INTO jobs ({{names}}) SELECT {{names}} {{rows}} {_UPSERT_JOB}",
    "changed_jobs": f"UPDATE jobs j SET {_assign(_CHANGING, 'u')} {{rows}} AND j.job_id = u.job_id",  # noqa: S608
    "new_specs": "INSERT INTO specs ({names}) SELECT {names} {rows} ON CONFLICT (spec_id) DO NOTHING",
    "new_executions": "INSERT INTO executions ({names}) SELECT {names} {rows}"
    f" ON CONFLICT (job_id, attempt) DO UPDATE SET {_assign(_EXECUTION_VALUES, 'excluded')}",
    "ended_executions": f"UPDATE executions e SET {_assign(_EXECUTION_VALUES, 'u')} {{rows}}"  # noqa: S608
    " AND e.job_id = u.job_id AND e.attempt = u.attempt",
    "all_schedules": "INSERT INTO schedules ({names}) SELECT {names} {rows}"
    f" ON CONFLICT (schedule_id) DO UPDATE SET {_assign(rows.SCHEDULE_COLUMNS[1:], 'excluded')}",
    "counted": "INSERT INTO usage_daily AS d ({names}) SELECT {names} {rows}"
    " ON CONFLICT (account, day, part) DO UPDATE SET executions = d.executions + excluded.executions",
}
_FENCE: Final = """
WITH flush AS MATERIALIZED (
    SELECT * FROM {unnest}
), locked AS MATERIALIZED (
    SELECT p.part, f.to_position, f.claim_epoch, f.claim_nonce
    FROM progress p JOIN flush f ON f.part = p.part
    WHERE p.lease_nonce = f.nonce AND p.position = f.from_position
    ORDER BY p.part FOR NO KEY UPDATE OF p
), fence AS (
    UPDATE progress p SET position = l.to_position, claim_epoch = l.claim_epoch, claim_nonce = l.claim_nonce,
        applied_at = clock_timestamp()
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
    gathered = {**_jobs(flushes), **_specs(flushes), **_executions(flushes), **_schedules(flushes), **_usage(flushes)}
    parts = tuple(part for part, columns in gathered.items() if columns[0])
    return statement(parts), [*_fence(flushes), *chain.from_iterable(gathered[part] for part in parts)]


def _fence(flushes: Sequence[Flush]) -> list[Any]:
    return [
        [flush.partition for flush in flushes],
        [flush.lease_nonce for flush in flushes],
        [flush.from_position for flush in flushes],
        [flush.to_position for flush in flushes],
        [flush.claim.epoch if flush.claim else None for flush in flushes],
        [flush.claim.nonce if flush.claim else None for flush in flushes],
    ]


def _columns(part: str, partitions: list[int], found: Sequence[Sequence[Any]], names: Sequence[str]) -> list[Any]:
    """Return the columns of *part* for rows *found*, tuples of *names*."""
    if not found:
        return [partitions]
    return [partitions, *rows.columns_of(found, names, (name for name, _ in _COLUMNS[part][1:]))]


def _jobs(flushes: Sequence[Flush]) -> dict[str, list[Any]]:
    found: dict[str, tuple[list[int], list[Sequence[Any]]]] = {
        part: ([], []) for part in ("fresh_jobs", "created_jobs", "changed_jobs")
    }
    for flush in flushes:
        new = flush.changes.new_jobs
        for row in rows.job_rows(flush.changes.jobs.values()):
            if row[0] not in new:
                part = "changed_jobs"
            elif _fresh_fields(row) == _FRESH_FIELDS:
                part = "fresh_jobs"
            else:
                part = "created_jobs"
            partitions, of_part = found[part]
            partitions.append(flush.partition)
            of_part.append(row)
    return {part: _columns(part, *of_part, rows.JOB_COLUMNS) for part, of_part in found.items()}


def _specs(flushes: Sequence[Flush]) -> dict[str, list[Any]]:
    return {
        "new_specs": [
            [flush.partition for flush in flushes for _ in flush.changes.specs],
            rows.uuids_of(chain.from_iterable(flush.changes.specs for flush in flushes)),
            list(chain.from_iterable(flush.changes.specs.values() for flush in flushes)),
        ]
    }


def _executions(flushes: Sequence[Flush]) -> dict[str, list[Any]]:
    found: dict[str, tuple[list[int], list[Sequence[Any]]]] = {
        part: ([], []) for part in ("new_executions", "ended_executions")
    }
    for flush in flushes:
        new = flush.changes.new_executions
        for key, row in flush.changes.executions.items():
            partitions, of_part = found["new_executions" if key in new else "ended_executions"]
            partitions.append(flush.partition)
            of_part.append(row)
    return {part: _columns(part, *of_part, rows.EXECUTION_COLUMNS) for part, of_part in found.items()}


def _schedules(flushes: Sequence[Flush]) -> dict[str, list[Any]]:
    partitions = [flush.partition for flush in flushes for _ in flush.changes.schedules]
    found = rows.schedule_rows(chain.from_iterable(flush.changes.schedules.values() for flush in flushes))
    return {"all_schedules": _columns("all_schedules", partitions, found, rows.SCHEDULE_COLUMNS)}


def _usage(flushes: Sequence[Flush]) -> dict[str, list[Any]]:
    counts = [(flush.partition, *day, count) for flush in flushes for day, count in flush.changes.usage.items()]
    return {
        "counted": [
            [part for part, _, _, _ in counts],
            [account for _, account, _, _ in counts],
            [_EPOCH + timedelta(days=day) for _, _, day, _ in counts],
            [count for _, _, _, count in counts],
        ]
    }
