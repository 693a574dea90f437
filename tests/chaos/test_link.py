"""The link misbehaves as it is told, towards whom it is told, and no longer than that."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator

import pytest

from tests.chaos.hurting.children import Links
from tests.fakes.running.topologies import free_port

WITHIN_S = 10.0
HELD_S = 0.3


class Peer:
    """A connection through the link to something that gives back what it gets."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Peer:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            assert await self.ask(b"hello") == b"hello"
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass  # it was reset, as the test wanted

    async def ask(self, said: bytes) -> bytes:
        self.writer.write(said)
        return await self.hear(len(said))

    async def hear(self, count: int) -> bytes:
        async with asyncio.timeout(WITHIN_S):
            return await self.reader.readexactly(count)

    async def hears_nothing(self) -> bool:
        """Whether nothing comes for a while: the one thing that cannot be waited for."""
        try:
            async with asyncio.timeout(HELD_S):
                await self.reader.readexactly(1)
        except TimeoutError:
            return True
        return False


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1024):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # reset
    writer.close()


@pytest.fixture
async def links() -> AsyncIterator[Links]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    links = Links({"postgres": (free_port(), server.sockets[0].getsockname()[1])})
    await links.start()
    await links.know({os.getpid(): "me"})
    yield links
    await links.stop()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("mode", ["hold", "hold_up", "hold_down"])
async def test_what_is_held_arrives_when_the_rule_is_gone(links: Links, mode: str) -> None:
    """A partition: nothing passes while it lasts, and then what was sent meanwhile does, once."""
    async with Peer(links.endpoints["postgres"][0]) as peer:
        rule = await links.add({"mode": mode, "who": "me"})
        peer.writer.write(b"late")
        assert await peer.hears_nothing()
        await links.remove(rule)
        assert await peer.hear(4) == b"late"
        assert await peer.ask(b"more") == b"more"


async def test_a_rule_is_for_whom_it_names(links: Links) -> None:
    """A process is known by its pid; one that is not meant notices nothing."""
    async with Peer(links.endpoints["postgres"][0]) as peer:
        await links.add({"mode": "hold", "who": "somebody else"}, {"mode": "refuse", "where": "broker-1"})
        assert await peer.ask(b"mine") == b"mine"


async def test_who_is_refused_is_reset_and_may_come_back(links: Links) -> None:
    """Open connections end with a reset, new ones as well, until the rule is gone."""
    port = links.endpoints["postgres"][0]
    async with Peer(port) as peer:
        rule = await links.add({"mode": "refuse"})
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await peer.ask(b"anything")
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        async with Peer(port):
            pass
    await links.remove(rule)
    async with Peer(port) as peer:
        assert await peer.ask(b"again") == b"again"


async def test_a_delay_keeps_the_order(links: Links) -> None:
    """Everything takes longer, and nothing overtakes."""
    async with Peer(links.endpoints["postgres"][0]) as peer:
        await links.add({"mode": "delay", "ms": 60})
        began = time.monotonic()
        peer.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(100):
            peer.writer.write(b"%02d" % number)
            await asyncio.sleep(0.0005)  # as pieces of their own
        assert await peer.hear(200) == b"".join(b"%02d" % number for number in range(100))
        assert time.monotonic() - began >= 0.06  # half of it each way, at least


async def test_a_storm_resets_what_comes_back(links: Links) -> None:
    """Connections are reset again and again while the rule is there."""
    port = links.endpoints["postgres"][0]
    await links.add({"mode": "reset", "ms": 50})
    for _ in range(2):
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            async with Peer(port) as peer:
                await peer.hear(1)
