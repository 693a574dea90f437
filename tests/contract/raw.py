"""Raw HTTP over a socket: what no client library would send."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """One answer; `closed` when the server closed the connection behind it."""

    status: int
    headers: dict[str, str]
    body: Any
    closed: bool

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.body["error"]["code"])


class RawConnection:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> RawConnection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, has_body: bool = True) -> Answer:
        """Read one answer within 20 s."""
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
            length = int(headers.get("content-length", "0")) if has_body else 0
            text = await self.reader.readexactly(length)
        body = json.loads(text) if text else None
        return Answer(int(head[0].split()[1]), headers, body, headers.get("connection") == "close")

    async def ended(self, *, timeout_s: float) -> bool:
        """Say whether the server closes the connection within *timeout_s*, without a further byte."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self.reader.read() == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    async def cut_off(self) -> bool:
        """Say whether the server told 503 and closed the connection, or only closed it: a reset drops what was not read."""
        try:
            return (await self.answer()).status == 503
        except (ConnectionError, asyncio.IncompleteReadError):
            return True

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass  # the server was first


async def exchange(port: int, data: bytes) -> Answer:
    """Send *data* on a connection of its own and return the answer; fails when the server promised to close and did not."""
    connection = await RawConnection.open(port)
    try:
        connection.send(data)
        answer = await connection.answer()
        if answer.closed:
            assert await connection.ended(timeout_s=15)
        return answer
    finally:
        await connection.close()
