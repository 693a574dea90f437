"""
A target that does what it likes: a raw TCP (or TLS) server on loopback that hands each request to a script.

It records every connection and every request that arrived, because the facts to be shown are mostly about what a target
does *not* see.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from libs.egress.client import EgressClient
from libs.egress.outcome import Outcome
from libs.egress.request import OutgoingRequest
from libs.egress.resolver import ResolveError, Resolver
from libs.egress.tls import default_ssl_context
from libs.egress.url_rules import EgressPolicy

CERTIFICATES = Path(__file__).parent / "certificates"
LONG_S = 10.0  # the limit of calls that are not expected to run into it
NOW = 1_775_034_000_000  # the clock of every test: 2026-04-01T09:00:00Z
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Script = Callable[["Connection"], Awaitable[None]]


class Connection:
    """One accepted connection, as a script sees it after the request has been read."""

    def __init__(self, tcp: socket.socket) -> None:
        self.tcp = tcp
        self.request = b""

    async def send(self, data: bytes) -> None:
        """Send all of it; raises OSError when the client has gone."""
        await asyncio.get_running_loop().sock_sendall(self.tcp, data)

    def reset(self) -> None:
        """Let the end of the connection be RST."""
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def until_closed(self) -> None:
        """Wait until the client closes: how a script stays silent without a clock."""
        while await asyncio.get_running_loop().sock_recv(self.tcp, 65536):
            pass

    async def read_request(self) -> bytes:
        """Read a head and the body its Content-Length announces; empty when the peer closed before."""
        loop = asyncio.get_running_loop()
        missing = 1
        while missing > 0:
            data = await loop.sock_recv(self.tcp, 65536)
            if not data:
                return b""
            self.request += data
            head, end, body = self.request.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            missing = int(length or 0) - len(body) if end else 1
        return self.request


class Target:
    """A running hostile server on plain sockets: nothing between a script and the wire."""

    def __init__(self, script: Script, host: str = "127.0.0.1", port: int = 0) -> None:
        self.script = script
        self.connection_count = 0
        self.requests: list[bytes] = []
        self.peer_closed = asyncio.Event()  # some connection came to its end
        self.listener = socket.create_server((host, port), backlog=1024)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, path: str = "/", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        """A URL of this server."""
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self) -> None:
        """Accept until cancelled, then end every script."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                tcp, _ = await loop.sock_accept(self.listener)
                self.connection_count += 1
                task = asyncio.create_task(self._talk(tcp))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            ending = list(self._tasks)
            for task in ending:
                task.cancel()
            for failure in await asyncio.gather(*ending, return_exceptions=True):
                if isinstance(failure, Exception):
                    raise failure

    async def _talk(self, tcp: socket.socket) -> None:
        connection = Connection(tcp)
        try:
            if await connection.read_request():
                self.requests.append(connection.request)
                await self.script(connection)
        except OSError:
            pass  # the client gave up first, which is what many scripts are there to see
        finally:
            tcp.close()
            self.peer_closed.set()


@asynccontextmanager
async def target(script: Script, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Target]:
    """Run a hostile server on a loopback port, a free one unless *port* is given."""
    running = Target(script, host, port)
    serving = asyncio.create_task(running.serve())
    try:
        yield running
    finally:
        # A connection that is still in the queue of the kernel is dropped with the listener.
        serving.cancel()
        failure = (await asyncio.gather(serving, return_exceptions=True))[0]
        running.listener.close()
    if isinstance(failure, Exception):
        raise failure


class TlsTarget:
    """A TLS server in a thread: shakes hands with the certificate it was given and answers one request a connection."""

    def __init__(self, certificate: str | None, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        if certificate is not None and context is None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATES / f"{certificate}.pem")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)

    async def __aenter__(self) -> TlsTarget:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the accept
        await asyncio.to_thread(self._thread.join, 5)  # the loop goes on, so that it can close its side
        self.listener.close()

    def url(self, *, host: str, scheme: str = "https") -> str:
        """A URL of this server."""
        return f"{scheme}://{host}:{self.port}/"

    def _serve(self) -> None:
        while True:
            try:
                tcp, _ = self.listener.accept()
            except OSError:
                return
            with tcp:
                tcp.settimeout(5)
                try:
                    self._answer(tcp)
                except OSError:
                    pass  # a handshake that fails is the point of most tests

    def _answer(self, tcp: socket.socket) -> None:
        if self._context is None:
            tcp.sendall(b"220 mail.example ESMTP\r\n")
            tcp.recv(65536)
            return
        with self._context.wrap_socket(tcp, server_side=True) as tls:
            self.requests.append(tls.recv(65536))
            tls.sendall(OK)
            tls.recv(65536)


def answer(raw: bytes, *, piece: int | None = None, keeps_open: bool = False) -> Script:
    """A script that sends *raw*, in packets of *piece* bytes if given, and closes, or waits for the client to do so."""

    async def script(connection: Connection) -> None:
        connection.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(raw), piece or len(raw) or 1):
            await connection.send(raw[start : start + (piece or len(raw))])
        if keeps_open:
            await connection.until_closed()

    return script


class FakeResolver:
    """Answers from a table of lists: each look-up of a name takes its next list, the last one for ever."""

    def __init__(self, **tables: list[list[str]]) -> None:
        self._tables = {name.replace("_", "."): list(answers) for name, answers in tables.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, *, account: str = "", is_as_written: bool = False) -> list[str]:
        """Return the next answer for *host*."""
        self.asked.append(host)
        answers = self._tables.get(host)
        if not answers:
            raise ResolveError("NXDOMAIN")
        return answers.pop(0) if len(answers) > 1 else answers[0]


@asynccontextmanager
async def client(
    *targets: Target,
    resolver: Resolver | None = None,
    allow: str | None = None,
    dns_s: float = 3.0,
    connect_s: float = 5.0,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[EgressClient]:
    """A client whose allow-list names exactly *targets*, or *allow*."""
    listed = ",".join(f"127.0.0.1/32:{one.port}" for one in targets) if allow is None else allow
    context = context or default_ssl_context(CERTIFICATES / "authority.pem")
    running = EgressClient(
        policy=EgressPolicy.parse(listed),
        now=lambda: NOW,
        resolver=resolver or FakeResolver(),
        ssl_context=context,
        dns_s=dns_s,
        connect_s=connect_s,
    )
    await running.start()
    try:
        yield running
    finally:
        await running.close()


@asynccontextmanager
async def called(
    script: Script,
    *,
    path: str = "/",
    method: str = "POST",
    body: bytes | None = b"{}",
    timeout_s: float = LONG_S,
) -> AsyncIterator[tuple[Outcome, Target]]:
    """Call a target that plays *script* once; the target goes on until the block ends."""
    async with target(script) as there, client(there) as fliq:
        yield await fliq.call(request(there.url(path), method=method, body=body), timeout_s=timeout_s), there


def request(
    url: str, *, method: str = "POST", headers: list[tuple[str, str]] | None = None, body: bytes | None = b"{}"
) -> OutgoingRequest:
    """A request with little to say."""
    return OutgoingRequest(method=method, url=url, headers=headers or [], body=body)
