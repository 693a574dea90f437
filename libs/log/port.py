"""
The log port: what Fliq needs of a log, and nothing more.

Theory of operation

One partition of the log, as a reader sees it:

        begin                                     end
          |                                        |
    ......[12][13][14][15][16][17][18][19][20][21] .  .  .
    trimmed   oldest                        newest  not yet written

    position   the place of a record in its partition: 0, 1, 2, ... without gaps
    begin      the position of the oldest record that can still be read; 0 until something is trimmed
    end        the first unwritten position: one past the newest durable record, 0 in an empty partition
    durable    a record that survives the crash of every process of Fliq and of the log's own server processes
    admitted   a record that counts; readers decide that, not the log (libs/domain/admission.py)

Guarantees. The conformance tests quote these numbers.

    G1  `append` returns after its records are durable. Afterwards they are never lost, moved or changed.
    G2  The records of one append stand next to each other, in the order given. If one caller makes several appends to one
        partition, they stand in the order in which the caller made them, whether it awaited each or not.
    G3  No record ever appears behind a reader: after position p was read, or `end` returned e > p, every position up to p is final.
    G4  Positions are contiguous: every position from begin to end - 1 holds exactly one record.
    G5  An envelope comes back identical: type, version, flags, claim, key, and the value byte for byte.
    G6  After `AppendFailed` the records may be in the log, or may still get there: before or after the caller gets the error, even
        behind later appends, all of them or only the first ones. They are written at most once, and every reader sees the same
        order. The caller must not guess: an owner resigns and claims the partition again. Its old records then stand before the
        new claim, or they carry the old claim and are void.
        After `RecordTooLarge`, `LogUnavailable` or `ValueError` nothing was written, and nothing will be.
    G7  `stop` may be called at any time, without `start` and twice. Appends under way end as durable or with `LogError`, and
        readers that wait end with `LogUnavailable`. None of them hangs.

Cost: `append` is O(records); all appends that wait at the same time share one durable write. `read` is O(records read).
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from libs.events import Envelope

MAX_VALUE_BYTES = 1_000_000  # a Kafka broker's usual limit of 1 MiB, less room for headers
# Seconds for which who follows the log waits for a record: it ends the wait at once, and so does a log that does not answer.
READ_WAIT_S: Final = 10.0
MAX_VERSION = 32_767  # fits every adapter's header: two bytes, signed


class LogError(Exception):
    """A call to the log failed; the base of all errors of this port."""


class AppendFailed(LogError):
    """The outcome of the append is unknown: the records may be in the log, or may still get there (G6)."""


class LogUnavailable(LogError):
    """The log cannot be reached, or is stopped. Nothing of this call was written, and nothing will be."""


class LogDamaged(LogError):
    """The log lost data: a gap, a wrong checksum, or an end before what was read or written. The caller must stop, not guess."""


class RecordTooLarge(LogError):
    """A value is longer than `MAX_VALUE_BYTES`; nothing of this call was written."""


class Record(NamedTuple):
    """
    One record as it was read.

    Args:
        position: its place in the partition.
        at: when the log took it, ms since 1970 by the log's clock; for people and skew metrics, never for decisions.
        envelope: what was appended.
    """

    position: int
    at: int
    envelope: Envelope


class PositionReports(Protocol):
    """What the log's own tools show: how far the readers of a group are. Fliq itself reads no position back."""

    async def report_positions(self, group: str, positions: Mapping[int, int], note: str = "") -> None:
        """Report the last position that *group* has read, by partition, with a *note*; raises `LogError`."""

    async def reported_notes(self, group: str) -> Mapping[int, str]:
        """Return the note that came with the last report of *group*, by partition; raises `LogError`."""


class Log(Protocol):
    """The port. Every wait has a bound. Every method raises `LogUnavailable` if the log cannot be reached in time."""

    @property
    def position_reports(self) -> PositionReports | None:
        """Where readers report how far they are; None if the log has no tools that would show it."""

    async def start(self) -> None:
        """Connect, and check that the log can be used. If not, raise `LogError` with one line that says what to do."""

    async def stop(self) -> None:
        """Write the appends that were taken, then disconnect (G7)."""

    async def partitions(self) -> int:
        """Return how many partitions there are. They are numbered from 0."""

    async def identity(self) -> str:
        """
        Return a text that no other log has. Tables that were folded from one log cannot be used with another.

        It is the same in every process and at every start. A log that was lost and made again has another identity.
        """

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        """
        Append *envelopes*, at least one, and return the position of the first (G1, G2).

        Raises:
            AppendFailed: the outcome is unknown (G6). It is also unknown if the caller was cancelled.
            RecordTooLarge, LogUnavailable: nothing was written.
            ValueError: no such partition, or envelopes that no log can hold (`measure`); nothing was written.
        """

    async def read(self, partition: int, position: int, *, max_records: int = 500, wait_s: float = 0.0) -> list[Record]:
        """
        Return up to *max_records* records from *position* on (G3, G4, G5).

        At the end of the log, wait up to *wait_s* for a new record, then return what there is, perhaps nothing.

        Raises:
            LogDamaged: *position* is before begin or beyond end, so the reader's position does not belong to this log.
            ValueError: no such partition, or *max_records* < 1.
        """

    async def begin(self, partition: int) -> int:
        """Return the position of the oldest record that can be read."""

    async def end(self, partition: int) -> int:
        """Return the first unwritten position. It is beyond the records of every append that returned before this call (G3)."""

    async def trim(self, partition: int, before: int) -> None:
        """
        Delete the records before position *before*. The others keep their positions. Records already deleted stay deleted.

        Raises:
            LogError: *before* is beyond end.
        """


def measure(envelopes: Sequence[Envelope]) -> int:
    """
    Check that every log can hold *envelopes*, and return how many bytes they take.

    Raises:
        RecordTooLarge: a value is longer than `MAX_VALUE_BYTES`.
        ValueError: no envelopes; text with a NUL or a lone surrogate (PostgreSQL's text holds neither); a version out of
            range; a value that is not bytes.
    """
    if not envelopes:
        raise ValueError("an append needs at least one envelope")
    size = 0
    for type_, version, _, claim, key, value in envelopes:
        text = type_ + key if claim is None else type_ + key + claim
        if "\0" in text:
            raise ValueError("type, claim and key must not contain NUL")
        if not text.isascii():
            text.encode()  # UnicodeEncodeError is a ValueError
        if not 0 <= version <= MAX_VERSION:
            raise ValueError(f"version {version} is not in 0 to {MAX_VERSION}")
        if type(value) is not bytes:
            raise ValueError(f"a value is bytes, not {type(value).__name__}")
        length = len(value)
        if length > MAX_VALUE_BYTES:
            raise RecordTooLarge(f"the value of a {type_} has {length:,} bytes, the log takes {MAX_VALUE_BYTES:,}")
        size += length + len(text)
    return size
