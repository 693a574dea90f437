"""Hostile: one account that does harm, what it asks for, and the connections that it holds."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from tests.fakes.running.client import in_seconds

KIB: Final = 1024
FAR: Final = "2033-01-01T00:00:00Z"
CLOSED: Final = "http://127.0.0.1:9/"  # where nobody listens
AT_ONCE: Final = 4  # requests under way of an account that wants to be done soon
HELD_S: Final = 20.0  # then it is opened anew, whether it was closed or not
AGAIN_S: Final = 0.05  # before a connection that was closed is opened again


class Hole(asyncio.Protocol):
    """A server that takes every connection, reads what comes, and never answers."""


class Hostile:
    """
    One hostile account.

    Args:
        port, admin_port: where Fliq is.
        hole: the port of targets that never answer.
        size: how much there is of an attack; 1 is all of it.
        accounts: how many there are like it; connections that are held are shared out among them.
    """

    def __init__(self, *, port: int, admin_port: int, token: str, hole: int, size: float, accounts: int) -> None:
        self.port, self.admin_port, self.token, self.hole = port, admin_port, token, hole
        self._size, self._accounts = size, accounts
        self.is_under_way = asyncio.Event()

    def some(self, count: int) -> int:
        """Return how many of *count* there are."""
        return max(1, int(count * self._size))

    def request(self, method: str, path: str, body: bytes = b"", *, token: str = "", length: int = 0) -> bytes:
        """Return the bytes of a request; *length* is what it says of its body."""
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token or self.token}\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {length or len(body)}\r\n\r\n".encode() + body

    async def ask(self, requests: Iterable[bytes]) -> list[bytes]:
        """Send *requests* one after the other over one connection; returns the answers' bodies."""
        answers = []
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for request in requests:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                answers.append(await reader.readexactly(length))
        finally:
            writer.close()
        return answers

    async def log_in(self) -> str:
        """Return the cookie of a session of the console; empty if there is no console."""
        form = f"token={self.token}".encode()
        head = "POST /console/login HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nConnection: close\r\n"
        kind = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write((head + kind).encode() + form)
            answer = (await reader.read()).partition(b"\r\n\r\n")[0].decode()
        finally:
            writer.close()
        cookies = [line.partition(": ")[2] for line in answer.split("\r\n") if line.lower().startswith("set-cookie")]
        return cookies[0].partition(";")[0] if cookies else ""

    async def all_of(self, requests: list[bytes]) -> None:
        """Send *requests*, some at once; one that is refused is refused."""
        await asyncio.gather(*[self.ask(requests[number::AT_ONCE]) for number in range(AT_ONCE)])

    @asynccontextmanager
    async def all_due(self, count: int, *, per_s: float) -> AsyncIterator[str]:
        """Yield an instant at which so many jobs, of which so many a second can be made, are due; return when it has come."""
        ahead_s = 2.0 + count * self._accounts / per_s
        ends_at = time.monotonic() + ahead_s
        yield in_seconds(ahead_s)
        await asyncio.sleep(max(0.0, ends_at - time.monotonic()))
        self.is_under_way.set()

    async def for_ever(self, callers: int, make: Callable[[], bytes]) -> None:
        """Have so many callers send what *make* makes, each as soon as it is answered."""

        async def call() -> None:
            while True:
                try:
                    await self.ask(make() for _ in range(1_000))
                except (OSError, asyncio.IncompleteReadError):
                    await asyncio.sleep(AGAIN_S)

        self.is_under_way.set()
        await asyncio.gather(*[call() for _ in range(callers)])

    async def hold(self, count: int, sent: bytes, *, port: int = 0) -> None:
        """
        Hold this account's share of so many connections open, each after it has sent *sent*.

        Nothing is read, and what is closed is opened again.
        """
        count = self.some(count) // self._accounts
        opened = 0

        async def one() -> None:
            nonlocal opened
            while True:
                with socket.socket() as tcp:
                    tcp.setblocking(False)
                    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
                    loop = asyncio.get_running_loop()
                    try:
                        async with asyncio.timeout(10):
                            await loop.sock_connect(tcp, ("127.0.0.1", port or self.port))
                            await loop.sock_sendall(tcp, sent)
                        opened += 1
                        if opened >= count:
                            self.is_under_way.set()
                        async with asyncio.timeout(HELD_S):
                            await until_gone(tcp)
                    except (OSError, TimeoutError):
                        pass
                await asyncio.sleep(AGAIN_S)

        await asyncio.gather(*[one() for _ in range(count)])

    def batch(self, items: list[dict[str, Any]]) -> bytes:
        return self.request("POST", "/v1/jobs/batch", json.dumps({"jobs": items}, ensure_ascii=False).encode())


async def until_gone(tcp: socket.socket) -> None:
    """Return when the peer has closed, without taking what it sent."""
    loop = asyncio.get_running_loop()
    gone = loop.create_future()

    def look() -> None:
        try:
            is_open = bool(tcp.recv(1, socket.MSG_PEEK))
        except OSError:
            is_open = False
        loop.remove_reader(tcp)  # if it has answered, its close is not seen any more, and need not be
        if not is_open and not gone.done():
            gone.set_result(None)

    loop.add_reader(tcp, look)
    try:
        await gone
    finally:
        loop.remove_reader(tcp)


def silent(account: Hostile, number: int) -> str:
    """Return one of many targets that never answer."""
    return f"http://127.{1 + number // 250}.{number % 250}.7:{account.hole}/"
