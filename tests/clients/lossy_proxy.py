"""
Lossy proxy: a network between a client and Fliq that breaks in every way, chosen at random from a seed.

It runs in a thread of its own, so that a client that blocks can be tested as well. Every request over it meets one of these:

    pass             it arrives, and so does its answer
    reset_before     the connection is reset before the request is passed on
    cut_request      half of the request is passed on, then both connections end
    lose_answer      the request is passed on, and the connection is reset instead of its answer
    cut_answer       half of the answer arrives, then the connection ends
    bad_gateway      the request is passed on, and answered with a proxy's own 502
    unavailable      it is answered with 503 and `Retry-After: 0`, and not passed on
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from typing import Final, Self

LIMIT: Final = 1 << 22  # bytes of one message
WAYS: Final = (
    "pass",
    "reset_before",
    "cut_request",
    "lose_answer",
    "cut_answer",
    "bad_gateway",
    "unavailable",
)
_UNAVAILABLE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nRetry-After: 0\r\nConnection: close\r\n\r\nbusy"
)
_BAD_GATEWAY: Final = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 15\r\nConnection: close\r\n\r\n<html>502</html"


class LossyProxy:
    """
    Forwards from a free port on loopback to *port*.

    Args:
        port: where Fliq listens.
        seed: of what happens.
        ways: what may happen to a request.
    """

    def __init__(self, port: int, seed: int, ways: tuple[str, ...] = WAYS) -> None:
        self.met: Counter[str] = Counter()
        self.accepted = 0  # creates that Fliq answered with 201, repeats included
        self.url = ""
        self._to = port
        self._random = random.Random(seed)
        self._ways = ways
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LIMIT)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        self._server.close()
        own = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._forward(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # one of the two went away
        finally:
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Forward one request; return whether the connection goes on."""
        request = await _message(reader)
        way = self._random.choice(self._ways)
        self.met[way] += 1
        if way == "reset_before":
            return _reset(writer)
        if way == "unavailable":
            writer.write(_UNAVAILABLE)
            return False
        onward, out = await asyncio.open_connection("127.0.0.1", self._to, limit=LIMIT)
        try:
            out.write(request[: len(request) // 2] if way == "cut_request" else request)
            await out.drain()
            if way == "cut_request":
                return False
            answer = await _message(onward)
        finally:
            out.close()
        self.accepted += answer.startswith(b"HTTP/1.1 201")
        if way == "lose_answer":
            return _reset(writer)
        writer.write({"cut_answer": answer[: len(answer) // 2], "bad_gateway": _BAD_GATEWAY}.get(way, answer))
        return way == "pass"


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Read one HTTP message, of a peer that announces its length."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    return head


def _reset(writer: asyncio.StreamWriter) -> bool:
    """End the connection with RST, not FIN."""
    own: socket.socket = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False
