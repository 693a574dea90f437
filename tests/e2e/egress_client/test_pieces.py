"""Answers are read in pieces: what they say does not depend on how they come, nor on what others send."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.egress_client.hostile import (
    LONG_S,
    Connection,
    answer,
    client,
    request,
    target,
)
from tests.fakes.running.stalls import Stalls

HEAD = b"HTTP/1.1 200 OK\r\n"
KIB = 1024
MANY = 60
PARTS = {
    "large": HEAD + b"Content-Length: 60000\r\n\r\n" + b"x" * 60_000,
    "small chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 30_000 + b"0\r\n\r\n",
    "trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + b"a: b\r\n" * 900 + b"\r\n",
    "many headers": HEAD + b"a: b\r\n" * 900 + b"Content-Length: 1\r\n\r\nx",
}


@pytest.mark.parametrize("name", PARTS)
async def test_a_large_answer_is_whole_and_its_connection_used_again(name: str) -> None:
    """Nothing of it is lost between the pieces, nothing of it is left for the next call."""
    async with target(answer(PARTS[name], keeps_open=True)) as there, client(there) as fliq:
        for _ in range(3):
            outcome = await fliq.call(request(there.url()), timeout_s=LONG_S)

            assert (outcome.ok, outcome.error, outcome.is_truncated) == (True, None, False)


async def test_what_comes_behind_a_piece_ends_the_connection() -> None:
    """More than the answer: the answer counts, the connection is not used again."""
    raw = HEAD + b"Content-Length: 20000\r\n\r\n" + b"x" * 20_000 + b"HTTP/1.1 200 OK\r\n" + b"y" * 9_000
    async with target(answer(raw, keeps_open=True)) as there, client(there) as fliq:
        outcomes = [await fliq.call(request(there.url()), timeout_s=LONG_S) for _ in range(2)]

        assert [each.ok for each in outcomes] == [True, True]
        assert [each.connection for each in outcomes] == ["new", "new"]


async def test_many_that_answer_at_once_hold_nobody_up(stalls: Stalls) -> None:
    """Sixty answers of 256 KiB of the smallest headers take 4 s to read at once; the loop goes on beside them."""
    raw = HEAD + b"a:\r\n" * (64 * KIB)
    met = asyncio.Barrier(MANY)

    async def script(connection: Connection) -> None:
        await met.wait()
        await connection.send(raw)

    async with target(script) as there, client(there) as fliq:
        calls = asyncio.gather(*(fliq.call(request(there.url()), timeout_s=LONG_S) for _ in range(MANY)))
        longest_s, loop = 0.0, asyncio.get_running_loop()
        while not calls.done():
            began_s = loop.time()
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, loop.time() - began_s)

    assert {each.error for each in await calls} == {"protocol_error"}
    assert longest_s < 0.5 + 2 * stalls.longest_ms / 1000
