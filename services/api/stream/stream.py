"""
Stream: one caller's stream of events, as server-sent events.

    data: {"specversion": "1.0", "type": "sh.fliq.job.failed.v1", ...}
    id: the place that is reached with it

The events of one moment are written together, and the last of them carries the `id`. A caller that sends it as `Last-Event-ID` gets
what came behind it: each event at least once, those of one job in order. While nothing happens, an `id` alone is written now and
then, so that the place of a quiet stream does not grow old. A caller that does not read is cut off (http/connection.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import structlog
from aiohttp.web import BaseRequest

from libs.domain.ledger import GapInLog, MustUnderstand
from libs.log.port import LogError
from libs.store.errors import StoreUnavailable
from services.api.contract.api_error import ApiError
from services.api.contract.fields.event_filter import EventFilter
from services.api.http.connection import Connection
from services.api.http.reply import Reply
from services.api.stream.catching_up import CatchingUp
from services.api.stream.place import Place, Places
from services.api.stream.tail import Listener, Tail

PING_S: Final = 15.0
CHECK_S: Final = 4.0  # how often the token is looked at; a revoked one ends the stream within 5 s, as in every process
GATHER_S: Final = 0.02  # events of so long a time are written together
PIECE_BYTES: Final = 4_096  # with one `id`: a caller that is killed in between sees these events again
WRITE_BYTES: Final = 32_768  # in one turn at the event loop (http/loop_time.py): about 1 ms
MEDIA: Final = b"text/event-stream"
# How long a browser waits before it comes back; no cache, and no proxy that holds events back.
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY: Final = b"retry: 1000\n"

_log = structlog.get_logger("api")


class StreamReply(Reply):
    """The answer that does not end."""

    __slots__ = ("_run",)

    def __init__(self, run: Callable[[BaseRequest], Awaitable[None]]) -> None:
        """Write the events by *run*."""
        super().__init__(200, b"", _HEADERS, is_last=True, media=MEDIA)
        self._run = run

    async def prepare(self, request: BaseRequest) -> None:
        """Write the head, then events until the caller leaves, its token ends, or this process stops."""
        connection = cast(Connection, request.protocol)
        head = b"HTTP/1.1 200 OK\r\n" + connection.date_line
        for name, value in self.headers.items():
            head += f"{name}: {value}\r\n".encode()
        connection.write(head + b"Connection: close\r\nContent-Type: " + MEDIA + b"\r\n\r\n")
        await self._run(request)


class EventStream:
    """One stream; *may_go_on* raises `ApiError` once the caller may not read any more."""

    def __init__(
        self,
        tail: Tail,
        catching_up: CatchingUp,
        write_place: Places,
        *,
        listener: Listener,
        places: list[Place],
        wanted: EventFilter,
        may_go_on: Callable[[], Awaitable[None]],
        ping_s: float = PING_S,
    ) -> None:
        self._tail = tail
        self._catching_up = catching_up
        self._write_place = write_place
        self._listener = listener
        self._places = places
        self._wanted = wanted
        self._may_go_on = may_go_on
        self._ping_s = ping_s
        self._lines: list[bytes] = []
        self._size = 0
        self._pieces: list[bytes] = []
        self._written_at = 0.0
        self._now_s = asyncio.get_running_loop().time

    async def run(self, request: BaseRequest) -> None:
        """Write events to the connection of *request* until the stream ends."""
        connection = cast(Connection, request.protocol)
        try:
            await connection.owner.loop_time.measured(self._write(connection), connection)
        except (ApiError, LogError, StoreUnavailable, GapInLog, MustUnderstand, TimeoutError) as error:
            _log.info("stream_ended", reason=f"{type(error).__name__}: {error}"[:200])
        finally:
            connection.on_lost = None
            self._tail.leave(self._listener)

    async def _write(self, connection: Connection) -> None:
        checked_at = self._now_s()
        await self._flush(connection, _RETRY)
        while not self._tail.is_closed and connection.transport is not None:
            self._listener.woken.clear()
            await connection.owner.loop_time.turn(connection)
            is_behind = await self._round(connection)
            if self._lines or self._pieces:
                await self._flush(connection)
            if self._now_s() - checked_at >= CHECK_S:
                await self._may_go_on()
                checked_at = self._now_s()
            if self._now_s() - self._written_at >= self._ping_s:
                await self._flush(connection, b": ping\n")
            if is_behind:
                await asyncio.sleep(0)
            else:
                await self._wait(checked_at)

    async def _wait(self, checked_at: float) -> None:
        """Wait until there is something to do."""
        until = min(checked_at + CHECK_S, self._written_at + self._ping_s)
        try:
            async with asyncio.timeout(max(until - self._now_s(), 0.0)):
                await self._listener.woken.wait()
                await asyncio.sleep(GATHER_S)
        except TimeoutError:
            pass  # it is time to look at the token, or to show that the stream lives

    async def _round(self, connection: Connection) -> bool:
        """Take what came in each partition; say whether there is more."""
        account, is_behind = self._listener.account, False
        for partition, recent in enumerate(self._tail.recent):
            place = self._places[partition]
            if place[0] >= recent.position:
                continue
            kept_from = recent.kept_from(account)
            if place[0] < kept_from:
                found, reached = await self._catching_up.step(partition, place, account, kept_from)
                is_behind = True
            else:
                found, reached = recent.behind(place[0], account), recent.place
            for at, told in found:
                self._places[partition] = at
                if self._wanted.takes(told.types, told.facts.schedule_id, told.facts.labels):
                    self._lines.append(b"data: %b\n" % told.text)
                    self._size += len(told.text)
                    if self._size >= PIECE_BYTES:
                        self._end_piece()
                        if len(self._pieces) * PIECE_BYTES >= WRITE_BYTES:
                            await self._flush(connection)
                            await connection.pause()
            self._places[partition] = reached
        return is_behind

    def _end_piece(self, first: bytes = b"") -> None:
        """Name the place that is reached behind the events that are gathered."""
        place = self._write_place.write(self._places, self._listener.account)
        self._pieces.append(b"%b%bid: %b\n\n" % (first, b"\n".join(self._lines), place.encode()))
        self._lines, self._size = [], 0

    async def _flush(self, connection: Connection, first: bytes = b"") -> None:
        """Write what is gathered."""
        if self._lines or first:
            self._end_piece(first)
        written, self._pieces = b"".join(self._pieces), []
        connection.write(written)
        if connection.writing_paused:
            await connection.drain()
        connection.owner.budget.busy(connection)  # it is not one that another may take the place of
        self._written_at = self._now_s()


def leave_when_lost(connection: Any, tail: Tail, listener: Listener) -> None:
    """End the listener as soon as the *connection* is lost."""

    def lost() -> None:
        tail.leave(listener)
        listener.woken.set()

    connection.on_lost = lost
    if connection.transport is None:
        lost()
