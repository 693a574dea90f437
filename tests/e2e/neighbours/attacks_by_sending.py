"""Attacks by sending: requests that are made of the smallest parts, many of them at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from tests.e2e.neighbours.hostile import AGAIN_S, HELD_S, KIB, Hostile

SENT: Final = 512 * KIB  # bytes at once on each connection


async def _sending(account: Hostile, callers: int, head: bytes, part: bytes) -> None:
    """Have so many callers send *head*, then *part* again and again, and read what comes; each anew when it is cut off."""
    sent = head + part * (SENT // len(part))

    async def one() -> None:
        while True:
            try:
                async with asyncio.timeout(HELD_S):
                    reader, writer = await asyncio.open_connection("127.0.0.1", account.port)
                    try:
                        writer.write(sent)
                        while await reader.read(64 * KIB):
                            pass
                    finally:
                        writer.transport.abort()
            except (OSError, TimeoutError):
                pass
            await asyncio.sleep(AGAIN_S)

    account.is_under_way.set()
    await asyncio.gather(*[one() for _ in range(account.some(callers))])


def _chunked(account: Hostile) -> bytes:
    head = account.request("POST", "/v1/jobs").partition(b"Content-Length")[0]
    return head + b"Transfer-Encoding: chunked\r\n\r\n"


async def small_body_chunks(account: Hostile) -> None:
    """200 callers of bodies that are made of the smallest chunks."""
    await _sending(account, 200, _chunked(account), b"1\r\n \r\n")


async def pipelines(account: Hostile) -> None:
    """200 callers who send thousands of requests before they read an answer."""
    await _sending(account, 200, b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


async def small_fields(account: Hostile) -> None:
    """200 callers of a head that is made of the smallest headers."""
    await _sending(account, 200, b"GET / HTTP/1.1\r\nHost: a\r\n", b"a:\r\n")


SENDING: Final[tuple[Callable[[Hostile], Coroutine[Any, Any, None]], ...]] = (
    small_body_chunks,
    pipelines,
    small_fields,
)
