"""
App: from a request to its handler and back.

A route of `contract/routes.py` is found by a few dictionary look-ups on the raw path. Nothing is decoded, so every path has one
spelling.

A request is judged in this order: route (404), method (405), token (401), limits of the account (429), scope (403), then the
handler. An exception of a
handler becomes an answer in the contract's shape: an `ApiError` as it says, an outage of the log or the tables as 503,
everything else as 500 with one log line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import structlog
from aiohttp.web import BaseRequest

from libs.following.account_turns import asking
from libs.log.port import LogError
from libs.runtime.telemetry.trace_context import accept
from libs.runtime.telemetry.tracing import NO_TRACING, Tracing
from libs.sealing.keyring import AccountErased, KeysUnavailable
from libs.sealing.sealed_spec import Unopened
from libs.store.control.limits import NO_LIMITS
from libs.store.errors import StoreUnavailable
from services.api.contract.api_error import ApiError, unavailable
from services.api.contract.query import check_parameters
from services.api.contract.routes import ROUTES, Route
from services.api.http.auth import Authenticator, Identity, unauthorized
from services.api.http.connection import Connection
from services.api.http.reply import NO_HEADERS, Reply, error_reply
from services.api.http.request_body import LastError, read_json_body
from services.api.http.request_limits import LimitsOf, RequestLimits
from services.api.http.trace import note_span, trace_of

_log = structlog.get_logger("api")

_VERSIONS: Final = ((1, 1), (1, 0))
_READING: Final = ("GET", "HEAD")
_ROOT: Final = "/v1/"
_ID: Final = "{}"  # stands for the id in the parts of a path; no path of a request that is found has it, as it is percent-encoded
_PARTS_MAX: Final = 6  # parts of the longest path behind the root, and one for what is longer
_TWO_IDS: Final = 5  # parts of a path with two ids; its handler gets both, with a slash between them
_ID_AT_MAX: Final = 2  # where an id stands at the latest, counted from 0

Handler = Callable[[BaseRequest, Identity, str], Awaitable[Reply]]
# Called with every answer: the route's path template, the method, the status and the seconds it took.
Observe = Callable[[str, str, int, float], None]

NOBODY: Final = Identity("", "", frozenset(), None)


class Mount(NamedTuple):
    """What answers at *path* and below it in the API's stead, given the request and its body; *name* is its route in metrics."""

    path: str
    name: str
    answer: Callable[[BaseRequest, bytes], Awaitable[Reply]]

    def takes(self, target: str) -> bool:
        """Return whether the *target* of a request is at the path or below it."""
        return target.startswith(self.path) and target[len(self.path) : len(self.path) + 1] in ("", "/", "?")


class _Bound(NamedTuple):
    route: Route
    handler: Handler


class App:
    """
    Answers requests.

    *handlers* by the names that `ROUTES` gives them; *now_s* is a monotonic clock for *observe*; *make_ready* has the key at hand
    that seals for an account, before a request of it that writes.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        handlers: Mapping[str, Handler],
        *,
        observe: Observe,
        now_s: Callable[[], float],
        limits_of: LimitsOf = lambda _account: NO_LIMITS,
        tracing: Tracing = NO_TRACING,
        mounts: Sequence[Mount] = (),
        make_ready: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._tracing = tracing
        self._mounts = tuple(mounts)
        self._make_ready = make_ready
        self._authenticator = authenticator
        self._observe = observe
        self._now_s = now_s
        self._limits = RequestLimits(limits_of, now_s)
        # "/v1/jobs" -> methods, and for paths with an id: ("jobs", ID, "executions") -> methods.
        self._fixed: dict[str, dict[str, _Bound]] = {}
        self._by_id: dict[tuple[str, ...], dict[str, _Bound]] = {}
        for route in ROUTES:
            bound = _Bound(route, handlers[route.handler])
            if "{" not in route.path:
                methods = self._fixed.setdefault(route.path, {})
            else:
                parts = route.path.removeprefix(_ROOT).split("/")
                methods = self._by_id.setdefault(tuple(_ID if part.startswith("{") else part for part in parts), {})
            methods[route.method] = bound
            if route.method == "GET":
                methods["HEAD"] = bound

    async def handle(self, request: BaseRequest) -> Reply:
        """Answer *request*; raises nothing but CancelledError."""
        tracing, connection = self._tracing, cast(Connection, request.protocol)
        answering = connection.owner.loop_time.measured(self._answer(request, connection), connection)
        if not tracing.is_on:
            return (await answering)[0]
        parent = accept(request.headers.getall("traceparent", _NONE))
        span = tracing.start("request", "server", parent=parent, seed="", attributes={})
        note_span(request, span)
        reply: Reply | None = None
        route = "unknown"
        try:
            reply, route = await answering
        finally:
            status = 500 if reply is None else reply.status
            span.end(
                name=f"{request.method} {route}" if route != "unknown" else "unknown",
                error=str(status) if status >= 500 else None,
                http__route=route,
                http__response__status_code=status,
            )
        return reply

    async def _answer(self, request: BaseRequest, connection: Connection) -> tuple[Reply, str]:
        began_at = self._now_s()
        route = "unknown"
        said = NO_HEADERS
        try:
            if request.version not in _VERSIONS:
                raise LastError(400, "invalid_request", "the HTTP version is neither 1.1 nor 1.0")
            if (mount := self._mount_of(request.raw_path)) is not None:
                route = mount.name
                await connection.owner.loop_time.turn(connection)
                reply = await mount.answer(request, await read_json_body(request))
            else:
                bound, item_id = self._route(request)
                route, scope = bound.route.path, bound.route.scope
                identity = NOBODY
                if scope:
                    identity = await self._identify(request, connection)
                    said = self._limits.admit(identity.account, request.protocol)
                reply = await self._handle(bound, request, connection, identity, item_id)
        except ApiError as error:
            reply = error_reply(error, is_last=isinstance(error, LastError))
        except Unopened:
            reply = error_reply(ApiError(409, "spec_shredded", "what it sends cannot be opened any more: make it anew"))
        except AccountErased:
            reply = error_reply(unauthorized("the account was erased"))
        except (LogError, StoreUnavailable, KeysUnavailable, TimeoutError) as error:
            _log.warning(
                "request_unavailable",
                route=route,
                trace_id=trace_of(request),
                reason=f"{type(error).__name__}: {error}"[:200],
            )
            reply = error_reply(unavailable())
        except Exception as error:  # noqa: BLE001 - the caller gets an answer, and the log the defect
            if request.transport is None and isinstance(error, ConnectionError):
                # The peer closed the connection while its body was being read: nobody is left to answer, and nothing is wrong here.
                reply = error_reply(ApiError(400, "invalid_request", "the body did not arrive"), is_last=True)
            else:
                _log.error("request_crashed", route=route, trace_id=trace_of(request), exc_info=error)
                reply = error_reply(ApiError(500, "internal_error", "something went wrong on our end"))
        if said:
            reply.headers = {**reply.headers, **said}
        self._observe(route, request.method, reply.status, self._now_s() - began_at)
        return reply, route

    def _mount_of(self, target: str) -> Mount | None:
        if target.startswith(_ROOT):  # nearly all requests
            return None
        return next((mount for mount in self._mounts if mount.takes(target)), None)

    async def _handle(
        self, bound: _Bound, request: BaseRequest, connection: Connection, identity: Identity, item_id: str
    ) -> Reply:
        scope = bound.route.scope
        if scope and scope not in identity.scopes:
            raise ApiError(403, "forbidden", f"the API token does not have the scope `{scope}`")
        if not scope:
            await connection.owner.loop_time.turn(connection)
        if request.query_string:
            check_parameters(request.query, bound.route.query)
        if self._make_ready is not None and scope and request.method not in _READING:
            await self._make_ready(identity.account)
        return await bound.handler(request, identity, item_id)

    def _route(self, request: BaseRequest) -> tuple[_Bound, str]:
        path = request.raw_path
        mark = path.find("?")
        if mark >= 0:
            path = path[:mark]
        if path[:1] != "/":
            path = _path_of(path)
        item_id = ""
        methods = self._fixed.get(path)
        if methods is None:
            methods, item_id = self._find(path)
        bound = methods.get(request.method)
        if bound is None:
            allow = ", ".join(sorted(methods))
            raise ApiError(405, "method_not_allowed", f"this route knows {allow}", {"Allow": allow})
        return bound, item_id

    def _find(self, path: str) -> tuple[dict[str, _Bound], str]:
        if path.startswith(_ROOT):
            parts = path[len(_ROOT) :].split("/", _PARTS_MAX)
            # The deepest id first: a key of a schedule may be the word that stands behind another id.
            for at in range(min(len(parts), _ID_AT_MAX + 1) - 1, 0, -1):
                methods = self._by_id.get((*parts[:at], _ID, *parts[at + 1 :]))
                if methods is not None and parts[at]:
                    return methods, parts[at]
            if len(parts) == _TWO_IDS and parts[1] and parts[3]:
                methods = self._by_id.get((parts[0], _ID, parts[2], _ID, parts[4]))
                if methods is not None:
                    return methods, f"{parts[1]}/{parts[3]}"
        raise ApiError(404, "not_found", "route not found; GET /v1/openapi.json lists all routes")

    async def _identify(self, request: BaseRequest, connection: Connection) -> Identity:
        """Return who asks, once it is the turn of the account, or of the address as long as the account is not known."""
        turn = connection.owner.loop_time.turn
        values = request.headers.getall("Authorization", _NONE)
        if len(values) > 1:
            raise unauthorized("the Authorization header stands there twice")
        header = values[0] if values else None
        identity = self._authenticator.remembered(header) if header is not None else None
        if identity is None:
            # Each token is looked up every few seconds: its requests must not wait for the strangers of its address.
            if header is not None and (last := self._authenticator.last_account(header)) is not None:
                connection.account = last
            asking.set("")  # tokens of many callers are looked up together
            await turn(connection)
            identity = await self._authenticator.identify(header, connection.address or "")
            _note_account(connection, identity.account)
        else:
            _note_account(connection, identity.account)
            await turn(connection)
        return identity


def _note_account(connection: Connection, account: str) -> None:
    """Have loop time and connections to the tables counted as *account*'s from here on."""
    connection.account = account
    asking.set(account)


def _path_of(target: str) -> str:
    """Return the path of a request target in absolute form, which proxies send and servers must take (RFC 9112 §3.2.2)."""
    scheme, mark, rest = target.partition("://")
    if not mark or scheme.lower() not in ("http", "https"):
        return target
    return "/" + rest.partition("/")[2]


_NONE: Final[Any] = ()
