"""
Edges: the two places that do I/O, one blocking and one async, over httpx.

Nothing is decided here: `exchange.py` says what to send and how long to wait, `pages.py` which page comes next.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio
import httpx

from fliq_client.call import Answer, Call, Failure, Request
from fliq_client.exchange import Exchange, Outcome, Retries, Step, Wait, exchange
from fliq_client.groups.feed import SILENCE_S, EventLines, Feed, Patience, StreamEvent
from fliq_client.pages import Listing

T = TypeVar("T")

CONNECT_S: Final = 5.0
_OK: Final = 200
# The request did not leave: nobody listens there, or no connection was free.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """
    What all calls of a client have in common.

    Args:
        url: where Fliq is, without `/v1` and without a slash at the end.
        headers: sent with each request.
        timeout_s: of one request, for each wait for the network, in seconds.
        retries: when a call is sent again.
    """

    url: str
    headers: Mapping[str, str]
    timeout_s: float
    retries: Retries


class SyncEdge:
    """Makes calls, and returns when they are answered; may be used by several threads."""

    def __init__(self, settings: Settings, http: httpx.Client | None) -> None:
        self._settings = settings
        self._is_own = http is None
        self._http = httpx.Client() if http is None else http

    def run(self, call: Call[T]) -> T:
        """Return the result of *call*; raises FliqError."""
        steps: Exchange[T] = exchange(call, self._settings.retries, random.random)
        outcome: Outcome | None = None
        while True:  # `exchange` is bounded
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = self._do(step)

    def walk(self, listing: Listing[T]) -> Iterator[T]:
        """Yield the items of *listing*, a page at a time."""
        cursor: str | None = None
        call: Call[Any] | None = listing.call_of(None)
        while call is not None:
            page = self.run(call)
            yield from page.items
            call, cursor = listing.after(page, cursor), page.next_cursor

    def follow(self, feed: Feed) -> Iterator[StreamEvent]:
        """Yield the events of *feed*, without an end; raises FliqError."""
        lines, patience = EventLines(), Patience(self._settings.retries, feed.patience_s)
        while True:  # `patience` ends it
            request = _streamed(self._http, feed.call_of(lines.place).request, self._settings)
            outcome: Outcome = Failure(reason="the stream ended", was_sent=True)
            try:
                response = self._http.send(request, stream=True, follow_redirects=False)
                try:
                    if response.status_code == _OK:
                        lines.connected()
                        for chunk in response.iter_raw():
                            patience.heard()
                            yield from lines.take(chunk)
                    else:
                        response.read()
                        outcome = _answer(response)
                finally:
                    response.close()
            except httpx.RequestError as error:
                outcome = _failure(error)
            time.sleep(patience.wait_s(outcome, time.monotonic(), random.random()))

    def close(self) -> None:
        """Close the connections, unless they are those of a client that was passed in."""
        if self._is_own:
            self._http.close()

    def _do(self, step: Step) -> Outcome | None:
        if isinstance(step, Wait):
            time.sleep(step.seconds)
            return None
        try:
            return _answer(self._http.send(_built(self._http, step, self._settings), follow_redirects=False))
        except httpx.RequestError as error:
            return _failure(error)


class AsyncEdge:
    """Makes calls on asyncio or trio."""

    def __init__(self, settings: Settings, http: httpx.AsyncClient | None) -> None:
        self._settings = settings
        self._is_own = http is None
        self._http = httpx.AsyncClient() if http is None else http

    async def run(self, call: Call[T]) -> T:
        """Return the result of *call*; raises FliqError."""
        steps: Exchange[T] = exchange(call, self._settings.retries, random.random)
        outcome: Outcome | None = None
        while True:  # `exchange` is bounded
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = await self._do(step)

    async def walk(self, listing: Listing[T]) -> AsyncIterator[T]:
        """Yield the items of *listing*, a page at a time."""
        cursor: str | None = None
        call: Call[Any] | None = listing.call_of(None)
        while call is not None:
            page = await self.run(call)
            for item in page.items:
                yield item
            call, cursor = listing.after(page, cursor), page.next_cursor

    async def follow(self, feed: Feed) -> AsyncIterator[StreamEvent]:
        """Yield the events of *feed*, without an end; raises FliqError."""
        lines, patience = EventLines(), Patience(self._settings.retries, feed.patience_s)
        while True:  # `patience` ends it
            request = _streamed(self._http, feed.call_of(lines.place).request, self._settings)
            outcome: Outcome = Failure(reason="the stream ended", was_sent=True)
            try:
                response = await self._http.send(request, stream=True, follow_redirects=False)
                try:
                    if response.status_code == _OK:
                        lines.connected()
                        async for chunk in response.aiter_raw():
                            patience.heard()
                            for event in lines.take(chunk):
                                yield event
                    else:
                        await response.aread()
                        outcome = _answer(response)
                finally:
                    await response.aclose()
            except httpx.RequestError as error:
                outcome = _failure(error)
            await anyio.sleep(patience.wait_s(outcome, time.monotonic(), random.random()))

    async def close(self) -> None:
        """Close the connections, unless they are those of a client that was passed in."""
        if self._is_own:
            await self._http.aclose()

    async def _do(self, step: Step) -> Outcome | None:
        if isinstance(step, Wait):
            await anyio.sleep(step.seconds)
            return None
        try:
            return _answer(await self._http.send(_built(self._http, step, self._settings), follow_redirects=False))
        except httpx.RequestError as error:
            return _failure(error)


def _built(http: httpx.Client | httpx.AsyncClient, request: Request, settings: Settings) -> httpx.Request:
    headers: list[tuple[str, str | bytes]] = [*settings.headers.items(), *request.headers]
    if request.content is not None:
        headers.append(("Content-Type", "application/json"))
    return http.build_request(
        request.method,
        settings.url + request.path,
        params=request.query or None,
        headers=[(name.encode(), value.encode() if isinstance(value, str) else value) for name, value in headers],
        content=request.content,
        timeout=httpx.Timeout(settings.timeout_s, connect=min(CONNECT_S, settings.timeout_s)),
    )


def _streamed(http: httpx.Client | httpx.AsyncClient, request: Request, settings: Settings) -> httpx.Request:
    built = _built(http, request, settings)
    built.headers["Accept"] = "text/event-stream"
    built.headers["Accept-Encoding"] = "identity"
    built.extensions["timeout"] = {**built.extensions["timeout"], "read": SILENCE_S}
    return built


def _answer(response: httpx.Response) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(status=response.status_code, headers=headers, body=response.content)


def _failure(error: httpx.RequestError) -> Failure:
    asked = error.request.url  # without its path, which may hold a name
    reason = f"{asked.scheme}://{asked.netloc.decode()}: {error or type(error).__name__}"
    return Failure(reason=reason, was_sent=not isinstance(error, _NOT_SENT))
