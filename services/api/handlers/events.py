"""Events: the stream of what happens to the account's jobs and schedules."""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from aiohttp.web import BaseRequest

from services.api.contract.api_error import ApiError, bad
from services.api.contract.fields.event_filter import event_filter
from services.api.contract.fields.list_filters import instant_of
from services.api.handlers.context import Context
from services.api.http.auth import Authenticator, Identity
from services.api.http.connection import Connection
from services.api.http.reply import Reply
from services.api.stream.catching_up import CatchingUp
from services.api.stream.place import Place, Places
from services.api.stream.place_finder import PlaceFinder
from services.api.stream.stream import MEDIA, EventStream, StreamReply, leave_when_lost
from services.api.stream.tail import Tail

FIND_S: Final = 10.0  # how long it may take to find where a stream begins
LAST_EVENT_ID: Final = "Last-Event-ID"


class Events:
    """The handler of the stream."""

    def __init__(self, context: Context, tail: Tail, places: Places, authenticator: Authenticator) -> None:
        self._c = context
        self._tail = tail
        self._places = places
        self._authenticator = authenticator
        self._finder = PlaceFinder(context.log, tail, places)
        self._catching_up = CatchingUp(context.log, tail.judging)

    async def stream(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """GET /v1/events."""
        wanted = event_filter(request.query)
        since = instant_of(request.query, "since")
        last_ids = request.headers.getall(LAST_EVENT_ID, ())
        if len(last_ids) > 1:
            raise bad("invalid_last_event_id", "the Last-Event-ID header stands there twice")
        if request.method == "HEAD":
            return Reply(200, b"", media=MEDIA)
        connection = cast(Connection, request.protocol)
        listener = await self._tail.join(identity.account)
        leave_when_lost(connection, self._tail, listener)
        try:
            async with asyncio.timeout(FIND_S):
                places = await self._begin(identity.account, last_ids[0] if last_ids else "", since)
        except BaseException:
            connection.on_lost = None
            self._tail.leave(listener)
            raise

        async def may_go_on() -> None:
            await self._check(request, identity)

        stream = EventStream(
            self._tail,
            self._catching_up,
            self._places,
            listener=listener,
            places=places,
            wanted=wanted,
            may_go_on=may_go_on,
        )
        return StreamReply(stream.run)

    async def _begin(self, account: str, last_id: str, since: int | None) -> list[Place]:
        if last_id:  # it comes before `since`: a caller that comes back repeats its query
            return await self._finder.resumed(last_id, account)
        if since is None:
            return self._finder.now()
        async with self._c.lists.turn(account):
            return await self._finder.since(since)

    async def _check(self, request: BaseRequest, identity: Identity) -> None:
        """Raise ApiError if the token may not read any more."""
        header = request.headers["Authorization"]
        connection: Any = request.protocol
        found = self._authenticator.remembered(header)
        if found is None:
            found = await self._authenticator.identify(header, connection.address or "")
        if not identity.scopes <= found.scopes:
            raise ApiError(403, "forbidden", "the API token has lost scopes")
