"""
The admin port: `/healthz` (the process turns), `/readyz` (it can do its work), `/metrics`.

A port of its own, so that probes and scrapers need no token and the API's port shows nothing of the inside.

A connection that sends nothing for `IDLE_S`, or half a request, is closed. At most `CONNECTIONS_MAX` are open: the oldest is closed
for a new one, so that nobody who only holds connections keeps a probe out or uses up the files of the process.
"""

from __future__ import annotations

import asyncio
from functools import partial

import orjson
from aiohttp import web

from libs.runtime.admin_port.checks import Checks
from libs.runtime.lifecycle import StartStop
from libs.runtime.listening import Listener, bind_failure, listening_sockets
from libs.runtime.telemetry.metrics import CONTENT_TYPE, Metrics

BACKLOG = 128  # connections that wait to be accepted
CONNECTIONS_MAX = 64
TAKEN_AT_ONCE = 16
PAUSE_S = 0.01  # after so many new connections
IDLE_S = 30.0  # probes come every 10 s, scrapes every 15
_SHUTDOWN_TIMEOUT_S = 1.0
_HEADERS = {"Cache-Control": "no-store"}


class ProbesError(RuntimeError):
    """The admin port cannot be used; the text is one line for the operator."""


class Probes(StartStop):
    """The server of the admin port; what stands in *checks* says whether the process is ready."""

    def __init__(self, *, host: str, port: int, metrics: Metrics, checks: Checks) -> None:
        super().__init__()
        self._host = host
        self._port = port
        self._metrics = metrics
        self._checks = checks
        self._runner: web.AppRunner | None = None
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """The port that is listened on (after start; asked for 0, the one that was free)."""
        return self._port if self._listener is None else self._listener.port

    async def on_start(self) -> None:
        """
        Listen.

        Raises:
            ProbesError: the address cannot be listened on.
        """
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metricsz)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
            keepalive_timeout=IDLE_S,
        )
        await runner.setup()
        try:
            sockets = await listening_sockets(self._host, self._port, backlog=BACKLOG)
        except OSError as error:
            await runner.cleanup()
            raise ProbesError(bind_failure("FLIQ_ADMIN_PORT", self._host, self._port, error)) from error
        self._listener = Listener(sockets, partial(_connection, runner), at_once=TAKEN_AT_ONCE, pause_s=PAUSE_S)
        self._runner = runner

    async def on_stop(self) -> None:
        """Close the port and its connections."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _json(200, {"status": "ok"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        results = await self._checks.results()
        is_ready = all(result == "ok" for result in results.values())
        return _json(200 if is_ready else 503, {"status": "ok" if is_ready else "unavailable", "checks": results})

    async def _metricsz(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE, **_HEADERS})


def _connection(runner: web.AppRunner) -> asyncio.Protocol:
    """Return the protocol of a new connection; cut off the oldest ones if there are too many."""
    server = runner.server
    assert server is not None  # noqa: S101 - set up before the port is opened
    open_ones = server.connections  # the oldest first; those that were cut off stay in it until the loop's next turn
    for oldest in open_ones[: max(0, len(open_ones) + 1 - CONNECTIONS_MAX)]:
        transport = oldest.transport
        oldest.force_close()
        if transport is not None:
            transport.abort()  # without waiting for a peer that does not read
    return server()


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json", headers=_HEADERS)
