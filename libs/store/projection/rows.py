"""
Rows: states as PostgreSQL keeps them, and back. The only place that knows how a value is written in a column.

Ids are `uuid` columns holding the ULID's 128 bits; the driver's own UUID class is written by copying its 16 bytes.
Offsets are a `bytea` of big-endian 8-byte positions: an array of arrays would be flattened by `unnest`, and one position costs
9 bytes this way where an `int8[]` costs 32.
"""

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any

import msgspec
from asyncpg.pgproto.pgproto import UUID

from libs.domain.job import MAX_OFFSETS, JobState, JobStatus
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.events import Claim
from libs.events.ids import from_int, to_int
from libs.store.projection.changes import ExecutionRow

Row = Any  # asyncpg.Record: mapping and sequence at once

MAX_ID = UUID(b"\xff" * 16)  # above every id: they begin with 48 bits of milliseconds

_STRUCTS = [Struct(f">{count}q") for count in range(MAX_OFFSETS + 1)]
_PACKERS: tuple[Callable[..., bytes], ...] = tuple(struct.pack for struct in _STRUCTS)
_UNPACKERS: tuple[Callable[[bytes], tuple[int, ...]], ...] = tuple(struct.unpack for struct in _STRUCTS)
_JOB_STATUS = tuple(JobStatus)  # by number: they count from 0


def uuid_of(any_id: str) -> UUID:
    """Return the column value for a well-formed id of any kind."""
    return UUID(to_int(any_id).to_bytes(16, "big"))


def uuids_of(ids: Iterable[str]) -> list[UUID]:
    """Return the column values for well-formed ids."""
    return [UUID(to_int(any_id).to_bytes(16, "big")) for any_id in ids]


def optional_uuids_of(ids: Iterable[str | None]) -> list[UUID | None]:
    """Return the column values for ids of which some are missing."""
    return [None if any_id is None else uuid_of(any_id) for any_id in ids]


def job_id_of(value: UUID) -> str:
    """Return the job id in a column."""
    return from_int("job", value.int)


def schedule_id_of(value: UUID) -> str:
    """Return the schedule id in a column."""
    return from_int("sched", value.int)


def claim_of(row: Row) -> Claim | None:
    """Return the claim in the columns `claim_epoch` and `claim_nonce`; None before the first claim."""
    return None if row["claim_epoch"] is None else Claim(row["claim_epoch"], row["claim_nonce"])


def pack_offsets(offsets: Sequence[int]) -> bytes:
    """Return the column value for a job's positions."""
    return _PACKERS[len(offsets)](*offsets)


def unpack_offsets(packed: bytes) -> tuple[int, ...]:
    """Return a job's positions; the inverse of `pack_offsets`."""
    return _UNPACKERS[len(packed) // 8](packed)


# Names in the order of the struct's fields: what `astuple` gives, and what SELECT lists.
JOB_COLUMNS: tuple[str, ...] = JobState.__struct_fields__
SCHEDULE_COLUMNS: tuple[str, ...] = ScheduleState.__struct_fields__
EXECUTION_COLUMNS: tuple[str, ...] = ExecutionRow._fields

JOB_TYPES: dict[str, str] = {
    "job_id": "uuid",
    "account": "text",
    "schedule_id": "uuid",
    "status": "int2",
    "attempt": "int2",
    "max_retries": "int2",
    "timeout_ms": "int8",
    "has_webhook": "bool",
    "cancel_requested": "bool",
    "held": "bool",
    "scheduled_at": "int8",
    "fire_at": "int8",
    "created_at": "int8",
    "started_at": "int8",
    "completed_at": "int8",
    "last_ok": "bool",
    "last_status_code": "int4",
    "last_error": "text",
    "retry_after_ms": "int8",
    "idempotency_key": "text",
    "replay_of": "uuid",
    "webhook_at": "int8",
    "offsets": "bytea",
}
SCHEDULE_TYPES: dict[str, str] = {
    "schedule_id": "uuid",
    "account": "text",
    "status": "int2",
    "cron": "text",
    "max_retries": "int2",
    "timeout_ms": "int8",
    "has_webhook": "bool",
    "held": "bool",
    "created_at": "int8",
    "next_run_at": "int8",
    "last_run_at": "int8",
    "changed_at": "int8",
}
EXECUTION_TYPES: dict[str, str] = {
    "job_id": "uuid",
    "attempt": "int2",
    "executed_at": "int8",
    "ok": "bool",
    "status_code": "int4",
    "error": "text",
    "duration_ms": "int8",
}

_ENCODERS: dict[str, Callable[[Any], Any]] = {
    "job_id": uuids_of,
    "schedule_id": optional_uuids_of,
    "replay_of": optional_uuids_of,
    "offsets": lambda column: [pack_offsets(offsets) for offsets in column],
}


def columns_of(rows: Sequence[Sequence[Any]], names: Sequence[str], wanted: Iterable[str]) -> list[Any]:
    """
    Return the *wanted* columns of *rows*, each a sequence in the database's form.

    Args:
        rows: tuples whose fields are *names*.
    """
    columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())
    return [_ENCODERS[name](columns[name]) if name in _ENCODERS else columns[name] for name in wanted]


_SELECT_JOB = ", ".join(f"j.{name}" for name in JOB_COLUMNS)
_SELECT_SCHEDULE = ", ".join(f"s.{name}" for name in SCHEDULE_COLUMNS)
SELECT_JOB = f"SELECT {_SELECT_JOB} FROM jobs j"  # noqa: S608 - our own names
SELECT_SCHEDULE = f"SELECT {_SELECT_SCHEDULE} FROM schedules s"  # noqa: S608
SELECT_JOB_WITH_SPEC = (
    f"SELECT {_SELECT_JOB}, spec FROM jobs j LEFT JOIN specs ON spec_id = coalesce(j.schedule_id, j.job_id)"  # noqa: S608
)
SELECT_SCHEDULE_WITH_SPEC = (
    f"SELECT {_SELECT_SCHEDULE}, spec FROM schedules s LEFT JOIN specs ON spec_id = s.schedule_id"  # noqa: S608
)


def job_of(row: Row) -> JobState:
    """Return the state in a row of `SELECT_JOB`, whose columns stand in the order of the struct's fields."""
    fields = dict(zip(JOB_COLUMNS, row, strict=False))  # a spec may follow
    fields["job_id"] = from_int("job", fields["job_id"].int)
    fields["status"] = _JOB_STATUS[fields["status"]]
    fields["offsets"] = unpack_offsets(fields["offsets"])
    if fields["schedule_id"] is not None:
        fields["schedule_id"] = schedule_id_of(fields["schedule_id"])
    if fields["replay_of"] is not None:
        fields["replay_of"] = job_id_of(fields["replay_of"])
    return JobState(**fields)


def schedule_of(row: Row) -> ScheduleState:
    """Return the state in a row of `SELECT_SCHEDULE`."""
    fields = {name: row[name] for name in SCHEDULE_COLUMNS}
    fields["schedule_id"] = schedule_id_of(row["schedule_id"])
    fields["status"] = ScheduleStatus(row["status"])
    return ScheduleState(**fields)


def execution_of(row: Row) -> ExecutionRow:
    """Return the execution in a row that has `EXECUTION_COLUMNS`."""
    fields = {name: row[name] for name in EXECUTION_COLUMNS}
    fields["job_id"] = job_id_of(row["job_id"])
    return ExecutionRow(**fields)


def job_rows(states: Iterable[JobState]) -> list[Sequence[Any]]:
    """Return states as tuples of `JOB_COLUMNS`."""
    return [msgspec.structs.astuple(state) for state in states]


def schedule_rows(states: Iterable[ScheduleState]) -> list[Sequence[Any]]:
    """Return states as tuples of `SCHEDULE_COLUMNS`."""
    return [msgspec.structs.astuple(state) for state in states]
