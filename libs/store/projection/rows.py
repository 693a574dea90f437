"""
Rows: how values are written in columns, and read back. For whole states see job_rows.py and schedule_rows.py.

Ids are `uuid` columns that hold the ULID's 128 bits; the driver writes its own UUID class by copying 16 bytes. Offsets are a
`bytea` of big-endian 8-byte positions: `unnest` would flatten an array of arrays, and one position takes 9 bytes this way, 32
in an `int8[]`. A struct is the `bytea` of its JSON.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from struct import Struct
from typing import Any

import msgspec
from asyncpg.pgproto.pgproto import UUID

from libs.domain.history.floors import FIELDS
from libs.domain.job import MAX_OFFSETS
from libs.events import Claim
from libs.events.ids import from_int, to_int
from libs.store.projection.changes import ExecutionRow, LabelRow, PartitionChanges, ResponseRow

Row = Any  # asyncpg.Record: mapping and sequence at once

MAX_ID = UUID(b"\xff" * 16)  # above every id: they begin with 48 bits of milliseconds
MIN_ID = UUID(bytes(16))

Offsets = tuple[int, ...]  # of a field whose column holds positions

# What a row of `history` does that is there before: floors only rise.
FLOORS_RISE = "ON CONFLICT (part) DO UPDATE SET " + ", ".join(
    f"{name} = greatest(h.{name}, excluded.{name})" for name in FIELDS
)

_EPOCH = date(1970, 1, 1)
_encode_struct = msgspec.json.Encoder().encode
_STRUCTS = [Struct(f">{count}q") for count in range(MAX_OFFSETS + 1)]
_PACKERS: tuple[Callable[..., bytes], ...] = tuple(struct.pack for struct in _STRUCTS)
_UNPACKERS: tuple[Callable[[bytes], tuple[int, ...]], ...] = tuple(struct.unpack for struct in _STRUCTS)


def uuid_of(any_id: str) -> UUID:
    """Return the column value for a well-formed id of any kind."""
    return UUID(to_int(any_id).to_bytes(16, "big"))


def uuids_of(ids: Iterable[str]) -> list[UUID]:
    """Return the column values for well-formed ids."""
    return [UUID(to_int(any_id).to_bytes(16, "big")) for any_id in ids]


def optional_uuids_of(ids: Iterable[str | None]) -> list[UUID | None]:
    """Return the column values for ids of which some are missing."""
    return [None if any_id is None else UUID(to_int(any_id).to_bytes(16, "big")) for any_id in ids]


def job_id_of(value: UUID) -> str:
    """Return the job id in a column."""
    return from_int("job", value.int)


def claim_of(row: Row) -> Claim | None:
    """Return the claim in the columns `claim_epoch` and `claim_nonce`; None before the first claim."""
    return None if row["claim_epoch"] is None else Claim(row["claim_epoch"], row["claim_nonce"])


def claim_columns(claim: Claim | None) -> tuple[int | None, str | None]:
    """Return the values of the columns `claim_epoch` and `claim_nonce`; the inverse of `claim_of`."""
    return (None, None) if claim is None else (claim.epoch, claim.nonce)


def pack_offsets(offsets: Sequence[int]) -> bytes:
    """Return the column value for a job's positions."""
    return _PACKERS[len(offsets)](*offsets)


def unpack_offsets(packed: bytes) -> tuple[int, ...]:
    """Return a job's positions; the inverse of `pack_offsets`."""
    return _UNPACKERS[len(packed) // 8](packed)


def struct_reader(kind: Any) -> Callable[[bytes], Any]:
    """Return what reads a column with structs of *kind*, which may be a union with None."""
    return msgspec.json.Decoder(kind).decode


def _packed(value: Any) -> bytes | None:
    if type(value) is tuple:
        return _PACKERS[len(value)](*value)
    return None if value is None else _encode_struct(value)


EXECUTION_COLUMNS: tuple[str, ...] = ExecutionRow._fields
EXECUTION_TYPES: dict[str, str] = {
    "job_id": "uuid",
    "attempt": "int2",
    "executed_at": "int8",
    "ok": "bool",
    "status_code": "int4",
    "error": "text",
    "duration_ms": "int8",
    "error_detail": "text",
    "resent": "bool",
}

_ENCODERS: dict[str, Callable[[Any], Any]] = {
    "uuid": optional_uuids_of,
    "bytea": lambda column: [_packed(value) for value in column],
}


def usage_of(changes: PartitionChanges) -> list[tuple[int, str, date, int]]:
    """Return the rows of `usage_daily` in *changes*: partition, account, day and count."""
    return [
        (changes.partition, account, _EPOCH + timedelta(days=day), count)
        for (account, day), count in changes.usage.items()
    ]


LABEL_COLUMNS: tuple[str, ...] = ("part", *LabelRow._fields)


def labels_of(changes: PartitionChanges) -> list[tuple[int, str, str, str, UUID]]:
    """Return the rows of `labels` in *changes*, with the columns `LABEL_COLUMNS`."""
    return [(changes.partition, *row[:3], uuid_of(row.job_id)) for row in changes.labels]


RESPONSE_COLUMNS: tuple[str, ...] = ("part", *ResponseRow._fields)


def responses_of(changes: PartitionChanges) -> list[tuple[int, UUID, int, int, str | None, bytes]]:
    """Return the rows of `responses` in *changes*, with the columns `RESPONSE_COLUMNS`."""
    return [(changes.partition, uuid_of(row.job_id), *row[1:]) for row in changes.responses]


def floors_of(changes: PartitionChanges) -> list[tuple[int, ...]]:
    """Return the row of `history` in *changes*, if there is one: the partition, and its floors."""
    return [] if changes.floors is None else [(changes.partition, *msgspec.structs.astuple(changes.floors))]


def columns_of(rows: Sequence[Sequence[Any]], types: Mapping[str, str], wanted: Iterable[str]) -> list[Any]:
    """
    Return the *wanted* columns of *rows*, each a sequence in the database's form.

    Args:
        rows: tuples whose fields are the names in *types*, at least one.
        types: name -> SQL type.
    """
    columns = dict(zip(types, zip(*rows, strict=True), strict=True))
    return [
        columns[name] if (encode := _ENCODERS.get(types[name])) is None else encode(columns[name]) for name in wanted
    ]


def execution_of(row: Row) -> ExecutionRow:
    """Return the execution in a row that has `EXECUTION_COLUMNS`."""
    fields = {name: row[name] for name in EXECUTION_COLUMNS}
    fields["job_id"] = job_id_of(row["job_id"])
    return ExecutionRow(**fields)
