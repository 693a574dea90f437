"""
Server: the listening socket, its connections, and the one task that looks at all of them.

    cost       a head that came before is not parsed (known_head.py); no access log, no router, no Response objects; the Date
               header is made four times a second, not per answer

Each connection carries one number, its deadline. The task looks at all of them every `SWEEP_S`, so a deadline costs no timer. While
there are no connections it sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any, Final, cast

from aiohttp.web import BaseRequest
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server as AiohttpServer

from libs.runtime.listening import Listener, listening_sockets
from services.api.http.connection import FIELD_MAX, HEADERS_MAX, LINE_MAX, SWEEP_S, Connection
from services.api.http.connection_budget import ConnectionBudget
from services.api.http.known_head import Request
from services.api.http.loop_time import LoopTime
from services.api.http.reply import Reply

KEEP_ALIVE_S: Final = 75.0  # a little longer than the 60 s that proxies usually have, so that they close first
LINGER_S: Final = 2.0  # how long the rest of a refused body is read and dropped, so that the peer sees the answer
READ_BYTES: Final = 2_048  # of a body; twice as many, or 128 chunks (0.3 ms), are parsed until somebody reads them
BACKLOG: Final = 1024
CONNECTIONS_MIN: Final = 16

Handle = Callable[[BaseRequest], Awaitable[Reply]]


class HttpServer(AiohttpServer):
    """Makes the connections and keeps count of them."""

    def __init__(self, handle: Handle, *, budget: ConnectionBudget, now_s: Callable[[], float]) -> None:
        """Serve every request with *handle*, which never raises; *now_s* is the wall clock for Date headers."""
        super().__init__(cast(Any, self._begin), request_factory=cast(Any, self._request))
        self.handle = handle
        self.keep_alive_s = KEEP_ALIVE_S
        self.budget = budget
        self.loop = asyncio.get_running_loop()
        self.loop_time = LoopTime()
        self._now_s = now_s
        self.date_line = b""
        self._sweeper: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self._has_some = asyncio.Event()
        self._tick()

    def __call__(self) -> RequestHandler:
        """Return the protocol for a new connection."""
        return Connection(
            self,
            loop=self.loop,
            keepalive_timeout=self.keep_alive_s,
            access_log=None,
            max_line_size=LINE_MAX,
            max_field_size=FIELD_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=LINGER_S,
            read_bufsize=READ_BYTES,
            auto_decompress=False,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Note a connection; the first of several finds the time as it is now."""
        super().connection_made(handler, transport)
        if not self._has_some.is_set():
            self._tick()
            self._has_some.set()

    async def listen(self, host: str, port: int) -> int:
        """Open the socket and return the port, which is the given one unless that was 0; raises OSError."""
        self._listener = Listener(await listening_sockets(host, port, backlog=BACKLOG), self)
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="api-sweep")
        return self._listener.port

    async def close(self, timeout_s: float) -> None:
        """Take no more connections, let requests under way end within *timeout_s*, close the rest; may be called twice."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()
        self.pre_shutdown()
        await self.shutdown(timeout_s)
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.cancel()
            await asyncio.gather(sweeper, return_exceptions=True)

    async def _sweep_forever(self) -> None:
        while True:
            if not self.connections:
                self._has_some.clear()
                await self._has_some.wait()
            await asyncio.sleep(SWEEP_S)
            self._tick()

    def _tick(self) -> None:
        self.date_line = f"Date: {formatdate(self._now_s(), usegmt=True)}\r\n".encode()
        now = self.loop.time()
        for connection in list(self.connections):
            if cast(Connection, connection).deadline < now:
                cast(Connection, connection).cut_off()

    def _begin(self, request: BaseRequest) -> Awaitable[Reply]:
        cast(Connection, request.protocol).begin(request)
        return self.handle(request)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Request:
        return Request(message, payload, protocol, writer, task, self.loop)


def connections_within(wanted: int, files_max: int) -> int:
    """
    Return how many of *wanted* connections a process may take that can open *files_max* files.

    Half of the files: the other half is for calls, the database and the log, which must go on if too many callers connect.
    """
    return min(wanted, max(files_max // 2, CONNECTIONS_MIN)) if files_max > 0 else wanted
