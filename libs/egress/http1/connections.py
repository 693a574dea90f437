"""
Connections: all of one client that are open, and which of them wait.

A connection whose answer is complete waits WAIT_S at the most, and is then closed. There are two things it may wait for:

*The next call.* If the answer allows it (`exchange.py` says when), the next call of the same account to the same origin takes the
connection over. Another account never does. WAIT_S is shorter than the keep-alive of any usual server, so the peer seldom closes
just when we send. A connection serves for LIFE_S in all: a name that points elsewhere, or a new certificate, is followed by then.

*The peer.* If the answer does not allow it, we wait for the peer to close first. If we closed first, every call would leave one of
our ports in TIME_WAIT for a minute, and one busy target would use up all ports at about 470 calls a second.

Both are bounded in all by WAITING_LIMIT, and for each account by what is free (`FairShares`). An account beyond its share has its
connections closed at once: it pays with a handshake, and nobody else does.
"""

from __future__ import annotations

import asyncio
import select
import socket
from typing import Any, Final, cast

from libs.domain.fair_shares import FairShares
from libs.egress.http1.reading_turns import ReadingTurns
from libs.egress.tls import Origin, TlsSessions

WAIT_S: Final = 1.0
LIFE_S: Final = 5.0
WAITING_LIMIT: Final = 2048
UNREAD_BYTES: Final = 32_768
_CLOSED_OR_TALKING: Final = select.POLLIN | select.POLLPRI | select.POLLRDHUP


class Connection:
    """
    One open connection.

    Attributes:
        origin: whose it is, and where it leads.
        ends_at_s: the loop's time from which it takes no further call.
        is_first: it has had no complete answer yet.
        peer: address and port of the other side; None if it was gone as soon as it was there.
        is_here: the peer has the address that the connection leaves from: then it is this machine.
    """

    __slots__ = ("_poll", "ends_at_s", "is_first", "is_here", "origin", "peer", "transport")

    def __init__(self, transport: asyncio.Transport, origin: Origin, ends_at_s: float) -> None:
        self.transport = transport
        self.origin = origin
        self.ends_at_s = ends_at_s
        self.is_first = True
        # Asked once: they stay as they are, and every call needs them.
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.peer: tuple[str, int] | None = (peer[0], peer[1]) if peer else None
        self.is_here = bool(peer and own) and peer[0] == own[0]
        self._poll: select.poll | None = None  # made with the first question

    def is_quiet(self) -> bool:
        """
        Whether the peer has neither closed nor sent anything since the last answer.

        The kernel is asked: what the event loop has not read yet counts, else it would be taken for the next answer.
        """
        if self.transport.is_closing():
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.transport.get_extra_info("socket").fileno(), _CLOSED_OR_TALKING)
        return not self._poll.poll(0)


class Connections:
    """All connections of one client that are not closed yet. It closes those that wait for too long."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, float] = {}  # in the order of their deadlines
        self._idle: dict[Origin, dict[Connection, None]] = {}  # those that may be used again, the last used at the end
        self._shares = FairShares(WAITING_LIMIT)
        self.tls_sessions = TlsSessions()
        self.reading = ReadingTurns(loop)
        self._sweep: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def waiting_count(self) -> int:
        """How many wait: for a call, or for their peer to close."""
        return len(self._waiting)

    def opened(self, transport: asyncio.Transport, origin: Origin) -> Connection:
        """Return a new connection to *origin*."""
        # The kernel and TLS hold no more of an answer that we do not read on: it is the peer's choice how much it sends at once.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_BYTES)
        if origin[1].startswith("https"):
            cast(Any, transport).set_read_buffer_limits(high=UNREAD_BYTES)
        connection = Connection(transport, origin, self._loop.time() + LIFE_S)
        self._open.add(connection)
        return connection

    def closed(self, connection: Connection) -> None:
        """Note that *connection* is closed."""
        self._open.discard(connection)
        self._stop_waiting(connection)
        if not self._open:
            self._emptied.set()

    def wait(self, connection: Connection, *, is_reusable: bool) -> None:
        """
        Close *connection* in WAIT_S, or at once if too many wait; its answer is complete.

        Args:
            is_reusable: the next call to its origin may take it over until then.
        """
        account = connection.origin[0]
        now_s = self._loop.time()
        if connection.is_first:
            connection.is_first = False
            self.tls_sessions.note(connection.origin, connection.transport, now_s)
        if not self._shares.may_take(account):
            connection.transport.abort()
            return
        self._shares.take(account)
        self._waiting[connection] = now_s + WAIT_S
        if is_reusable and account and now_s < connection.ends_at_s:
            self._idle.setdefault(connection.origin, {})[connection] = None
        if self._sweep is None:
            self._sweep = self._loop.call_later(WAIT_S, self._close_overdue)

    def take(self, origin: Origin) -> Connection | None:
        """Return an open connection for the next call to *origin*, if there is one; it waits no more."""
        now_s = self._loop.time()
        while idle := self._idle.get(origin):
            connection = next(reversed(idle))
            self._stop_waiting(connection)
            if now_s < connection.ends_at_s and connection.is_quiet():
                return connection
            connection.transport.abort()
        return None

    def _stop_waiting(self, connection: Connection) -> None:
        if self._waiting.pop(connection, None) is None:
            return
        origin = connection.origin
        self._shares.give_back(origin[0])
        idle = self._idle.get(origin)
        if idle is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle[origin]

    def _close_overdue(self) -> None:
        self._sweep = None
        now_s = self._loop.time()
        for connection, deadline_s in list(self._waiting.items()):
            if deadline_s > now_s:
                self._sweep = self._loop.call_at(deadline_s, self._close_overdue)
                return
            self._stop_waiting(connection)
            connection.transport.abort()

    async def close(self, *, timeout_s: float) -> None:
        """Abort every connection, and wait until the event loop has closed them."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._emptied.clear()
        for connection in list(self._open):
            connection.transport.abort()
        if self._open:
            async with asyncio.timeout(timeout_s):
                await self._emptied.wait()
