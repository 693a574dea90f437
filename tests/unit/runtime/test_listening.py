"""Listening: connections are taken many at a time, and wait while no more files can be opened."""

from __future__ import annotations

import asyncio
import os
import resource
import socket

import uvloop

from libs.runtime.listening import TAKEN_AT_ONCE, Listener, listening_sockets
from tests.fakes.until import until


class Taken(asyncio.Protocol):
    """A protocol that notes its transport."""

    def __init__(self, transports: list[asyncio.BaseTransport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transports.append(transport)


def connected(port: int, count: int) -> list[socket.socket]:
    """Return so many sockets that have connected."""
    return [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]


def test_connections_that_wait_are_taken_in_a_few_rounds() -> None:
    """Three hundred that wait take few rounds of uvloop, which itself takes one connection in a round."""

    async def rounds() -> int:
        transports: list[asyncio.BaseTransport] = []
        listener = Listener(await listening_sockets("127.0.0.1", 0, backlog=512), lambda: Taken(transports))
        callers = connected(listener.port, 300)
        count = 0
        while len(transports) < len(callers) and count < len(callers):
            await asyncio.sleep(0)
            count += 1
        await listener.close()
        await listener.close()
        for each in (*transports, *callers):
            each.close()
        return count

    assert uvloop.run(rounds()) <= 5 * (300 // TAKEN_AT_ONCE + 1)


async def test_connections_wait_while_no_more_files_can_be_opened() -> None:
    """They are not lost: they are taken once there are files."""
    transports: list[asyncio.BaseTransport] = []
    listener = Listener(await listening_sockets("127.0.0.1", 0, backlog=64), lambda: Taken(transports))
    (caller,) = connected(listener.port, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_file = os.dup(0)
    os.close(next_file)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_file, hard))
    try:
        for _ in range(10):
            await asyncio.sleep(0)
        assert not transports
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await until(lambda: transports)
    await listener.close()
    transports[0].close()
    caller.close()
