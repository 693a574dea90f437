"""
Server: aiohttp's HTTP protocol, hardened, and the listening socket.

Theory of operation

aiohttp parses (llhttp, in C) and frames. This module adds four things to its `RequestHandler`, through its public parts alone:

    errors     if the parser refuses a request, or an exception escapes a handler, the answer has the contract's JSON shape
    silence    a connection must bring a complete header within `HEADER_READ_S` of its first byte (or of being opened), may be
               idle for `KEEP_ALIVE_S` between requests, and must take its answer within `WRITE_S`; reading a body has a bound of
               its own (request_body.py)
    limits     at most `connections_max` connections: one more gets a 503 and is closed. At most `RAW_MAX` bytes belong to one
               request, chunk framing and what follows a refusal included, because the parser skips chunk extensions of any length
    cost       no access log, no router, no Response objects; the Date header is made four times a second, not per answer

Each connection carries one number, its deadline. One task looks at all of them every `SWEEP_S`, so a deadline costs no timer.

Source: aiohttp 3.14 web_protocol.py and _http_parser.pyx.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any, Final, cast

import structlog
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web import BaseRequest, StreamResponse
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server as AiohttpServer

from libs.runtime.listening import dual_stack_socket
from services.api.contract.api_error import ApiError, unavailable
from services.api.http.reply import Reply, error_reply

HEADER_READ_S: Final = 5.0
KEEP_ALIVE_S: Final = 75.0  # a little longer than the 60 s that proxies usually have, so that they close first
WRITE_S: Final = 30.0
LINGER_S: Final = 2.0  # how long the rest of a refused body is read and dropped, so that the peer sees the answer
SWEEP_S: Final = 0.25
LINE_MAX: Final = 8190  # bytes of the request target
FIELD_MAX: Final = 8191  # bytes of one header; not LINE_MAX, so that the parser's error tells which was too long
HEADERS_MAX: Final = 128
RAW_MAX: Final = (
    64 * 1024 * 1024
)  # bytes; far above any body that is taken, so that senders of larger ones see their 413
BACKLOG: Final = 1024
CONNECTIONS_MIN: Final = 16

Handle = Callable[[BaseRequest], Awaitable[Reply]]

_log = structlog.get_logger("api")


class Connection(RequestHandler):
    """One connection: aiohttp's protocol with deadlines and JSON errors."""

    __slots__ = ("_drained", "_is_answered", "_latest", "_raw_bytes", "deadline", "owner")

    def __init__(self, owner: HttpServer, **options: Any) -> None:
        super().__init__(owner, **options)
        self.owner = owner
        self.deadline = math.inf
        self._latest: BaseRequest | None = None
        self._is_answered = False  # the latest request is
        self._raw_bytes = 0  # since the latest request began
        self._drained: asyncio.Future[None] | None = None

    @property
    def date_line(self) -> bytes:
        """The Date header's line."""
        return self.owner.date_line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away when there are too many."""
        if self.owner.is_full:
            self.transport = cast(asyncio.Transport, transport)
            self.transport.write(_TURNED_AWAY)
            self.force_close()
            return
        super().connection_made(transport)
        self.deadline = self.owner.loop.time() + HEADER_READ_S - SWEEP_S

    def data_received(self, data: bytes) -> None:
        """Parse *data*; if it begins a header, the rest of the header must come in time."""
        latest = self._latest
        is_between = latest is None or (self._is_answered and latest.content.is_eof())
        super().data_received(data)
        self._raw_bytes += len(data)
        if self._raw_bytes > RAW_MAX:
            self.force_close()
        elif is_between and self.deadline == math.inf:
            self.deadline = self.owner.loop.time() + HEADER_READ_S - SWEEP_S

    def begin(self, request: BaseRequest) -> None:
        """Note that the header of *request* is complete and its handler starts."""
        self._latest = request
        self._is_answered = False
        self._raw_bytes = 0
        self.deadline = math.inf

    def write(self, answer: bytes) -> None:
        """Write the *answer* to the latest request; raises ConnectionResetError if the peer is gone."""
        self._is_answered = True
        if self.transport is None:
            raise ConnectionResetError("the peer closed the connection")
        self.transport.write(answer)

    async def drain(self) -> None:
        """Wait until the peer took what was written. If that takes longer than `WRITE_S`, the sweep closes the connection."""
        self.deadline = self.owner.loop.time() + WRITE_S
        self._drained = self.owner.loop.create_future()
        await self._drained
        self.deadline = math.inf

    def resume_writing(self) -> None:
        """Let `drain` return."""
        super().resume_writing()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let `drain` fail."""
        super().connection_lost(exc)
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(ConnectionResetError("the peer closed the connection"))

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
        # A Reply has what aiohttp's connection asks of a response.
        return cast(StreamResponse, error_reply(error, is_last=True))


class HttpServer(AiohttpServer):
    """Makes the connections and keeps count of them."""

    def __init__(self, handle: Handle, *, connections_max: int, now_s: Callable[[], float]) -> None:
        """Serve every request with *handle*, which never raises; *now_s* is the wall clock for Date headers."""
        super().__init__(cast(Any, self._begin))
        self._handle = handle
        self._connections_max = connections_max
        self.loop = asyncio.get_running_loop()
        self._now_s = now_s
        self.date_line = b""
        self._sweeper: asyncio.Task[None] | None = None
        self._listener: asyncio.Server | None = None
        self._tick()

    @property
    def is_full(self) -> bool:
        """Whether no further connection is taken."""
        return len(self.connections) >= self._connections_max

    def __call__(self) -> RequestHandler:
        """Return the protocol for a new connection."""
        return Connection(
            self,
            loop=self.loop,
            keepalive_timeout=KEEP_ALIVE_S,
            access_log=None,
            max_line_size=LINE_MAX,
            max_field_size=FIELD_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=LINGER_S,
            auto_decompress=False,
        )

    async def listen(self, host: str, port: int) -> int:
        """Open the socket and return the port, which is the given one unless that was 0; raises OSError."""
        both = dual_stack_socket(host, port, backlog=BACKLOG)
        where: dict[str, Any] = {"host": host, "port": port} if both is None else {"sock": both}
        self._listener = await self.loop.create_server(self, backlog=BACKLOG, **where)
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="api-sweep")
        return int(self._listener.sockets[0].getsockname()[1])

    async def close(self, timeout_s: float) -> None:
        """Take no more connections, let requests under way end within *timeout_s*, close the rest; may be called twice."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self.pre_shutdown()
        await self.shutdown(timeout_s)
        if listener is not None:
            await listener.wait_closed()
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.cancel()
            await asyncio.gather(sweeper, return_exceptions=True)

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self._tick()

    def _tick(self) -> None:
        self.date_line = f"Date: {formatdate(self._now_s(), usegmt=True)}\r\n".encode()
        now = self.loop.time()
        for connection in self.connections:
            if cast(Connection, connection).deadline < now:
                connection.force_close()

    def _begin(self, request: BaseRequest) -> Awaitable[Reply]:
        cast(Connection, request.protocol).begin(request)
        return self._handle(request)


def connections_within(wanted: int, files_max: int) -> int:
    """
    Return how many of *wanted* connections a process may take that can open *files_max* files.

    Half of the files: the other half is for calls, the database and the log, which must go on if too many callers connect.
    """
    return min(wanted, max(files_max // 2, CONNECTIONS_MIN)) if files_max > 0 else wanted


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


def _turned_away() -> bytes:
    reply = error_reply(unavailable("too many connections"), is_last=True)
    retry_after = reply.headers["Retry-After"]
    head = f"HTTP/1.1 503 Service Unavailable\r\nRetry-After: {retry_after}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(reply.body)}\r\n\r\n"
    return head.encode() + reply.body


_TURNED_AWAY: Final = _turned_away()
