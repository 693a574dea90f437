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
from services.api.http.server import HttpServer, connections_within
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
