"""
Records: an envelope as a Kafka record and back.

    key      the envelope's key, UTF-8
    value    the envelope's value, byte for byte; never null
    headers  t = type, v = version in decimal, m = 1 or 0 (must understand), c = claim (decisions only)

A record that another program wrote has no header t. It is read as an event of type "" that readers may ignore: it takes its
position, and every reader skips it.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from aiokafka.record.memory_records import MemoryRecords

from libs.events import Envelope
from libs.log.port import LogDamaged, Record

RECORD_BYTES: Final = (
    72  # the most a record has besides type, claim, key and value: lengths, header names, version, flag
)
BATCH_BYTES: Final = 61  # what a batch has besides its records

Headers = list[tuple[str, bytes]]


def to_kafka(envelope: Envelope) -> tuple[bytes, bytes, Headers]:
    """Return key, value and headers."""
    headers = [*_constant_headers(envelope.type, envelope.version, envelope.must_understand)]
    if envelope.claim is not None:
        headers.append(("c", envelope.claim.encode()))
    return envelope.key.encode(), envelope.value, headers


@lru_cache(maxsize=256)
def _constant_headers(type_: str, version: int, must_understand: bool) -> tuple[tuple[str, bytes], ...]:
    return (("t", type_.encode()), ("v", b"%d" % version), ("m", b"1" if must_understand else b"0"))


def from_kafka(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> Envelope:
    """Return the envelope. Every record has one, whatever it contains."""
    found = dict(headers)
    type_, claim, version = found.get("t"), found.get("c"), found.get("v") or b""
    return Envelope(
        "" if type_ is None else type_.decode(errors="replace"),
        int(version) if version.isdigit() else 0,
        type_ is not None and found.get("m") == b"1",
        None if claim is None else claim.decode(errors="replace"),
        "" if key is None else key.decode(errors="replace"),
        b"" if value is None else bytes(value),
    )


def parse(data: bytes, partition: int, position: int, max_records: int) -> list[Record]:
    """
    Return the records of a fetch's answer from *position* on, at most *max_records*. If one is damaged, return those before it.

    Raises:
        LogDamaged: the record at *position* is damaged or missing (G4): transactions, compaction, or a log that lost records.
    """
    found: list[Record] = []
    for batch in _batches(data):
        if batch.next_offset <= position:
            continue
        if not batch.validate_crc():
            return _sound(found, f"the checksum of partition {partition} near {position + len(found)} is wrong")
        for record in batch:
            expected = position + len(found)
            offset = record.offset
            if offset < expected:
                continue
            if offset != expected or batch.is_control_batch:
                return _sound(found, f"partition {partition} has no record at {expected}")
            found.append(Record(offset, record.timestamp, from_kafka(record.key, record.value, record.headers)))
            if len(found) == max_records:
                return found
        if batch.next_offset != position + len(found):
            return _sound(found, f"partition {partition} has no record at {position + len(found)}")
    return found


def _sound(found: list[Record], damage: str) -> list[Record]:
    """Return the records before the damage; the next read starts at the damage and raises."""
    if not found:
        raise LogDamaged(f"the log is damaged: {damage}")
    return found


def _batches(data: bytes) -> Iterator[Any]:
    memory = MemoryRecords(data)
    while memory.has_next():
        yield memory.next_batch()
