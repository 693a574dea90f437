"""A request as the API's handlers look at it, without a socket."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from multidict import CIMultiDict, MultiDict

from services.api.http.loop_time import LoopTime


class Peer:
    """A connection as the API's handlers look at it: work on it takes no time, so that it never waits for a turn."""

    address = account = "client"
    turn: asyncio.Future[None] | None = None

    def __init__(self) -> None:
        self.owner = SimpleNamespace(loop_time=LoopTime(now_s=lambda: 0.0))

    async def pause(self) -> None:
        """Let other tasks run."""
        await self.owner.loop_time.pause(self)


class Request(dict[str, Any]):
    """A request as the API's handlers look at it."""

    def __init__(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        """Arrive whole."""
        super().__init__()
        self.method = method
        self.headers = CIMultiDict(headers)
        self.content = SimpleNamespace(is_eof=lambda: True, read_nowait=lambda: body)
        self.raw_path = path
        self.query_string = query = path.partition("?")[2]
        self.query = MultiDict([tuple(each.split("=", 1)) for each in query.split("&") if each])  # type: ignore[misc]
        self.transport = self
        self.version = (1, 1)
        self.protocol = Peer()
