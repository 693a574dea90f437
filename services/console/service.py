"""The console on a port of its own: opens its socket, answers browsers, and drains at stop."""

from __future__ import annotations

import structlog
from aiohttp import web

from libs.runtime.lifecycle import StartStop
from libs.runtime.listening import Listener, bind_failure, listening_sockets
from services.console.api_calls import ApiCalls, ApiRefused, Call
from services.console.carrying import request_of, response_of, send_stream
from services.console.http_messages import Answer, see_other
from services.console.site import Site

BACKLOG = 256
FORM_MAX = 1 << 20  # bytes of a form: more than the longest body of a job, escaped
DRAIN_S = 10.0

_log = structlog.get_logger("console")


class BindFailed(Exception):
    """The console's address cannot be listened on; the message is one line for the operator."""


class ConsoleService(StartStop):
    """Serves *site* below *path* on one address; port 0 takes any, see `port` after the start."""

    def __init__(self, site: Site, api: ApiCalls, *, host: str, port: int, path: str) -> None:
        super().__init__()
        self._site = site
        self._api = api
        self._host = host
        self._port = port
        self._path = path
        self._runner: web.ServerRunner | None = None
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port if self._listener is None else self._listener.port

    async def ready(self) -> str | None:
        """Return None if the API answers, else why not."""
        try:
            await self._api.call("", Call("HEAD", "/v1/openapi.json"))
        except ApiRefused as refusal:
            return refusal.message
        return None

    async def on_start(self) -> None:
        """Listen; raises BindFailed."""
        server = web.Server(self._answer, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=DRAIN_S)
        await self._runner.setup()
        try:
            sockets = await listening_sockets(self._host, self._port, backlog=BACKLOG)
        except OSError as error:
            raise BindFailed(bind_failure("FLIQ_PORT", self._host, self._port, error)) from error
        self._listener = Listener(sockets, server)
        _log.debug("console_listening", host=self._host, port=self.port)

    async def on_stop(self) -> None:
        """Take no more connections, let requests under way end, and close those to the API."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        await self._site.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await request.content.read(FORM_MAX + 1) if request.can_read_body else b""
            while len(body) <= FORM_MAX and (more := await request.content.read(FORM_MAX + 1 - len(body))):
                body += more
            if len(body) > FORM_MAX:
                return response_of(Answer(413, b"the form is too long\n", "text/plain; charset=utf-8"))
            asked = request_of(request, body, self._path)
        except ValueError as error:
            return response_of(Answer(400, f"{error}\n".encode(), "text/plain; charset=utf-8"))
        if asked is None:
            is_root = request.raw_path == "/"
            missing = Answer(404, b"the console is at " + self._path.encode() + b"\n", "text/plain; charset=utf-8")
            return response_of(see_other(f"{self._path}/") if is_root else missing)
        answer = await self._site.answer(asked)
        return response_of(answer) if answer.stream is None else await send_stream(answer, request)
