"""
EgressClient: makes HTTP calls under the egress policy, for jobs and webhooks alike.

One `call` is one attempt: check the URL, resolve its host name once, check every address, connect to one of them, send the request
once, read the beginning of the answer. If the account has an idle connection to the origin, the request goes out on that, after its
address was checked again. Everything that a target does is returned as an `Outcome`. Only cancellation, wrong use, and an address
that the account calls too often (`address_pace.py`) raise.

*Sent again.* A peer may close an idle connection just when we send on it. If such a connection ends before a byte of the answer
came, the request is sent once more, on a new connection; `Outcome.connection` says so. In no other case is a request sent twice.

The limits, in the order in which they apply:

| what | limit | then |
|---|---|---|
| name resolution | DNS_S, ANSWERS_LIMIT addresses of a family | `dns_error` |
| any address denied | – | `destination_not_allowed`, nothing is connected |
| connect, TLS included | CONNECT_S for all addresses together | `timeout` |
| the whole call | `timeout_s` | `timeout` |
| the answer | `exchange` | `protocol_error`, or cut short |
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from functools import partial

from libs.egress.address_pace import AddressPace, CallLater
from libs.egress.http1.connections import Connections
from libs.egress.http1.exchange import Exchange, Reply
from libs.egress.http1.prompt_future import PromptFuture
from libs.egress.outcome import (
    CONNECTION_ERROR,
    CONNECTION_REFUSED,
    DESTINATION_NOT_ALLOWED,
    DNS_ERROR,
    INVALID_REQUEST,
    TIMEOUT,
    TLS_ERROR,
    ConnectionUse,
    Outcome,
    error_of_status,
    is_final,
    retry_after_ms,
    snooze_ms,
)
from libs.egress.request import OutgoingRequest, RequestRefused, serialise
from libs.egress.resolver import ResolveError, Resolver, SystemResolver
from libs.egress.tls import default_ssl_context
from libs.egress.url_rules import Authority, EgressPolicy, UrlRefused

DNS_S = 3.0
CONNECT_S = 5.0
ANSWERS_LIMIT = 8  # of each family: as many as a large dual-stack load balancer publishes; more would waste our time
TLS_SHUTDOWN_S = 1.0  # how long a closing TLS connection may wait for the peer's close_notify
CLOSE_S = 2.0  # how long `close` waits for aborted connections


class _CallFailed(Exception):
    """A call ended before an answer; *error* is the error text of the outcome."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class EgressClient:
    """
    Sends requests under a policy.

    Args:
        policy: which destinations may be called.
        now: the clock, milliseconds since the epoch (`Clock.now`).
        resolver: turns names into addresses; the system's if None (then `close` closes it).
        ssl_context: for https; if None, certificates are verified against the system's authorities.
        dns_s, connect_s: limits in seconds, shortened by tests.
    """

    def __init__(
        self,
        *,
        policy: EgressPolicy,
        now: Callable[[], int],
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        dns_s: float = DNS_S,
        connect_s: float = CONNECT_S,
    ) -> None:
        self._policy = policy
        self._now = now
        self._resolver = resolver
        self._own_resolver: SystemResolver | None = None
        self._ssl_context = ssl_context
        self._dns_s = dns_s
        self._connect_s = connect_s
        self.pace: AddressPace | None = None  # of calls to one address
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: Connections | None = None

    async def start(self) -> None:
        """Prepare for calls in the running event loop. A second start changes nothing."""
        if self._connections is not None:
            return
        if self._ssl_context is None:
            self._ssl_context = default_ssl_context()
        if self._resolver is None:
            self._resolver = self._own_resolver = SystemResolver()
        self._loop = asyncio.get_running_loop()
        self._connections = Connections(self._loop)

    async def close(self) -> None:
        """Abort open connections; their calls end as `connection_error`. May be called twice, and before `start`."""
        connections, self._connections = self._connections, None
        if self._own_resolver is not None:
            self._own_resolver.close()
            self._resolver = self._own_resolver = None
        if connections is not None:
            await connections.close(timeout_s=CLOSE_S)

    async def call(self, request: OutgoingRequest, *, timeout_s: float) -> Outcome:
        """
        Make one attempt and return its outcome.

        Args:
            request: what to send.
            timeout_s: the limit of the whole call, in seconds.

        Raises:
            CallLater: the address gets no more calls of this account at the moment; nothing was sent.
            RuntimeError: the client is not started.
        """
        loop, connections = self._loop, self._connections
        if loop is None or connections is None:
            raise RuntimeError("EgressClient.call before start, or after close")
        began_at = self._now()
        began_s = loop.time()
        exchange: Exchange | None = None
        connection: ConnectionUse = "new"
        try:
            target = self._policy.target(request.url)
            make = partial(
                Exchange,
                wire=serialise(request, target),
                is_head_request=request.method == "HEAD",
                is_peer_allowed=partial(self._is_peer_allowed, target.authority.is_named),
                keeper=request.keeper,
                needs_list=self._policy.needs_list,
                origin=(request.account, target.authority.prefix),
                connections=connections,
                now=self._now,
            )
            exchange = make(result=PromptFuture())
            if self._take_over(exchange, connections, request, loop):
                connection = "reused"
                # A timer: a timeout of asyncio costs five times as much.
                timer = loop.call_at(began_s + timeout_s, exchange.time_out)
                try:
                    reply = await exchange.result
                finally:
                    timer.cancel()
                if reply.error == CONNECTION_ERROR and exchange.is_unanswered and self._connections is connections:
                    connection, began_at = "resent", reply.sent_at or began_at
                    exchange = make(result=PromptFuture())
            if connection != "reused":
                async with asyncio.timeout_at(began_s + timeout_s):
                    await self._connect(target.authority, exchange, request, is_admitted=connection == "resent")
                    reply = await exchange.result
        except TimeoutError:
            reply = _failed(TIMEOUT) if exchange is None else exchange.failed(TIMEOUT)
        except _CallFailed as failure:
            reply = _failed(failure.error) if exchange is None else exchange.failed(failure.error)
        except UrlRefused as refusal:
            # The lists may have become stricter since the URL was stored; one word for every denial.
            reply = _failed(DESTINATION_NOT_ALLOWED if refusal.code == "url_not_allowed" else INVALID_REQUEST)
        except RequestRefused:
            reply = _failed(INVALID_REQUEST)
        finally:
            if exchange is not None and (not exchange.result.done() or exchange.result.cancelled()):
                # If a timeout came while we waited for the result, it is cancelled already. A connection that is made a moment
                # later sees that the result is done, and closes.
                exchange.result.cancel()
                exchange.abort()
        sent_at = began_at if reply.sent_at is None or connection == "resent" else reply.sent_at
        return self._outcome(reply, sent_at=sent_at, duration_s=loop.time() - began_s, connection=connection)

    def _take_over(
        self, exchange: Exchange, connections: Connections, request: OutgoingRequest, loop: asyncio.AbstractEventLoop
    ) -> bool:
        """
        Send on an idle connection of this account to this origin, if there is one.

        Raises:
            CallLater: its address gets no more calls at the moment; the connection stays idle.
        """
        idle = connections.take(exchange.origin)
        if idle is None:
            return False
        if self.pace is not None and idle.peer is not None:
            try:
                self.pace.admit(request.account, request.key, [idle.peer[0]], loop.time())
            except CallLater:
                connections.wait(idle, is_reusable=True)
                raise
        exchange.take_over(idle)
        return True

    def _outcome(self, reply: Reply, *, sent_at: int, duration_s: float, connection: ConnectionUse) -> Outcome:
        status = reply.status_code
        error = reply.error
        if error is None and status is not None:
            error = error_of_status(status)
        signals = reply.signals
        now = self._now() if signals else 0  # only they name instants
        return Outcome(
            ok=error is None,
            status_code=status,
            error=error,
            duration_ms=round(duration_s * 1000),
            retry_after_ms=None if status is None else retry_after_ms(status, signals, now=now),
            sent_at=sent_at,
            is_truncated=reply.is_truncated,
            error_detail=reply.error_detail,
            snooze_ms=snooze_ms(signals, now=now) if signals else None,
            is_final=status is not None and bool(signals) and is_final(status, signals),
            connection=connection,
        )

    async def _addresses(self, authority: Authority, account: str) -> Sequence[str]:
        """Return the addresses to try; they are not checked yet."""
        if authority.addresses:
            return authority.addresses
        assert self._resolver is not None  # noqa: S101 - set by start
        try:
            async with asyncio.timeout(self._dns_s):
                answers = await self._resolver.resolve(
                    authority.host, account=account, is_as_written=authority.is_as_written
                )
        except (ResolveError, TimeoutError):
            raise _CallFailed(DNS_ERROR) from None
        newer = sum(":" in ip for ip in answers)
        if not answers or newer > ANSWERS_LIMIT or len(answers) - newer > ANSWERS_LIMIT:
            raise _CallFailed(DNS_ERROR)
        return tuple(answers)

    def _is_peer_allowed(self, is_named: bool, ip: str, port: int, is_here: bool) -> bool:
        return self._policy.address_allowed(ip, port, is_named=is_named, is_here=is_here)

    async def _connect(
        self, authority: Authority, exchange: Exchange, request: OutgoingRequest, *, is_admitted: bool
    ) -> None:
        """Connect *exchange* to the first address that accepts a connection; the pace may have admitted the call already."""
        loop = self._loop
        assert loop is not None  # noqa: S101 - set by start
        account, pace = request.account, self.pace
        addresses = await self._addresses(authority, account)
        port = authority.port
        # All of them, before the first packet: a name that also points inside is an attack, not a fallback.
        if not all(self._policy.address_allowed(ip, port, is_named=authority.is_named) for ip in addresses):
            raise _CallFailed(DESTINATION_NOT_ALLOWED)
        if pace is not None and not is_admitted:
            addresses = pace.admit(account, request.key, addresses, loop.time())
        error = CONNECTION_ERROR
        deadline_s = loop.time() + self._connect_s
        for left in range(len(addresses), 0, -1):
            ip = addresses[-left]
            if pace is not None and (is_admitted or left < len(addresses)):
                pace.also(account, ip, loop.time())
            try:
                # The addresses share the limit: if the first one does not answer, time must remain for the others.
                async with asyncio.timeout((deadline_s - loop.time()) / left):
                    await self._connect_to(ip, authority, exchange)
                return
            except ssl.SSLError:
                raise _CallFailed(TLS_ERROR) from None
            except TimeoutError:
                error = TIMEOUT
            except ConnectionRefusedError:
                error = CONNECTION_REFUSED
            except OSError:
                error = CONNECTION_ERROR
            if exchange.is_used:
                # The connection was made, and the request perhaps sent, before this error: never send it twice.
                return
        raise _CallFailed(error)

    async def _connect_to(self, ip: str, authority: Authority, exchange: Exchange) -> None:
        """Connect *exchange* to exactly *ip*: it is a literal address, so no name is resolved again."""
        assert self._loop is not None  # noqa: S101 - set by start
        is_tls = authority.is_tls
        if is_tls and self._connections is not None:
            self._connections.tls_sessions.resume(exchange.origin, self._loop.time())
        try:
            await self._loop.create_connection(
                lambda: exchange,
                ip,
                authority.port,
                ssl=self._ssl_context if is_tls else None,
                server_hostname=authority.host if is_tls else None,
                ssl_shutdown_timeout=TLS_SHUTDOWN_S if is_tls else None,
            )
        except BaseException:
            exchange.connect_failed()
            raise


def _failed(error: str) -> Reply:
    return Reply(status_code=None, error=error, sent_at=None)
