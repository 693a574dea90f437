"""
Reading turns: answers that are large, or come in small parts, are read in pieces, for two milliseconds in one round of the loop.

A kibibyte of an answer takes 5 µs if it is one chunk, 200 µs if it is made of the smallest chunks or headers, and 1.2 ms if each
byte is a TLS record. Seven hundred targets that answer with 256 KiB of these at one moment would keep the loop for half a minute.
So a protocol reads into a small buffer, and if this round's time is used up, a piece that fills much of it waits for its turn.
Accounts take turns (`FairQueue`); who has none stops reading, and the kernel stops the peer.

Cost: two readings of a clock for an answer; for one that waits, one callback of the loop in each round.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final

from libs.egress.fair_queue import FairQueue

PIECE_BYTES: Final = 8_192
TLS_PIECE_BYTES: Final = 512  # it is decrypted before its turn is asked for
SMALL_BYTES: Final = 1_024  # less is read at once; with TLS what does not fill its buffer
ROUND_S: Final = 0.002


class ReadInTurns(asyncio.BufferedProtocol):
    """
    A protocol that is read in pieces.

    Attributes:
        reads_from: its connection, while that is open.
        cost_s: what it took to get the piece that waits, and so what it will take to get the next one.
    """

    def __init__(self, turns: ReadingTurns, *, account: str, is_tls: bool) -> None:
        self.reads_from: asyncio.Transport | None = None
        self.cost_s = 0.0
        self._turns = turns
        self._account = account
        self._buffer = turns.tls_buffer if is_tls else turns.buffer
        self._small = TLS_PIECE_BYTES if is_tls else SMALL_BYTES
        self._unread = b""

    def read(self, piece: bytes) -> None:
        """Take a piece of what the peer sent."""
        raise NotImplementedError

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next piece is read into."""
        self._turns.began_s = perf_counter()
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take the piece that was read, now or when its turn has come."""
        piece, turns = bytes(self._buffer[:nbytes]), self._turns
        if nbytes < self._small or turns.is_free or self.reads_from is None:
            self.read(piece)
            turns.count(perf_counter() - turns.began_s)
        else:
            self._unread = piece
            self.cost_s = perf_counter() - turns.began_s
            self.reads_from.pause_reading()
            turns.wait(self, self._account)

    def go_on(self) -> None:
        """Take the piece that waited; the next one may come."""
        piece, self._unread = self._unread, b""
        if self.reads_from is None or self.reads_from.is_closing():
            self.cost_s = 0.0
            return
        self.reads_from.resume_reading()
        self.read(piece)


class ReadingTurns:
    """
    The time that reading took in this round, and the protocols that wait to read on.

    Attributes:
        buffer, tls_buffer: shared by all protocols: what is read into it is taken from it before anything else happens.
        began_s: when the piece that is read was begun.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.buffer = memoryview(bytearray(PIECE_BYTES))
        self.tls_buffer = self.buffer[:TLS_PIECE_BYTES]
        self.began_s = 0.0
        self._loop = loop
        self._queue: FairQueue[tuple[ReadInTurns, str]] = FairQueue(total=2, per_host=2)
        self._used_s = 0.0
        self._next: asyncio.Handle | None = None

    @property
    def is_free(self) -> bool:
        """Whether there is time left, and nobody waits."""
        return self._used_s < ROUND_S and not self._queue.waiting_count

    def count(self, took_s: float) -> None:
        """Count the time of a piece."""
        self._used_s += took_s
        if self._used_s >= ROUND_S and self._next is None:
            self._next = self._loop.call_soon(self._begin_round)

    def wait(self, protocol: ReadInTurns, account: str) -> None:
        """Have *protocol* go on when the turn of *account* has come."""
        self._queue.submit((protocol, account), account=account, host=account)
        if self._next is None:
            self._next = self._loop.call_soon(self._begin_round)

    def _begin_round(self) -> None:
        self._next = None
        self._used_s = 0.0
        while self._used_s < ROUND_S and (taken := self._queue.take()) is not None:
            protocol, account = taken
            self._queue.release(account=account, host=account)
            began_s = perf_counter()
            try:
                protocol.go_on()
            except Exception as error:  # noqa: BLE001 - the loop reports it, as it does where nobody waits
                self._loop.call_exception_handler({"message": "an answer could not be read", "exception": error})
            self._used_s += protocol.cost_s + perf_counter() - began_s
        if self._queue.waiting_count and self._next is None:
            self._next = self._loop.call_soon(self._begin_round)
