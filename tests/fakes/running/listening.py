"""A listener of the stream of events: reads server-sent events, and may be killed at any moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import quote

import aiohttp


class Listening:
    """
    One connection to `GET /v1/events`.

    Attributes:
        status: of the answer.
        refusal: the error of one that is refused.
        events: what came, as CloudEvents.
        last_id: the last `id`, and with how many events it came.
    """

    def __init__(self, url: str, token: str | None, query: str = "", *, last_id: str = "") -> None:
        self._url = f"{url}/v1/events{query}"
        self._headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last_id} if last_id else {})
        self.status = 0
        self.refusal: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self.last_id = last_id
        self.told_count = 0
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        self._answer: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Self:
        self._answer = await self._session.get(self._url, headers=self._headers)
        self.status, self.headers = self._answer.status, dict(self._answer.headers)
        if self.status != 200:
            self.refusal = json.loads(await self._answer.read())["error"]
        else:
            await self.until(lambda: self.last_id != "")  # it has begun
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._answer is not None:
            self._answer.close()
        await self._session.close()

    async def until(self, is_enough: Callable[[], bool], within_s: float = 15) -> None:
        """Read until *is_enough*; raises TimeoutError, or EOFError if the stream ends before."""
        assert self._answer is not None
        async with asyncio.timeout(within_s):
            while not is_enough():
                line = (await self._answer.content.readline()).decode()
                if not line:
                    raise EOFError
                name, _, value = line.rstrip("\n").partition(": ")
                if name == "data":
                    self.events.append(json.loads(value))
                elif name == "id":
                    self.last_id, self.told_count = value, len(self.events)

    async def told(self, count: int) -> list[tuple[str, str]]:
        """Return type and subject of each event, once there are *count*."""
        await self.until(lambda: self.told_count >= count)
        return [(name_of(event), event["subject"]) for event in self.events]

    async def ended(self, within_s: float = 10) -> None:
        """Read until the stream ends."""
        try:
            await self.until(lambda: False, within_s)
        except (EOFError, aiohttp.ClientError):
            return

    def since_last_id(self) -> str:
        """Return the id to go on with, as it stands in a header."""
        return quote(self.last_id, safe="=-_")


def name_of(event: dict[str, Any]) -> str:
    """Return the short name of an event's type."""
    return str(event["type"]).removeprefix("sh.fliq.").removesuffix(".v1")
