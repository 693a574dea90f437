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
    admitted   not the log's business: which records count is decided by readers (libs/domain/admission.py)

Guarantees. The conformance tests quote these numbers.

    G1  `append` returns after its records are durable; what it returned is never lost, moved or changed.
    G2  Records of one append stand next to each other in the order given; appends of one caller to one partition, each awaited or
        issued in turn, stand in that order.
    G3  No record ever appears behind a reader: once position p was read, or `end` answered e > p, every position up to p is final.
    G4  Positions are contiguous: every position from begin to end - 1 holds exactly one record.
    G5  An envelope comes back identical: type, version, flags, claim, key, and the value byte for byte.
    G6  A failed append (`AppendFailed`) may have been written, or may still be: before or after the caller learns of it, even
        behind later appends, all of it or its first records, but once, and in an order that every reader sees alike. Nobody may
        guess: an owner resigns and claims again, and what it left behind is before the new claim or, bearing the old one, void.
        `RecordTooLarge`, `LogUnavailable` and `ValueError` mean that nothing was or will be written.
    G7  `stop` may be called at any time, without `start` and twice. Appends under way end as durable or as `LogError`, and readers
        that wait end with `LogUnavailable`: none hangs.

Cost: `append` is O(records) and shares its durable write with every append that waits at the same time; `read` is O(records read).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from libs.events import Envelope

MAX_VALUE_BYTES = 1_000_000  # a Kafka broker's usual limit of 1 MiB, less room for headers
MAX_VERSION = 32_767  # fits every adapter's header: two bytes, signed


class LogError(Exception):
    """Something about the log went wrong."""


class AppendFailed(LogError):
    """The append's outcome is unknown: the records may be in the log, or may come to be."""


class LogUnavailable(LogError):
    """The log cannot be reached or is stopped; nothing of this call was or will be written."""


class LogDamaged(LogError):
    """The log has not what it had: a gap, a wrong checksum, an end before what was read or written. Stop, do not guess."""


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
    """The port. Every wait has a bound; every method raises `LogUnavailable` when the log cannot be reached in time."""

    @property
    def position_reports(self) -> PositionReports | None:
        """Where readers report how far they are; None if the log has no tools that would show it."""

    async def start(self) -> None:
        """Connect, and check that the log is fit for use; raises `LogError` with one line that says what to do."""

    async def stop(self) -> None:
        """Flush what was taken, then let go of everything (G7)."""

    async def partitions(self) -> int:
        """Return how many partitions there are: their numbers are 0 to this - 1."""

    async def identity(self) -> str:
        """
        Return what tells this log from every other: tables that were folded from one are of no use with another.

        The same for every process and at every start; a log that was lost and made anew has another one.
        """

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        """
        Append *envelopes*, at least one, and return the position of the first (G1, G2).

        Raises:
            AppendFailed: the outcome is unknown (G6); a cancelled caller is in the same position.
            RecordTooLarge, LogUnavailable: nothing was written.
            ValueError: no such partition, or envelopes that no log can hold (`measure`); nothing was written.
        """

    async def read(self, partition: int, position: int, *, max_records: int = 500, wait_s: float = 0.0) -> list[Record]:
        """
        Return up to *max_records* records from *position* on (G3, G4, G5).

        At the end of the log it waits up to *wait_s* for the first new record, then returns what there is, perhaps nothing.

        Raises:
            LogDamaged: *position* lies before begin or beyond end: the reader's offset does not belong to this log.
            ValueError: no such partition, or *max_records* < 1.
        """

    async def begin(self, partition: int) -> int:
        """Return the position of the oldest record that can be read."""

    async def end(self, partition: int) -> int:
        """Return the first unwritten position, at least as new as every append that returned before this call (G3)."""

    async def trim(self, partition: int, before: int) -> None:
        """
        Forget the records before position *before*; positions of the others do not change. What is forgotten already stays so.

        Raises:
            LogError: *before* lies beyond end.
        """


def measure(envelopes: Sequence[Envelope]) -> int:
    """
    Return the bytes that *envelopes* take, having made sure that every log can hold them.

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
