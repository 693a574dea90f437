"""
Exchange: one request and its answer on one connection.

Theory of operation
-------------------
An `Exchange` is the asyncio protocol of a connection while that carries its request: from the beginning on a new connection, or
after it took over one whose last answer is complete. It checks the peer's address, writes the whole request at once, and feeds the
answer to llhttp (the parser of Node.js, strict mode). The first of these events ends the exchange:

1. the answer is complete: by its length, by its last chunk, by having no body, or by the end of the connection where nothing else
   says where the body ends;
2. the peer closed before that: `incomplete_answer` with the status, or `connection_error` if the head was not complete;
3. the body passed BODY_LIMIT bytes, or with its chunk framing and trailers RAW_LIMIT: the status decides, marked truncated;
4. bytes that are not HTTP/1.x, or a head beyond HEAD_LIMIT bytes or HEADER_COUNT_LIMIT headers: `protocol_error`, with a detail;
5. the caller gave up (`abort`).

A head that llhttp refuses is read once more by `odd_heads.py`, which knows what real servers do.

The result is set exactly once. Nothing of the answer is kept but its status and six short headers, and what the request's keeper
gathers within its bound (libs/domain/responses), so a hostile body costs little memory, and nothing it echoes can reach a log line.

*What is used again.* After (1) the connection waits for the next call, if all of this is true: the answer was strict HTTP/1.1, said
where its body ends and nothing of `Connection: close`; nothing came behind it; the request was written whole; it was no HEAD, whose
answer some servers send with a body. Each exchange has a parser of its own, so nothing of one answer reaches the next. In all
other cases we wait for the peer to close (`connections.py`).

Cost: about 50 µs of CPU for a small call on loopback, over half of it in the kernel (docs/adr/0003).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools
import msgspec

from libs.domain.responses.answer_keeper import AnswerKeeper
from libs.egress.http1.connections import Connection, Connections
from libs.egress.http1.odd_heads import END, HeadRefused, strict
from libs.egress.http1.prompt_future import PromptFuture
from libs.egress.http1.reading_turns import ReadInTurns
from libs.egress.outcome import (
    CONNECTION_ERROR,
    DESTINATION_NOT_ALLOWED,
    INCOMPLETE_ANSWER,
    NO_SIGNALS,
    PROTOCOL_ERROR,
    SIGNAL_SIZES,
    SIGNALS,
    TIMEOUT,
    Signals,
)
from libs.egress.tls import Origin

HEAD_LIMIT = 64 * 1024  # bytes up to the end of the final head, informational answers (1xx) included
HEADER_COUNT_LIMIT = 1_000  # in one head; real servers send up to some hundred
BODY_LIMIT = 64 * 1024  # bytes of body read before we have seen enough
RAW_LIMIT = 256 * 1024  # bytes of anything: chunk extensions and trailers are neither head nor body, and may be endless
_FIRST_BYTE = ord("H")
_REUSED_VERSION = "1.1"
_VERSIONS = (_REUSED_VERSION, "1.0")


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """
    What came back.

    Args:
        status_code: None if no complete head arrived.
        error: how the exchange failed, also after its head; None if it did not.
        sent_at: None if nothing was sent.
        signals: headers that say what is to come (`SIGNALS`), by name; the first 64 bytes of each.
        error_detail: what was wrong with the answer, in a few words of ours or of the parser's.
        is_truncated: the answer passed a byte budget; its status decides.
    """

    status_code: int | None
    error: str | None
    sent_at: int | None
    signals: Signals = NO_SIGNALS
    error_detail: str | None = None
    is_truncated: bool = False


class Exchange(ReadInTurns):
    """One request and its answer; await `result` for a `Reply`."""

    def __init__(
        self,
        *,
        wire: bytes,
        is_head_request: bool,
        is_peer_allowed: Callable[[str, int, bool], bool],
        origin: Origin,
        connections: Connections,
        now: Callable[[], int],
        result: PromptFuture[Reply],
        keeper: AnswerKeeper | None = None,
        needs_list: Callable[..., bool] | None = None,
    ) -> None:
        """
        Write *wire* to a peer that *is_peer_allowed*(address, port, whether the address is this machine's own).

        Args:
            keeper: gathers what is kept of the answer.
            needs_list: `EgressPolicy.needs_list`; from such a peer nothing is kept, unless the keeper may.
        """
        super().__init__(connections.reading, account=origin[0], is_tls=origin[1].startswith("https"))
        self.result = result
        self._wire = wire
        self._is_head_request = is_head_request
        self._is_peer_allowed = is_peer_allowed
        self.origin = origin
        self._connections = connections
        self._now = now
        self._keeper = keeper
        self._needs_list = needs_list
        self._connection: Connection | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self.sent_at: int | None = None
        self.is_used = False  # there is a connection, and there must not be a second one
        self._status = 0
        self._is_head_complete = False
        self._has_end = False  # the head says where the body ends
        self._is_complete = False
        self._may_go_on = False  # the answer is complete, and the peer keeps the connection open
        self._is_odd = False  # the head is no strict HTTP/1.1: it is read again, by odd_heads.py
        self._head = bytearray()  # what arrived of a head that is not complete
        self._header_count = 0
        self._raw_bytes = 0
        self._body_bytes = 0
        self._signals: dict[bytes, str] = {}

    @property
    def is_unanswered(self) -> bool:
        """Whether the request was sent and nothing at all came back."""
        return self.sent_at is not None and self._raw_bytes == 0

    def failed(self, error: str) -> Reply:
        """Return the reply of an exchange that the caller ends with *error*; the status that was read is kept."""
        return self._reply(error=error)

    def time_out(self) -> None:
        """End the exchange with a timeout, unless it has ended."""
        if not self.result.done():
            self._finish(error=TIMEOUT)

    def abort(self) -> None:
        """Close the connection now. If there is no result yet, it becomes a connection error."""
        if self._connection is not None:
            self._connection.transport.abort()

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
        """Take the new connection, and send the request."""
        transport = cast(asyncio.Transport, transport)
        if self.is_used:
            transport.abort()  # a second connection for one exchange: never send twice
            return
        self._begin(self._connections.opened(transport, self.origin))

    def take_over(self, connection: Connection) -> None:
        """Send the request on *connection*, whose last answer is complete."""
        connection.transport.set_protocol(self)
        self._begin(connection)

    def _begin(self, connection: Connection) -> None:
        """Check the peer's address, then write the whole request."""
        self._connection = connection
        self.reads_from = connection.transport
        self.is_used = True
        peer, is_here = connection.peer, connection.is_here
        if self.result.done():  # the caller gave up just when the connection was made
            self.abort()
        elif peer is None or not self._is_peer_allowed(*peer, is_here):
            self._finish(error=DESTINATION_NOT_ALLOWED)
        else:
            keeper, needs_list = self._keeper, self._needs_list
            may_need_list = keeper is not None and not keeper.with_private
            if may_need_list and (needs_list is None or needs_list(*peer, is_here=is_here)):
                self._keeper = None
            self._parser = httptools.HttpResponseParser(self)
            self.sent_at = self._now()
            connection.transport.write(self._wire)
        self._wire = b""

    def read(self, piece: bytes) -> None:
        """Feed the parser; if the answer is complete, the call that waits for it goes on at once, and the next one may follow."""
        self._take_data(piece)
        self.result.wake()

    def _take_data(self, data: bytes) -> None:
        """Feed the parser, within the limits of bytes."""
        if self.result.done() or self._parser is None:
            # Bytes after a complete answer: the peer will not close first. In all other cases the connection was aborted before.
            self.abort()
            return
        if self._raw_bytes == 0 and data[0] != _FIRST_BYTE:
            # llhttp would also take RTSP, ICE and blank lines in front
            self._finish(error=PROTOCOL_ERROR, detail="the answer does not begin with HTTP/")
            return
        self._raw_bytes += len(data)
        if self._is_odd and not self._is_head_complete:
            self._read_odd_head(data)
        else:
            self._feed(data)
        if self._is_head_complete:
            self._head.clear()
            if self._raw_bytes > RAW_LIMIT:
                self._finish(is_truncated=True)
        elif self._raw_bytes > HEAD_LIMIT:
            self._finish(error=PROTOCOL_ERROR, detail=f"the head is larger than {HEAD_LIMIT >> 10} KiB")
        if self._is_complete:
            self._let_go()

    def _let_go(self) -> None:
        """Have the connection wait, for the next call or for its end; the answer is complete."""
        self._is_complete = False
        self._parser = None  # breaks the cycle between parser and protocol
        connection = self._connection
        if connection is not None and not connection.transport.is_closing():
            is_written = connection.transport.get_write_buffer_size() == 0
            self._connections.wait(connection, is_reusable=self._may_go_on and is_written)

    def _feed(self, data: bytes) -> None:
        """Give *data* to the parser; a head that it refuses is read again."""
        assert self._parser is not None  # noqa: S101 - there from `connection_made` on
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self._finish(error=PROTOCOL_ERROR)
            raise  # a fault of ours, not of the target: the loop's exception handler reports it
        except httptools.HttpParserUpgrade:
            self._finish(error=PROTOCOL_ERROR)  # harmless: the result of a 101 is set already
        except httptools.HttpParserError as error:
            # With the result set this is surplus behind a complete answer.
            if self._is_head_complete or self._is_odd or self.result.done():
                self._finish(error=PROTOCOL_ERROR, detail=str(error))
            else:
                self._read_odd_head(data)
        else:
            if not self._is_head_complete:
                self._head += data

    def _read_odd_head(self, data: bytes) -> None:
        """Read the head from its beginning once more, as soon as it is complete."""
        searched = max(0, len(self._head) - 3) if self._is_odd else 0
        self._head += data
        self._is_odd = True
        if END.search(self._head, searched) is None:
            return
        try:
            answer, rest = strict(bytes(self._head))
        except HeadRefused as refusal:
            self._finish(error=PROTOCOL_ERROR, detail=str(refusal))
            return
        self._head = bytearray(rest)
        if answer is None:
            return
        self._forget_head()
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True,
            lenient_optional_lf_after_cr=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._feed(answer)

    def eof_received(self) -> bool:
        """Let the transport close; `connection_lost` follows."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Set the result by what has arrived. A second call changes nothing."""
        if self._connection is not None:
            self._connections.closed(self._connection)
            self._connection = self.reads_from = None
        if self._is_head_complete:
            self._finish(error=INCOMPLETE_ANSWER if self._has_end or exc is not None else None)
        else:
            self._finish(error=CONNECTION_ERROR)
        self._parser = None  # breaks the cycle between parser and protocol

    # The parser's callbacks ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Note bytes behind a complete answer: what else will come on this connection?"""
        self._may_go_on = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the few headers that matter."""
        if self.result.done():
            return  # the rest of a piece that was too much
        self._header_count += 1
        if self._header_count > HEADER_COUNT_LIMIT:
            self._finish(error=PROTOCOL_ERROR, detail=f"the head has more than {HEADER_COUNT_LIMIT:,} headers")
        if self._is_head_complete:
            return  # a trailer
        size = len(name)
        if size in SIGNAL_SIZES and (lower := name.lower()) in SIGNALS:
            self._signals[lower] = value[:64].decode("latin-1")
        elif (size == 14 and name.lower() == b"content-length") or (
            size == 17 and name.lower() == b"transfer-encoding"
        ):
            self._has_end = True
        if self._keeper is not None:
            self._keeper.header(name, value)

    def on_headers_complete(self) -> None:
        """Note the status. Answers to HEAD and protocol switches have no body."""
        parser = self._parser
        if parser is None:
            return
        status = parser.get_status_code()
        if 102 <= status <= 199 or status == 100:
            self._forget_head()
            return  # informational: the final answer follows
        if not 100 <= status <= 999 or parser.get_http_version() not in _VERSIONS:
            self._finish(error=PROTOCOL_ERROR, detail="the status line is not one of HTTP/1.x")
            return
        self._status = status
        self._is_head_complete = True
        if self._keeper is not None and not self._keeper.wants(status):
            self._keeper = None
        if self._is_head_request:
            self._finish(is_complete=True)
        elif status == 101:
            self._finish()

    def _forget_head(self) -> None:
        """Let go of a head: another one follows, or the same is read again."""
        self._header_count = 0
        self._signals = {}
        self._has_end = False
        if self._keeper is not None:
            self._keeper.forget_head()

    def on_body(self, body: bytes) -> None:
        """Count the bytes, and stop at the limit."""
        if self._keeper is not None and not self.result.done():
            self._keeper.body(body[: BODY_LIMIT - self._body_bytes])
        self._body_bytes += len(body)
        if self._body_bytes > BODY_LIMIT:
            self._finish(is_truncated=True)

    def on_message_complete(self) -> None:
        """Finish, unless this was an informational answer."""
        parser = self._parser
        if parser is not None and self._is_head_complete and not self.result.done():
            self._may_go_on = (
                parser.should_keep_alive() and parser.get_http_version() == _REUSED_VERSION and not self._is_odd
            )
            self._finish(is_complete=True)

    def _finish(
        self,
        *,
        error: str | None = None,
        detail: str | None = None,
        is_truncated: bool = False,
        is_complete: bool = False,
    ) -> None:
        """Set the result if it is still open, and let go of the connection."""
        if not self.result.done():
            self.result.set_result(self._reply(error=error, detail=detail, is_truncated=is_truncated))
        if is_complete:
            self._is_complete = True  # what stands behind it in the same packet is read before the connection is let go
        else:
            self._is_complete = False
            self.abort()

    def _reply(self, *, error: str | None, detail: str | None = None, is_truncated: bool = False) -> Reply:
        if self._keeper is not None:
            self._keeper.end(is_whole=error is None and not is_truncated)
        return Reply(
            status_code=self._status if self._is_head_complete else None,
            error=error,
            sent_at=self.sent_at,
            signals=self._signals if self._is_head_complete else NO_SIGNALS,
            error_detail=detail,
            is_truncated=is_truncated,
        )
