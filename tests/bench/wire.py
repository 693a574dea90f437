"""
Wire: HTTP/1.1 as a load generator needs it, at the least cost that Python has.

    Caller   one keep-alive connection that posts one prepared request after another
    Sink     a server that answers 200 at once and keeps when each call arrived, and for which instant it was meant

Both are bare asyncio protocols. On two cores a client or target built on a framework would use more of the machine than what is
measured.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, cast

import httptools

AGAIN_S: Final = 0.2
Request = tuple[bytes, bytes]  # what is sent, and how the answer must begin


class Caller(asyncio.Protocol):
    """
    Posts what *requests* gives, each as soon as the one before is answered.

    Args:
        requests: shared by all callers of a run.
        took_ms: gets the time each request took.
        done: resolved when *requests* is at its end, or failed by an answer that was not expected.
        keep: called with the body of every answer, when given.
        patient: come again after a 503 instead of failing.
    """

    def __init__(
        self,
        requests: Iterator[Request],
        took_ms: array[float],
        done: asyncio.Future[None],
        keep: Callable[[bytes], None] | None = None,
        patient: bool = False,
    ) -> None:
        self._requests = requests
        self._took_ms = took_ms
        self._done = done
        self._keep = keep
        self._patient = patient
        self._buffer = b""
        self._expected = b""
        self._wire = b""
        self._sent_s = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            self._buffer = data
            return
        lower = data[:head].lower()
        at = lower.find(b"content-length:") + 15
        end = lower.find(b"\r\n", at)
        length = int(data[at : end if end > 0 else head])
        if len(data) < head + 4 + length:
            self._buffer = data
            return
        self._buffer = b""
        if data.startswith(b"HTTP/1.1 503 ") and self._patient:
            # Fliq asks callers to wait while the tables are far behind; the time it takes counts.
            asyncio.get_running_loop().call_later(AGAIN_S, self._transport.write, self._wire)
            return
        self._took_ms.append((time.perf_counter() - self._sent_s) * 1000)
        if not data.startswith(self._expected):
            self._fail(RuntimeError(f"the answer was {data[:300]!r}"))
            return
        if self._keep is not None:
            self._keep(data[head + 4 :])
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._wire, self._expected = request
        self._sent_s = time.perf_counter()
        self._transport.write(self._wire)

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)
        self._transport.close()


async def post_all(
    port: int,
    requests: Iterator[Request],
    *,
    connections: int,
    keep: Callable[[bytes], None] | None = None,
    patient: bool = False,
) -> tuple[array[float], float]:
    """Post *requests* over *connections* to a port of this machine; return the time each took, in ms, and the seconds of all."""
    loop = asyncio.get_running_loop()
    took_ms: array[float] = array("d")
    dones = [loop.create_future() for _ in range(connections)]
    began_s = time.perf_counter()
    for done in dones:
        await loop.create_connection(partial(Caller, requests, took_ms, done, keep, patient), "127.0.0.1", port)
    await asyncio.gather(*dones)
    return took_ms, time.perf_counter() - began_s


class Arrivals:
    """What a sink has seen. A call's path is `/<instant it is meant for, ms>/<name>`."""

    def __init__(self) -> None:
        self.at_ns = array("q")
        self.paths: list[bytes] = []

    def clear(self) -> None:
        """Forget everything."""
        self.at_ns = array("q")
        self.paths = []


class Sink(asyncio.Protocol):
    """One connection to the sink, which answers *after_s* after a request is complete."""

    def __init__(self, arrivals: Arrivals, after_s: float = 0.0) -> None:
        self._arrivals = arrivals
        self._after_s = after_s
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._at_ns = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._parser = None

    def data_received(self, data: bytes) -> None:
        self._at_ns = time.time_ns()
        if self._parser is not None:
            self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._arrivals.paths.append(url)
        self._arrivals.at_ns.append(self._at_ns)

    def on_message_complete(self) -> None:
        if self._after_s:
            asyncio.get_running_loop().call_later(self._after_s, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        if self._parser is None:
            return  # the caller is gone
        if self._parser.should_keep_alive():
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        else:
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            self._transport.close()
