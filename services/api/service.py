"""The API service: opens its socket, serves requests, and drains at stop."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from libs.following.partition_reader import ReaderContext
from libs.log.port import Log
from libs.runtime.clock import Clock, Entropy
from libs.runtime.listening import bind_failure
from libs.runtime.telemetry.tracing import NO_TRACING, Tracing
from libs.sealing.keyring import NO_SEALING, Keyring
from libs.store.control.accounts import Accounts
from libs.store.control.endpoints import Endpoints as StoredEndpoints
from libs.store.control.idempotency import IdempotencyKeys
from libs.store.control.limits import NO_LIMITS, Limits
from libs.store.control.recoveries import Recoveries as StoredRecoveries
from libs.store.control.reserved_names import Names
from libs.store.projection.progress import ProgressWatch
from libs.store.reads.account_queries import AccountQueries
from libs.store.reads.activity import ActivityReader
from libs.store.reads.delivery_queries import DeliveryQueries
from libs.store.reads.responses import Responses
from libs.store.reads.search import Search
from services.api.contract.cursor import Cursors
from services.api.contract.field import CheckUrl
from services.api.contract.routes import ROUTES
from services.api.contract.schedules.requests import Zones
from services.api.handlers.account import Account
from services.api.handlers.context import Context
from services.api.handlers.events import Events
from services.api.handlers.jobs.job_changes import JobChanges
from services.api.handlers.jobs.job_creation import JobCreation
from services.api.handlers.jobs.jobs import Jobs
from services.api.handlers.jobs.responses import KeptResponses
from services.api.handlers.openapi import OpenApi
from services.api.handlers.schedules.schedule_backfills import ScheduleBackfills
from services.api.handlers.schedules.schedule_changes import ScheduleChanges
from services.api.handlers.schedules.schedule_creation import ScheduleCreation
from services.api.handlers.schedules.schedule_keys import ScheduleKeys
from services.api.handlers.schedules.schedule_preview import SchedulePreview
from services.api.handlers.schedules.schedule_rows import ScheduleRows
from services.api.handlers.schedules.schedule_runs import ScheduleRuns
from services.api.handlers.schedules.schedule_timeline import ScheduleTimeline
from services.api.handlers.signing_secret import SigningSecret
from services.api.handlers.system import Checks, Report, System
from services.api.handlers.tokens import Tokens
from services.api.handlers.webhooks.deliveries import Deliveries
from services.api.handlers.webhooks.endpoints import Endpoints
from services.api.handlers.webhooks.recoveries import Recoveries
from services.api.http.app import App, Handler, Mount, Observe
from services.api.http.auth import Authenticator
from services.api.http.connection_budget import ConnectionBudget
from services.api.http.request_turns import CHANGES_AT_ONCE, LISTS_AT_ONCE, RequestTurns
from services.api.http.server import HttpServer, connections_within
from services.api.state.account_use import AccountUse
from services.api.state.consistency import ReadIndex
from services.api.state.creation_limits import LAG_MAX, CreationLimits
from services.api.state.minting import Mint
from services.api.state.unfolded_records import UnfoldedRecords
from services.api.stream.judging import Judging
from services.api.stream.judging import Tables as StreamTables
from services.api.stream.place import Places
from services.api.stream.tail import STREAMS_MAX, Tail

CONNECTIONS_MAX: Final = 4096
RECEIVED_MAX: Final = 64 << 20  # bytes; with as much for answers, within the memory that deploy/ gives to a process
UNREAD_MAX: Final = 64 << 20
TAIL_GATHER_MS: Final = 10  # between two reads of a partition for the streams
DRAIN_S: Final = 10.0  # how long requests under way may take at stop: more than the longest wait of a handler

_log = structlog.get_logger("api")


class BindFailed(Exception):
    """The API's address cannot be listened on; the message is one line for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """
    What the API needs from outside. If the tables do not answer, each of the seven raises `StoreUnavailable`: the API answers 503.

    Args:
        check_url: `EgressPolicy.check_url`.
        zones: the time zones that rules of schedules may name.
        pepper: keys the hashes of tokens; the same in every process, and never changed.
        cursor_key: keys the cursors; the same in every process.
        keyring: seals what new jobs and schedules carry.
        leases: who serves which partition.
        checks: what is wrong with the installation.
        stream: whose jobs and schedules are.
        count_unreadable: called with how many records of the log could not be read for the streams of events.
        is_disk_full: whether nothing new may be taken, because the disk of the database is nearly full.
    """

    log: Log
    queries: AccountQueries
    search: Search
    keys: IdempotencyKeys
    names: Names
    accounts: Accounts
    endpoints: StoredEndpoints
    deliveries: DeliveryQueries
    responses: Responses
    recoveries: StoredRecoveries
    activity: ActivityReader
    leases: Report
    checks: Checks
    stream: StreamTables
    progress: ProgressWatch
    clock: Clock
    entropy: Entropy
    check_url: CheckUrl
    zones: Zones
    pepper: bytes
    cursor_key: bytes
    is_disk_full: Callable[[], bool] = lambda: False
    keyring: Keyring = NO_SEALING
    count_unreadable: Callable[[int], None] = lambda _count: None


def _unobserved(_route: str, _method: str, _status: int, _seconds: float) -> None:
    pass


class ApiService:
    """Serves `/v1` on one address."""

    def __init__(
        self,
        ports: Ports,
        *,
        host: str,
        port: int,
        limits_of: Callable[[str], Limits] = lambda _account: NO_LIMITS,
        observe: Observe = _unobserved,
        version: str = "0",
        lag_max: int = LAG_MAX,
        connections_max: int = CONNECTIONS_MAX,
        received_max: int = RECEIVED_MAX,
        unread_max: int = UNREAD_MAX,
        streams_max: int = STREAMS_MAX,
        tracing: Tracing = NO_TRACING,
        mounts: Sequence[Mount] = (),
    ) -> None:
        """
        Prepare the service.

        Args:
            host, port: where to listen; port 0 takes any, see `port` after `start`.
            limits_of: what an account may use.
            observe: called with every answer, for the metrics.
            version: shown in the OpenAPI document.
            lag_max: if more records than these are in the log and not yet in the tables, new jobs are refused for the moment.
            connections_max: how many connections may be open at once.
            received_max, unread_max: bytes of requests without an answer and of answers that nobody has read, over all connections.
            streams_max: how many streams of events there may be at once.
            tracing: takes the spans of requests.
            mounts: what answers beside `/v1`.
        """
        self._ports = ports
        self._host = host
        self._port = port
        self._limits_of = limits_of
        self._observe = observe
        self._version = version
        self._lag_max = lag_max
        self._connections_max = connections_max
        self._received_max = received_max
        self._unread_max = unread_max
        self._streams_max = streams_max
        self.tail: Tail | None = None
        self._tracing = tracing
        self._mounts = mounts
        self.server: HttpServer | None = None
        self._limits: CreationLimits | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port listened on."""
        return self._port

    def ready(self) -> str | None:
        """Return None when requests are taken, else the reason why not."""
        if self.server is None:
            return "not listening"
        if self._looking is not None and self._looking.done():
            return "the watch over the tables' lag has ended"
        # Being overloaded is no reason: all replicas are overloaded together, and reads and cancellations must go on.
        return None

    async def start(self) -> None:
        """
        Listen and serve.

        Raises:
            BindFailed: the address is taken or not ours.
            LogUnavailable: the log does not answer.
        """
        app = await self._app()
        files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # -1 where there is no limit
        connections_max = connections_within(self._connections_max, files_max)
        budget = ConnectionBudget(
            connections_max=connections_max, received_max=self._received_max, unread_max=self._unread_max
        )
        server = HttpServer(app.handle, budget=budget, now_s=self._ports.clock.now_s)
        try:
            self._port = await server.listen(self._host, self._port)
        except OSError as error:
            raise BindFailed(bind_failure("FLIQ_PORT", self._host, self._port, error)) from error
        self.server = server
        if self._limits is not None:
            self._looking = asyncio.create_task(self._limits.look_forever(), name="api-creation-limits")
        _log.debug("api_listening", host=self._host, port=self._port)

    async def stop(self) -> None:
        """Close the socket and let requests under way end; may be called before `start`, and twice."""
        server, self.server = self.server, None
        if self.tail is not None:
            await self.tail.close()
        if server is not None:
            await server.close(DRAIN_S)
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _app(self) -> App:
        ports = self._ports
        partition_count = await ports.log.partitions()
        self._limits = limits = CreationLimits(
            log=ports.log,
            progress=ports.progress,
            queries=ports.queries,
            clock=ports.clock,
            daily_limit=lambda account: self._limits_of(account).executions_per_day,
            partition_count=partition_count,
            lag_max=self._lag_max,
            is_disk_full=ports.is_disk_full,
        )
        read_index = ReadIndex(ports.log, ports.progress, partition_count=partition_count)
        context = Context(
            log=ports.log,
            queries=ports.queries,
            search=ports.search,
            keys=ports.keys,
            names=ports.names,
            progress=ports.progress,
            read_index=read_index,
            limits=limits,
            limits_of=self._limits_of,
            use=AccountUse(ports.queries, read_index.everywhere, self._limits_of),
            unfolded=UnfoldedRecords(ports.progress),
            lists=RequestTurns(LISTS_AT_ONCE),
            changes=RequestTurns(CHANGES_AT_ONCE),
            mint=Mint(ports.entropy, partition_count=partition_count, avoided=lambda: limits.avoided),
            clock=ports.clock,
            cursors=Cursors(ports.cursor_key),
            check_url=ports.check_url,
            zones=ports.zones,
            keyring=ports.keyring,
        )
        authenticator = Authenticator(ports.accounts.find_tokens, pepper=ports.pepper, now=ports.clock.now)
        places = Places(ports.cursor_key, ports.entropy.entropy)
        self.tail = self._new_tail(partition_count, places)
        handlers = _handlers(context, ports, authenticator, self._version)
        handlers["events.stream"] = Events(context, self.tail, places, authenticator).stream
        return App(
            authenticator,
            handlers,
            observe=self._observe,
            now_s=asyncio.get_running_loop().time,
            limits_of=self._limits_of,
            tracing=self._tracing,
            mounts=self._mounts,
            make_ready=ports.keyring.ready,
        )

    def _new_tail(self, partition_count: int, places: Places) -> Tail:
        ports = self._ports
        judging = Judging(ports.stream, ports.progress, ports.clock, places.event_id)
        reading = ReaderContext("api", ports.log, ports.clock, _Unreadable(ports.count_unreadable), TAIL_GATHER_MS)
        return Tail(reading, ports.stream, judging, partition_count, streams_max=self._streams_max)


class _Unreadable(NamedTuple):
    poison: Callable[[int], None]


def _handlers(context: Context, ports: Ports, authenticator: Authenticator, version: str) -> dict[str, Handler]:
    rows = ScheduleRows(context)
    changes = ScheduleChanges(context, rows)
    keys = ScheduleKeys(context, rows, changes)
    groups: dict[str, object] = {
        "creation": JobCreation(context),
        "job_changes": JobChanges(context),
        "jobs": Jobs(context),
        "responses": KeptResponses(context, ports.responses),
        "schedule_creation": ScheduleCreation(context, rows, keys.create),
        "schedule_changes": changes,
        "schedule_runs": ScheduleRuns(context, rows),
        "schedule_backfills": ScheduleBackfills(context, rows),
        "schedule_timeline": ScheduleTimeline(context, rows),
        "schedule_keys": keys,
        "preview": SchedulePreview(context, rows),
        "account": Account(context, ports.activity),
        "tokens": Tokens(context, ports.accounts, authenticator, pepper=ports.pepper),
        "endpoints": Endpoints(context, ports.endpoints),
        "recoveries": Recoveries(context, ports.endpoints, ports.recoveries),
        "deliveries": Deliveries(context, ports.deliveries, ports.endpoints),
        "signing_secret": SigningSecret(context, ports.accounts),
        "system": System(context, ports.leases, ports.checks, version),
        "openapi": OpenApi(version),
    }
    handlers = {}
    for route in ROUTES:
        group, _, method = route.handler.partition(".")
        if group == "events":
            continue
        handlers[route.handler] = getattr(groups[group], method)
    return handlers
