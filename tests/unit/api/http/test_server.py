"""The server: its limits that follow from the process, and what it uses of aiohttp."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from pathlib import Path
from typing import cast

import pytest
from aiohttp import base_protocol, web_protocol, web_request, web_server
from aiohttp.web import BaseRequest

from services.api.http import server
from services.api.http.connection import Connection
from services.api.http.connection_budget import ConnectionBudget
from services.api.http.reply import Reply, no_content
from services.api.http.server import READ_BYTES, HttpServer, connections_within
from tests.fakes.until import until


@pytest.mark.parametrize(
    ("wanted", "files_max", "taken"),
    [(4096, 20_000, 4096), (4096, 1024, 512), (4096, 8, 16), (4096, -1, 4096), (2, 1024, 2)],
)
def test_connections_leave_files_for_the_rest(wanted: int, files_max: int, taken: int) -> None:
    """At most half of the files a process may open are callers' connections."""
    assert connections_within(wanted, files_max) == taken


def test_aiohttp_is_used_by_its_public_parts() -> None:
    """No attribute that aiohttp keeps to itself is read or set: it may be gone in the next release."""
    private = re.compile(r"\.(_[a-z]\w*)")
    theirs = {
        name
        for module in (base_protocol, web_protocol, web_request, web_server)
        for name in private.findall(inspect.getsource(module))
    }
    texts = [path.read_text() for path in Path(server.__file__).parent.glob("*.py")]
    ours = {name for text in texts if "aiohttp" in text for name in private.findall(text)}

    assert {"_waiter", "_messages", "_message"} <= theirs
    assert ours & theirs == set()


async def test_a_body_that_nobody_reads_is_let_go_of() -> None:
    """When a connection is cut off, what came of a body is not kept for as long as something holds the request."""
    requests: list[BaseRequest] = []
    ended = asyncio.Event()

    async def handle(request: BaseRequest) -> Reply:
        requests.append(request)
        await ended.wait()
        return no_content()

    budget = ConnectionBudget(connections_max=10, received_max=1 << 20, unread_max=1 << 20)
    serving = HttpServer(handle, budget=budget, now_s=time.time)
    port = await serving.listen("127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000)

    async def has_come() -> bool:
        return bool(requests) and requests[0].content.total_bytes == 50_000

    await until(has_come)
    cast(Connection, requests[0].protocol).cut_off()

    assert requests[0].content.read_nowait() == b""
    ended.set()
    writer.close()
    await serving.close(1.0)


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
SMALLEST = b"1\r\nx\r\n"
AT_ONCE = READ_BYTES // 16 + 2  # chunks that aiohttp parses before they are read


async def test_a_body_of_the_smallest_chunks_is_parsed_as_it_is_read() -> None:
    """A hundred thousand chunks that came at once would keep the loop for a quarter of a second."""
    requests: list[BaseRequest] = []
    may_read = asyncio.Event()
    bodies: list[bytes] = []
    most = 0

    async def handle(request: BaseRequest) -> Reply:
        nonlocal most
        requests.append(request)
        await may_read.wait()
        read = before = 0
        while piece := await request.content.readany():
            most = max(most, request.content.total_bytes - before)
            before, read = request.content.total_bytes, read + len(piece)
        bodies.append(b"x" * read)
        return no_content()

    budget = ConnectionBudget(connections_max=10, received_max=1 << 20, unread_max=1 << 20)
    serving = HttpServer(handle, budget=budget, now_s=time.time)
    port = await serving.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CHUNKED + SMALLEST * 50_000 + b"0\r\n\r\n")

    async def has_come() -> bool:
        return bool(requests) and requests[0].content.total_bytes >= AT_ONCE

    await until(has_come)
    assert requests[0].content.total_bytes <= 2 * AT_ONCE
    may_read.set()
    assert (await reader.readline()).startswith(b"HTTP/1.1 204")

    assert [len(body) for body in bodies] == [50_000]
    assert most <= 2 * AT_ONCE
    writer.close()
    await serving.close(1.0)


async def test_what_comes_of_a_refused_body_of_chunks_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the first kibibytes the rest is dropped as it comes, and the connection is closed."""
    requests: list[BaseRequest] = []

    async def handle(request: BaseRequest) -> Reply:
        requests.append(request)
        return no_content()

    monkeypatch.setattr(server, "LINGER_S", 0.2)
    budget = ConnectionBudget(connections_max=10, received_max=1 << 20, unread_max=1 << 20)
    serving = HttpServer(handle, budget=budget, now_s=time.time)
    port = await serving.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CHUNKED + SMALLEST * 10)
    assert (await reader.readline()).startswith(b"HTTP/1.1 204")
    writer.write(SMALLEST * 100_000)
    async with asyncio.timeout(5):
        await reader.read()

    assert requests[0].content.total_bytes < 10 * AT_ONCE
    assert not serving.connections
    writer.close()
    await serving.close(1.0)


async def test_a_small_body_of_chunks_may_end_behind_its_refusal() -> None:
    """Many clients send it in packets of its own, and use the connection again."""

    async def handle(request: BaseRequest) -> Reply:
        return no_content()

    budget = ConnectionBudget(connections_max=10, received_max=1 << 20, unread_max=1 << 20)
    serving = HttpServer(handle, budget=budget, now_s=time.time)
    port = await serving.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(CHUNKED)
        assert (await reader.readline()).startswith(b"HTTP/1.1 204")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SMALLEST * 100 + b"0\r\n\r\n")

    writer.close()
    await serving.close(1.0)
