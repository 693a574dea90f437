"""
Console: its two places: at the API's port in `fliq all`, and at a port of its own as `fliq console`.

In `fliq all` nothing of it is imported before the first request, and then in a thread: a process that nobody looks at starts no
later and holds no more for it, and calls leave in time while it is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

import structlog
from aiohttp.web import BaseRequest

from libs.runtime import garbage
from libs.runtime.admin_port.checks import Checks
from libs.runtime.admin_port.probes import Probes
from libs.runtime.clock import Clock, SteadyClock, SystemEntropy
from libs.runtime.lifecycle import Supervisor
from libs.runtime.roles import CONSOLE
from libs.runtime.settings.settings import Settings
from libs.runtime.telemetry import logging
from libs.runtime.telemetry.metrics import Metrics
from services import VERSION
from services.api.contract.api_error import ApiError
from services.api.greeting import address_of
from services.api.http.app import Mount
from services.api.http.connection import Connection
from services.api.http.reply import Reply, error_reply
from services.api.stream.stream import StreamReply
from services.start_error import StartError

if TYPE_CHECKING:
    from services.console.api_calls import ApiCalls
    from services.console.http_messages import Answer
    from services.console.site import Site

_KEY_BYTES: Final = 32
DOCS: Final = "/docs"

_log = structlog.get_logger("console")


class MountedConsole:
    """The console at the API's port; made by its first request."""

    def __init__(self, make: Callable[[], Site], path: str) -> None:
        self._make = make
        self._path = path
        self._site: Site | None = None
        self._making = asyncio.Lock()

    @property
    def mount(self) -> Mount:
        """What the API has to know of it."""
        return Mount(self._path, CONSOLE, self._answer)

    @property
    def docs_mount(self) -> Mount:
        """What answers at /docs: it leads to the API's reference, which is a page of the console."""
        return Mount(DOCS, "docs", self._to_docs)

    async def close(self) -> None:
        """Close its connections to the API."""
        if self._site is not None:
            await self._site.close()

    async def _answer(self, request: BaseRequest, body: bytes) -> Reply:
        site = await self._get()
        from services.console.carrying import request_of

        try:
            asked = request_of(request, body, self._path)
        except ValueError as error:
            return error_reply(ApiError(400, "invalid_request", str(error)))
        assert asked is not None  # noqa: S101 - the mount takes nothing else
        answer = await site.answer(asked)
        if answer.stream is not None:
            return _streamed(answer)
        return Reply(answer.status, answer.body, answer.headers, media=answer.content_type.encode())

    async def _to_docs(self, _: BaseRequest, __: bytes) -> Reply:
        return Reply(302, b"", {"Location": f"{self._path}/docs", "Cache-Control": "no-store"})

    async def _get(self) -> Site:
        async with self._making:
            if self._site is None:
                self._site = await asyncio.to_thread(self._make)
            return self._site


def _streamed(answer: Answer) -> Reply:
    """Return the reply that writes the stream of *answer* until it ends or the browser leaves."""
    stream = answer.stream
    assert stream is not None  # noqa: S101 - who calls has looked

    async def run(request: BaseRequest) -> None:
        connection = cast(Connection, request.protocol)
        connection.on_lost = stream.close
        try:
            if connection.transport is None:
                return
            async for piece in stream.pieces():
                await connection.owner.loop_time.turn(connection)
                connection.write(piece)
                if connection.writing_paused:
                    await connection.drain()
                connection.owner.budget.busy(connection)  # it is not one that another may take the place of
        finally:
            connection.on_lost = None
            stream.close()

    reply = StreamReply(run)
    reply.headers = {**reply.headers, **answer.headers}
    return reply


def mounted_console(settings: Settings, key: bytes, clock: Clock, entropy: SystemEntropy) -> MountedConsole:
    """Return the console of a process that has the API, too."""
    url = address_of(settings.host, settings.port)

    def make() -> Site:
        from services.console.api_calls import ApiCalls

        return _site(settings, ApiCalls(lambda: url), key, clock, entropy)

    return MountedConsole(make, settings.console_path)


async def run_console(settings: Settings) -> int:
    """Run the console alone until told to stop; returns the exit code."""
    from services.console.api_calls import ApiCalls
    from services.console.service import ConsoleService

    logging.configure(settings.log_level, settings.log_format)
    clock, entropy, supervisor = SteadyClock(), SystemEntropy(), Supervisor()
    key = settings.secret_key.encode() if settings.secret_key else _key_of_its_own(entropy)
    api = ApiCalls(lambda: settings.api_url)
    site = _site(settings, api, key, clock, entropy)
    service = ConsoleService(site, api, host=settings.host, port=settings.port, path=settings.console_path)
    checks = Checks()
    checks.add("api", service.ready)
    metrics = Metrics(version=VERSION)
    probes = Probes(host=settings.admin_host, port=settings.admin_port, metrics=metrics, checks=checks)
    supervisor.add("probes", probes)
    supervisor.add(CONSOLE, service)
    _log.info("starting", service=CONSOLE, version=VERSION, address=address_of(settings.host, settings.port))
    status = await supervisor.run(on_started=garbage.settle)
    if supervisor.failure is not None:
        raise StartError(supervisor.failure)
    return status


def _key_of_its_own(entropy: SystemEntropy) -> bytes:
    reason = "FLIQ_SECRET_KEY is not set: sessions end with this process, and no other console takes them"
    _log.warning("console_key_made", reason=reason)
    return entropy.entropy(_KEY_BYTES)


def _site(settings: Settings, api: ApiCalls, key: bytes, clock: Clock, entropy: SystemEntropy) -> Site:
    from services.console.site import Site

    return Site(api, path=settings.console_path, key=key, now=clock.now, entropy=entropy.entropy)
