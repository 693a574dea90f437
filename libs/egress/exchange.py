"""
Exchange: one request and its answer on one connection.

Theory of operation
-------------------
An `Exchange` is the asyncio protocol of one new connection. It checks the peer's address, writes the whole request at once, and
feeds the answer to llhttp (the parser of Node.js, strict mode). The first of these events ends the exchange:

1. The answer is complete: by its length, by its last chunk, or because it has no body.
2. The peer closed. Before the head was complete, this is a connection error. After the head, the status is the result; the reply is
   marked truncated unless the end of the connection was to be the end of the body.
3. The body is longer than BODY_LIMIT bytes, or RAW_LIMIT bytes with chunk framing and trailers. The status is the result, and the
   reply is marked truncated.
4. The bytes are not HTTP/1.x, or the head has more than HEAD_LIMIT bytes or HEADER_COUNT_LIMIT headers: a protocol error.
5. The caller gave up (`abort`).

The result is set exactly once. Only the status and `Retry-After` of the answer are kept. So a hostile body costs at most one read
buffer of memory, and nothing in it can reach a log.

*Lingering.* After (1) we wait for the peer to close first, as `Connection: close` asked it to. If we closed first, every call would
leave one of our ports in TIME_WAIT for a minute, and one busy target would use up all ports at about 470 calls a second.
`OpenExchanges` bounds the number of connections that linger, and their time.

Cost: about 50 µs of CPU for a small call on loopback, over half of it in the kernel (docs/adr/0003).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools
import msgspec

from libs.egress.outcome import CONNECTION_ERROR, DESTINATION_NOT_ALLOWED, PROTOCOL_ERROR

HEAD_LIMIT = 64 * 1024  # bytes up to the end of the final head, informational answers (1xx) included
HEADER_COUNT_LIMIT = 128  # in one head
BODY_LIMIT = 64 * 1024  # bytes of body, then the rest is not read
RAW_LIMIT = (
    256 * 1024
)  # bytes of all kinds: chunk extensions and trailers are neither head nor body, and may be endless
LINGER_S = 1.0  # how long a finished connection may wait for the peer to close first
LINGER_LIMIT = 1024  # finished connections that may wait at the same time
_FIRST_BYTE = ord("H")
_VERSIONS = ("1.1", "1.0")


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: a status or an error, never both. `sent_at` is None if nothing was sent."""

    status_code: int | None
    error: str | None
    retry_after: str | None
    sent_at: int | None
    is_truncated: bool


class OpenExchanges:
    """All connections of one client that are not closed yet. It closes those that linger for too long."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: set[Exchange] = set()
        self._lingering: dict[Exchange, float] = {}  # in the order of their deadlines
        self._sweep: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, exchange: Exchange) -> None:
        """Note that *exchange* has a connection."""
        self._open.add(exchange)

    def closed(self, exchange: Exchange) -> None:
        """Note that the connection of *exchange* is closed."""
        self._open.discard(exchange)
        self._lingering.pop(exchange, None)
        if not self._open:
            self._emptied.set()

    def linger(self, exchange: Exchange) -> None:
        """Close *exchange* if its peer has not closed within LINGER_S. If too many linger, close it at once."""
        if len(self._lingering) >= LINGER_LIMIT:
            exchange.abort()
            return
        self._lingering[exchange] = self._loop.time() + LINGER_S
        if self._sweep is None:
            self._sweep = self._loop.call_later(LINGER_S, self._close_overdue)

    def _close_overdue(self) -> None:
        self._sweep = None
        now = self._loop.time()
        for exchange, deadline in list(self._lingering.items()):
            if deadline > now:
                self._sweep = self._loop.call_at(deadline, self._close_overdue)
                return
            del self._lingering[exchange]
            exchange.abort()

    async def close(self, *, timeout_s: float) -> None:
        """Abort every connection, and wait until the event loop has closed them."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._emptied.clear()
        for exchange in list(self._open):
            exchange.abort()
        if self._open:
            async with asyncio.timeout(timeout_s):
                await self._emptied.wait()


class Exchange(asyncio.Protocol):
    """One request and its answer; await `result` for a `Reply`."""

    __slots__ = (
        "_body_bytes",
        "_has_end",
        "_header_count",
        "_is_head_complete",
        "_is_head_request",
        "_is_peer_allowed",
        "_now",
        "_open",
        "_parser",
        "_raw_bytes",
        "_retry_after",
        "_status",
        "_transport",
        "_wire",
        "is_used",
        "result",
        "sent_at",
    )

    def __init__(
        self,
        *,
        wire: bytes,
        is_head_request: bool,
        is_peer_allowed: Callable[[str, int], bool],
        open_exchanges: OpenExchanges,
        now: Callable[[], int],
        result: asyncio.Future[Reply],
    ) -> None:
        self.result = result
        self._wire = wire
        self._is_head_request = is_head_request
        self._is_peer_allowed = is_peer_allowed
        self._open = open_exchanges
        self._now = now
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self.sent_at: int | None = None
        self.is_used = False  # a connection was made, and there must not be a second one
        self._status = 0
        self._is_head_complete = False
        self._has_end = False  # the head tells where the body ends
        self._header_count = 0
        self._raw_bytes = 0
        self._body_bytes = 0
        self._retry_after: str | None = None

    def abort(self) -> None:
        """Close the connection now. If there is no result yet, it becomes a connection error."""
        if self._transport is not None:
            self._transport.abort()

    def connect_failed(self) -> None:
        """
        Forget a connection if making it raised or was cancelled.

        The event loop closes it. But if the cancellation comes just after `connection_made`, uvloop does not call
        `connection_lost`, and the exchange would count as open for ever.
        """
        if self.is_used:
            self.abort()
            self.connection_lost(None)

    # The connection ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Check the peer's address, then write the whole request."""
        if self.is_used:
            cast(asyncio.Transport, transport).abort()  # a second connection for one exchange: never send twice
            return
        self._transport = cast(asyncio.Transport, transport)
        self.is_used = True
        self._open.opened(self)
        peer = transport.get_extra_info("peername")
        if self.result.done():  # the caller gave up just when the connection was made
            self.abort()
        elif not peer or not self._is_peer_allowed(peer[0], peer[1]):
            self._finish(error=DESTINATION_NOT_ALLOWED)
        else:
            self._parser = httptools.HttpResponseParser(self)
            self.sent_at = self._now()
            self._transport.write(self._wire)
        self._wire = b""

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within the limits of bytes."""
        if self.result.done() or self._parser is None:
            # Bytes after a complete answer: the peer will not close first. In all other cases the connection was aborted before.
            self.abort()
            return
        if self._raw_bytes == 0 and data[0] != _FIRST_BYTE:
            self._finish(error=PROTOCOL_ERROR)  # llhttp would also accept RTSP, ICE and leading blank lines
            return
        self._raw_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self._finish(error=PROTOCOL_ERROR)
            raise  # our own defect, not the target's: the event loop's exception handler reports it
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # If the result is set already, these are bytes after a complete answer, or after a 101.
            self._finish(error=PROTOCOL_ERROR)
        if self._raw_bytes > HEAD_LIMIT and not self._is_head_complete:
            self._finish(error=PROTOCOL_ERROR)
        elif self._raw_bytes > RAW_LIMIT:
            self._finish(is_truncated=True)

    def eof_received(self) -> bool:
        """Let the transport close; `connection_lost` follows."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Set the result by what has arrived. A second call changes nothing."""
        self._open.closed(self)
        self._transport = None
        if self._is_head_complete:
            self._finish(is_truncated=self._has_end or exc is not None)
        else:
            self._finish(error=CONNECTION_ERROR)
        self._parser = None  # breaks the cycle between parser and protocol

    # The parser's callbacks ----------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the three headers that matter."""
        self._header_count += 1
        if self._header_count > HEADER_COUNT_LIMIT:
            self._finish(error=PROTOCOL_ERROR)
        if self._is_head_complete:
            return  # a trailer
        size = len(name)
        if size == 11 and name.lower() == b"retry-after":
            self._retry_after = value[:64].decode("latin-1")
        elif (size == 14 and name.lower() == b"content-length") or (
            size == 17 and name.lower() == b"transfer-encoding"
        ):
            self._has_end = True

    def on_headers_complete(self) -> None:
        """Note the status. Answers to HEAD and protocol switches have no body."""
        parser = self._parser
        if parser is None:
            return
        status = parser.get_status_code()
        if 102 <= status <= 199 or status == 100:
            self._header_count = 0
            self._retry_after = None
            self._has_end = False
            return  # informational: the final answer follows
        if not 100 <= status <= 999 or parser.get_http_version() not in _VERSIONS:
            self._finish(error=PROTOCOL_ERROR)
            return
        self._status = status
        self._is_head_complete = True
        if self._is_head_request:
            self._finish(is_complete=True)
        elif status == 101:
            self._finish()

    def on_body(self, body: bytes) -> None:
        """Count the bytes, and stop at the limit."""
        self._body_bytes += len(body)
        if self._body_bytes > BODY_LIMIT:
            self._finish(is_truncated=True)

    def on_message_complete(self) -> None:
        """Finish, unless this was an informational answer."""
        if self._is_head_complete and not self.result.done():
            self._finish(is_complete=True)

    def _finish(self, *, error: str | None = None, is_truncated: bool = False, is_complete: bool = False) -> None:
        """Set the result unless it is set, and close the connection or let it linger."""
        if not self.result.done():
            self.result.set_result(
                Reply(
                    status_code=self._status if error is None else None,
                    error=error,
                    retry_after=self._retry_after if error is None else None,
                    sent_at=self.sent_at,
                    is_truncated=is_truncated,
                )
            )
        if is_complete:
            self._open.linger(self)
        else:
            self.abort()
