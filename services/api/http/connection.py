"""
Connection: aiohttp's protocol of one connection, with deadlines, a share in the budget, and errors as JSON.

aiohttp parses (llhttp, in C) and frames. `Connection` adds to its `RequestHandler`, through its public parts alone:

    errors     if the parser refuses a request, or an exception escapes a handler, the answer has the contract's JSON shape
    silence    a connection must bring a complete header within `HEADER_READ_S` of its first byte (or of being opened), may be
               idle for `keep_alive_s` between requests, and must take its answer within `WRITE_S`; reading a body has a bound of
               its own (request_body.py)
    again      a request whose head came before is answered without aiohttp (known_head.py). What comes behind it waits until then
    limits     what it holds counts in the server's budget (connection_budget.py). At most `RAW_MAX` bytes belong to one request,
               chunk framing and what follows a refusal included, because the parser skips chunk extensions of any length

Source: aiohttp 3.14 web_protocol.py and _http_parser.pyx.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web import BaseRequest, StreamResponse
from aiohttp.web_protocol import RequestHandler

from services.api.contract.api_error import ApiError, unavailable
from services.api.http.known_head import DATA_MAX, KnownHead, Request, known_head
from services.api.http.reply import error_reply

if TYPE_CHECKING:
    from services.api.http.server import HttpServer

HEADER_READ_S: Final = 5.0
WRITE_S: Final = 30.0
SWEEP_S: Final = 0.25
LINE_MAX: Final = 8190  # bytes of the request target
FIELD_MAX: Final = 8191  # bytes of one header; not LINE_MAX, so that the parser's error tells which was too long
HEADERS_MAX: Final = 128
FIRST_BYTES: Final = 16_384  # parsed at once of what begins a request
RAW_MAX: Final = (
    64 * 1024 * 1024
)  # bytes; far above any body that is taken, so that senders of larger ones see their 413

_log = structlog.get_logger("api")


class Connection(RequestHandler):
    """One connection: aiohttp's protocol with deadlines and JSON errors."""

    __slots__ = (
        "_answering",
        "_behind",
        "_drained",
        "_first",
        "_is_answered",
        "_is_closing",
        "_is_parsed",
        "_is_refused",
        "_is_resting",
        "_known",
        "_latest",
        "_pipe",
        "_raw_bytes",
        "_unread",
        "account",
        "address",
        "counted_as",
        "deadline",
        "on_lost",
        "owner",
        "turn",
    )

    def __init__(self, owner: HttpServer, **options: Any) -> None:
        super().__init__(owner, **options)
        self.owner = owner
        self.deadline = math.inf
        self._latest: BaseRequest | None = None
        self._is_answered = False  # the latest request is
        self._raw_bytes = 0  # since the latest request began
        self._drained: asyncio.Future[None] | None = None
        self._pipe: asyncio.Transport | None = None  # the transport, also once aiohttp has let go of it
        self._known: KnownHead | None = None
        self._is_parsed = True  # all that came belongs to requests that were whole: the next byte begins another
        self._first: bytes | None = None  # what came of a request that is to begin, if it came at such a place
        self._answering: asyncio.Task[None] | None = None  # a request whose head was known
        self._behind = b""  # came meanwhile
        self._unread = b""  # is parsed in the next round
        self._is_refused = False  # by the parser
        self._is_resting = False  # `deadline` is the end of the time that it may be idle
        self._is_closing = False
        self.address: str | None = None
        self.counted_as: str | None = None
        self.account = ""  # of the latest request; its address until that is known
        self.turn: asyncio.Future[None] | None = None  # that its work waits for
        self.on_lost: Callable[[], None] | None = None  # of an answer that does not end

    @property
    def date_line(self) -> bytes:
        """The Date header's line."""
        return self.owner.date_line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away when there are too many."""
        self._pipe = pipe = cast(asyncio.Transport, transport)
        if not self.owner.budget.take(self, pipe.get_extra_info("peername")):
            self.transport = pipe
            pipe.write(_TURNED_AWAY)
            self.force_close()
            return
        super().connection_made(transport)
        pipe.set_write_buffer_limits(high=0)  # every byte that the peer does not read shows in `writing_paused`
        self.deadline = self.owner.loop.time() + HEADER_READ_S - SWEEP_S

    def data_received(self, data: bytes) -> None:
        """Parse *data*; if it begins a header, the rest of the header must come in time."""
        if self._answering is not None:
            self._keep_behind(data)
            return
        latest, budget = self._latest, self.owner.budget
        if self._is_answered and self._raw_bytes > FIRST_BYTES and latest is not None and _is_open_ended(latest):
            return  # nothing more that comes of it is parsed; the connection is closed when it has lingered
        is_between = latest is None or (self._is_answered and latest.content.is_eof())
        if data:
            at_a_beginning = is_between and self._is_parsed
            known = self._known
            if at_a_beginning and known is not None and known.is_head_of(data) and not self._is_closing:
                self._begin_again(known.with_body(data), len(data))
                return
            self._first = data if at_a_beginning and len(data) <= DATA_MAX else None
            self._is_parsed = False
            if is_between and len(data) > FIRST_BYTES:
                data = self._first_part(data)
        super().data_received(data)
        if self._unread and data:
            self.owner.loop.call_soon(
                self._take_rest
            )  # behind what aiohttp does with a request that is complete or refused
        if not data:
            return  # aiohttp goes on with what it had already
        self._raw_bytes += len(data)
        if self._raw_bytes > RAW_MAX:
            self.force_close()
            return
        if is_between:
            budget.busy(self)
            if self.deadline == math.inf or self._is_resting:
                self._is_resting = False
                self.deadline = self.owner.loop.time() + HEADER_READ_S - SWEEP_S
        elif self._is_answered:
            return  # the rest of a refused body is dropped
        budget.received.add(self, len(data))
        if not is_between and latest is not None and latest.content.is_eof():
            budget.received.settle(self)

    def _first_part(self, data: bytes) -> bytes:
        """
        Return the part of *data*, which begins a request, that is parsed now; keep the rest for the next round.

        In between the parser's refusal is noted. It would refuse the rest once more, and aiohttp would hold it with the error.
        """
        assert self._pipe is not None  # noqa: S101 - it is open
        self._pipe.pause_reading()
        self._unread = data[FIRST_BYTES:]
        return data[:FIRST_BYTES]

    def _take_rest(self) -> None:
        data, self._unread = self._unread, b""
        if self._pipe is not None and not self._pipe.is_closing() and not self._is_refused:
            self._pipe.resume_reading()
            self.data_received(data)

    def _begin_again(self, request: Request, size: int) -> None:
        """Answer *request*, of *size* bytes, whose head is known."""
        self.owner.budget.received.add(self, size)
        if self.transport is None:
            return  # there was no room for it
        self.begin(request)
        self._answering = self.owner.loop.create_task(self._answer(request), name="api-request")

    async def _answer(self, request: Request) -> None:
        keep_alive = False
        try:
            reply = await self.owner.handle(request)
            await reply.prepare(request)
            keep_alive = reply.keep_alive and not self._is_closing
        except ConnectionError:
            return  # the peer is gone
        except Exception:  # noqa: BLE001 - as aiohttp does with a defect behind a handler
            _log.exception("request_crashed")
        finally:
            self._answering = None
            if not keep_alive:
                self.force_close()
        if keep_alive:
            self._rest()

    def _rest(self) -> None:
        """Wait for the next request, or go on with what came of it."""
        self.keep_alive(False)  # aiohttp's own clock, which knows nothing of this request
        self._is_resting = True
        self.deadline = self.owner.loop.time() + self.owner.keep_alive_s
        behind, self._behind = self._behind, b""
        if behind and self._pipe is not None:
            self.data_received(behind)
            self._pipe.resume_reading()

    def _keep_behind(self, data: bytes) -> None:
        if data and self._pipe is not None:
            self._pipe.pause_reading()  # so that no more than was read at once is kept
            self._behind += data

    def close(self) -> None:
        """Begin no more requests."""
        self._is_closing = True
        super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Let the request under way end within *timeout* seconds, then close."""
        if self._answering is not None:
            await asyncio.wait([self._answering], timeout=timeout)
        if self._answering is not None:
            self._answering.cancel()
        await super().shutdown(timeout)

    def begin(self, request: BaseRequest) -> None:
        """Note that the header of *request* is complete and its handler starts."""
        first, self._first = self._first, None
        if first is not None and isinstance(request, Request) and request.content.is_eof():
            self._known = known_head(first, request)
            self._is_parsed = self._known is not None
        self._is_resting = False
        self._latest = request
        self.account = self.address or ""
        self._is_answered = False
        self._raw_bytes = 0
        self.deadline = math.inf
        self.owner.budget.busy(self)
        if request.content.is_eof():
            self.owner.budget.received.settle(self)

    async def pause(self) -> None:
        """End a piece of work for the latest request, and wait for the turn of the next one (loop_time.py)."""
        await self.owner.loop_time.pause(self)

    def write(self, answer: bytes) -> None:
        """Write the *answer* to the latest request; raises ConnectionResetError if the peer is gone."""
        self._is_answered = True
        budget = self.owner.budget
        budget.received.free(self)
        if self.transport is None:
            raise ConnectionResetError("the peer closed the connection")
        self.transport.write(answer)
        if not self.writing_paused:
            budget.idle(self)

    def cut_off(self) -> None:
        """Close the connection now and drop what the peer has not read; a request that is not answered yet gets a 503."""
        if self._latest is not None and not self._is_answered and self.transport is not None:
            self._is_answered = True
            self.transport.write(_CUT_OFF)
        self._drop_body()
        self.force_close()
        if self._pipe is not None:
            self._pipe.abort()

    def _drop_body(self) -> None:
        """Let go of what came of a body and was not read: whatever holds the request holds it until garbage is collected."""
        if self._latest is not None and self._latest.content.exception() is None:
            with contextlib.suppress(RuntimeError):  # a reader waits, so there is nothing
                self._latest.content.read_nowait()

    async def drain(self) -> None:
        """Wait until the peer took what was written. If that takes longer than `WRITE_S`, the sweep closes the connection."""
        if self.transport is None:
            raise ConnectionResetError("the peer closed the connection")
        self.deadline = self.owner.loop.time() + WRITE_S
        self._drained = self.owner.loop.create_future()
        budget = self.owner.budget
        budget.unread.add(self, self.transport.get_write_buffer_size())
        try:
            await self._drained
        finally:
            self._drained = None
            budget.unread.free(self)
        self.deadline = math.inf
        budget.idle(self)

    def resume_writing(self) -> None:
        """Let `drain` return."""
        super().resume_writing()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let `drain` fail; hold on to nothing, since the transport holds on to this connection until garbage is collected."""
        self.owner.budget.lost(self)
        self._drop_body()
        self._pipe = self._latest = self._known = self._first = None
        self._behind = self._unread = b""
        super().connection_lost(exc)
        if self.turn is not None and not self.turn.done():  # what it holds of a body is given back at once
            self.turn.set_exception(ConnectionResetError("the connection was closed"))
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(ConnectionResetError("the peer closed the connection"))
        if self.on_lost is not None:
            self.on_lost()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Return the answer to a request that the parser refused, or to a defect of ours; the connection is closed behind it."""
        if status >= 500:
            _log.error("request_crashed", exc_info=exc)
            error = ApiError(500, "internal_error", "something went wrong on our end")
        else:
            error = _protocol_error(exc)
            self._is_refused = True
            if exc is not None:
                exc.__traceback__ = None  # its frames hold all that came at once, until garbage is collected
        # A Reply has what aiohttp's connection asks of a response.
        return cast(StreamResponse, error_reply(error, is_last=True))


def _is_open_ended(request: BaseRequest) -> bool:
    """Whether there is more to come of a body, and nobody knows how much."""
    return "Transfer-Encoding" in request.headers and not request.content.is_eof()


def _protocol_error(error: BaseException | None) -> ApiError:
    if isinstance(error, LineTooLong):
        if error.args[1] == LINE_MAX:
            return ApiError(414, "uri_too_long", f"the request target is longer than {LINE_MAX:,} bytes")
        return ApiError(431, "headers_too_large", f"a header is longer than {FIELD_MAX:,} bytes")
    text = str(getattr(error, "message", ""))
    if text.startswith("Too many headers"):
        return ApiError(431, "headers_too_large", f"more than {HEADERS_MAX} headers")
    # Only the first line: the rest of the parser's message quotes the request, secrets included.
    reason = text.split("\n", 1)[0].split(":", 1)[0][:100].strip()
    return ApiError(
        400, "invalid_request", f"not a valid HTTP request: {reason}" if reason else "not a valid HTTP request"
    )


def _turned_away(message: str) -> bytes:
    reply = error_reply(unavailable(message), is_last=True)
    retry_after = reply.headers["Retry-After"]
    head = f"HTTP/1.1 503 Service Unavailable\r\nRetry-After: {retry_after}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(reply.body)}\r\n\r\n"
    return head.encode() + reply.body


_TURNED_AWAY: Final = _turned_away("too many connections")
_CUT_OFF: Final = _turned_away("too many requests are under way whose bodies are not complete, try again")
