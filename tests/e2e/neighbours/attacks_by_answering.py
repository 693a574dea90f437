"""Attacks by answering: the hostile account's targets answer all its calls at one moment, each with what takes long to read."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, cast

from tests.e2e.neighbours.hostile import KIB, Hostile

CERTIFICATES: Final = Path(__file__).parents[1] / "egress_client" / "certificates"
EVERY_S: Final = 0.5
ORIGINS: Final = 8
JOBS: Final = 3_000
ANSWERED: Final = 256 * KIB  # bytes that each call is answered with: about as much as is read of one
RECORDS: Final = 16_384
_LONG: Final = b"HTTP/1.1 500 \r\nContent-Length: 9999999\r\n\r\n"
_CHUNKED: Final = b"HTTP/1.1 500 \r\nTransfer-Encoding: chunked\r\n\r\n"


class Answering(asyncio.Protocol):
    """One of the targets' connections; it answers every request with *answer* when all are answered."""

    def __init__(self, waiting: list[asyncio.Transport]) -> None:
        self._waiting = waiting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._waiting.append(self._transport)


async def _answered(account: Hostile, *parts: bytes, tls: ssl.SSLContext | None = None) -> None:
    """Make 3,000 jobs that are due at once, with retries, and answer them together, twice a second, with so many writes."""
    loop = asyncio.get_running_loop()
    waiting = list[asyncio.Transport]()
    urls = []
    async with AsyncExitStack() as stack:
        for _ in range(ORIGINS):
            server = await loop.create_server(lambda: Answering(waiting), "127.0.0.1", 0, backlog=4096, ssl=tls)
            await stack.enter_async_context(server)
            urls.append(f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        count = account.some(JOBS)
        async with account.all_due(count, per_s=1_000) as at:
            for start in range(0, count, 500):
                numbers = range(start, min(count, start + 500))
                items = [{"url": urls[number % ORIGINS], "scheduled_at": at, "max_retries": 20} for number in numbers]
                await account.ask([account.batch(items)])
        while True:
            await asyncio.sleep(EVERY_S)
            for transport in waiting:
                transport.writelines(parts)
            waiting.clear()


async def small_headers(account: Hostile) -> None:
    """Answers that are made of the smallest headers."""
    await _answered(account, b"HTTP/1.1 500 \r\n" + b"a:\r\n" * (ANSWERED // 4))


async def small_chunks(account: Hostile) -> None:
    """Answers that are made of the smallest chunks, and have no end."""
    await _answered(account, _CHUNKED + b"1\r\nx\r\n" * (ANSWERED // 6))


async def small_records(account: Hostile) -> None:
    """Answers over https, each byte in a record of its own."""
    await _answered(account, _LONG, *[b"x"] * RECORDS, tls=_context())


async def large_records(account: Hostile) -> None:
    """Answers over https of a megabyte each."""
    await _answered(account, _LONG, bytes(KIB * KIB), tls=_context())


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "good.pem")
    return context


ANSWERING: Final[tuple[Callable[[Hostile], Coroutine[Any, Any, None]], ...]] = (
    small_headers,
    small_chunks,
    small_records,
    large_records,
)
