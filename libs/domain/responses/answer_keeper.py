"""
Answer keeper: gathers of one answer what may be kept, while it is read.

It holds at most `bytes_max` bytes of the body and `HEADERS_MAX` of the head, whatever the target sends. Of an answer whose status
says that nothing is to be kept it holds nothing.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, NamedTuple

HEADERS_MAX: Final = 1_024  # bytes of names and values
VALUE_MAX: Final = 512  # bytes of one value; the rest is left out


class RawAnswer(NamedTuple):
    """
    What was gathered.

    Args:
        headers: names in lower case, in the order in which they came.
        head: the first bytes of the body.
        tail: its last bytes, as far as it was read; none of those in *head*.
        length: how many bytes of it were read; more than *head* and *tail* together if bytes between them are missing.
        sha256: of all that was read, in hex.
        is_whole: all of the body was read.
    """

    headers: tuple[tuple[str, str], ...]
    head: bytes
    tail: bytes
    length: int
    sha256: str
    is_whole: bool

    @property
    def is_cut(self) -> bool:
        """Whether bytes between head and tail are missing."""
        return self.length > len(self.head) + len(self.tail)


class AnswerKeeper:
    """Told of one answer in the order in which it comes; an informational answer before it is forgotten."""

    __slots__ = (
        *("_half", "_hash", "_head", "_header_bytes", "_headers", "_keeps", "_length", "_tail", "_wants"),
        *("answer", "with_private"),
    )

    def __init__(
        self,
        *,
        bytes_max: int,
        keeps_header: Callable[[str], bool],
        wants_status: Callable[[int], bool],
        with_private: bool = False,
    ) -> None:
        """
        Gather nothing yet.

        Args:
            wants_status: says by its status whether an answer is gathered at all.
            with_private: an answer is gathered also if the peer may be called only because the operator allows it.
        """
        self.with_private = with_private
        self._half = bytes_max // 2
        self._keeps = keeps_header
        self._wants = wants_status
        self._headers: list[tuple[str, str]] = []
        self._header_bytes = 0
        self._head = bytearray()
        self._tail = b""
        self._length = 0
        self._hash: Any = None
        self.answer: RawAnswer | None = None  # once it has ended

    def header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        if self._header_bytes + len(name) >= HEADERS_MAX:
            return
        lower = name.decode("latin-1").lower()
        if self._keeps(lower):
            text = value[: min(VALUE_MAX, HEADERS_MAX - self._header_bytes - len(name))].decode("latin-1")
            self._headers.append((lower, text))
            self._header_bytes += len(name) + len(text)

    def forget_head(self) -> None:
        """Let go of the head: another one follows."""
        self._headers.clear()
        self._header_bytes = 0

    def wants(self, status: int) -> bool:
        """Say whether the answer with *status*, whose head is complete, is gathered; if not, hold nothing of it."""
        if self._wants(status):
            self._hash = sha256()
            return True
        self.forget_head()
        return False

    def body(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        assert self._hash is not None  # noqa: S101 - it was asked whether the answer is gathered
        self._length += len(data)
        self._hash.update(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data and self._half:
            self._tail = (self._tail + data)[-self._half :]

    def end(self, *, is_whole: bool) -> None:
        """Note that the answer has ended, or is not read any further. A second call changes nothing."""
        if self._hash is None or self.answer is not None:
            return
        self.answer = RawAnswer(
            tuple(self._headers), bytes(self._head), self._tail, self._length, self._hash.hexdigest(), is_whole
        )
