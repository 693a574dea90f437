"""
Slow receiver: a process that answers each webhook a fixed time after it arrived, and costs as little of that time as Python can.

Its argument is that time in milliseconds. It tells of every arrival in a line of JSON, as tests/chaos/targets.py does. It ends with
its standard input. It is a bare protocol: what a web framework takes for a request and an answer (0.6 ms) would be held against the
sender. It waits in `select`, which counts in microseconds; `epoll` rounds each wait up to a whole millisecond. `select` takes a
thousand connections at most. Linux ends a wait up to 50 µs late, so that it can end several at once; it is asked not to.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import re
import selectors
import sys
import time
from typing import Final, cast

PR_SET_TIMERSLACK: Final = 29  # linux/prctl.h; in nanoseconds
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_ID: Final = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)


class Receiver(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._at = 0.0
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if not self._buffer:
            self._at = loop.time()
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length is not None and len(body) < int(length[1])):
            return
        self._buffer = b""
        loop.call_at(self._at + self._after_s, self._transport.write, ANSWER)
        known = _ID.search(head)
        at_ms = time.time() * 1000 - (loop.time() - self._at) * 1000
        path = head.split(b" ", 2)[1].decode()
        print(json.dumps([at_ms, path, {"webhook-id": known[1].decode() if known else ""}, ""]), flush=True)


async def serve(after_s: float) -> None:
    """Listen on a free port, say which, and serve until standard input ends."""
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(after_s), "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    gc.disable()  # it keeps nothing, and a collection would be seen as lateness
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serve(int(sys.argv[1]) / 1000))
