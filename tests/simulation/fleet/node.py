"""
Node: a place where a process of Fliq lives, dies and is started again. The services in it are the real ones, put together as
`services/process/wiring.py` does; the links to log, tables and targets are imagined.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from libs.events.ids import is_id
from libs.following.calls import CallLimits
from libs.following.ports import FollowingPorts
from libs.store.errors import StoreUnavailable
from libs.store.health.clock_check import ClockCheck
from libs.store.leases.lease_table import Lease
from libs.store.projection.progress import ProgressWatch
from services.api.service import ApiService, Ports
from services.dispatcher.endpoints import EndpointSecrets
from services.dispatcher.service import DispatcherService
from services.process.keepers import follower_keeper, owner_keeper
from services.scheduler.daily.grant_asker import GrantAsker
from services.scheduler.flusher import Flusher
from services.scheduler.partition_owner import PartitionOwner
from services.scheduler.service import SchedulerService
from services.webhooks.fan_out.ports import FanOutPorts
from services.webhooks.service import DRAIN_S as WEBHOOK_DRAIN_S
from services.webhooks.service import WebhooksService
from tests.fakes.targets import Tally
from tests.property.calendar.made_zones import ZONES
from tests.simulation.fleet.chronicle import Chronicle, SimClock
from tests.simulation.fleet.log_link import LogLink, LogServer
from tests.simulation.fleet.loop import Process, SimLoop
from tests.simulation.fleet.store_link import (
    LinkedLeases,
    LinkedProjector,
    Remote,
    StoreLink,
    StoreServer,
    answering,
)
from tests.simulation.fleet.stories.keeping import Keepers
from tests.simulation.fleet.targets import SimEgress, Targets
from tests.simulation.fleet_request import Request
from tests.simulation.manual_clock import SeededEntropy

PEPPER: Final = b"pepper"
ROLES: Final = ("scheduler", "dispatcher", "webhooks", "api")
STOP_WITHIN_S: Final = 40.0  # what the supervisor allows (libs/runtime/lifecycle.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What is set per installation: drawn small, so that limits are met."""

    partitions: int
    lead_ms: int
    retry_base_s: float
    slots: int
    concurrency: int
    per_host: int
    window: int
    gather_ms: int
    daily_limit: int
    webhook_retries: int
    keeps: bool = False  # forgets ended jobs, and trims the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """What all nodes share."""

    loop: SimLoop
    chronicle: Chronicle
    log: LogServer
    store: StoreServer
    targets: Targets
    sizes: Sizes
    seed: str


class Measures:
    """Stands for `SchedulerMetrics`: whatever is counted is counted by name."""

    def __init__(self, counts: Counter[str]) -> None:
        """Count in *counts*."""
        self.counts = counts

    def __getattr__(self, name: str) -> Any:
        def count(amount: float = 1) -> None:
            self.counts[name] += int(amount)

        self.__dict__[name] = made = SimpleNamespace(inc=count, observe=lambda _: None)
        return made

    def resigned(self, reason: str) -> None:
        """Count an owner that gave up."""
        self.counts[f"resigned {reason}"] += 1


class Answer(NamedTuple):
    """What the API said; *is_stale* when it says itself that it may lack what was acknowledged before."""

    status: int
    body: bytes
    is_stale: bool


class Node:
    """One place, and the life that is lived there at the moment."""

    def __init__(self, harness: Harness, name: str, roles: tuple[str, ...]) -> None:
        """Prepare the place; nobody lives there before `start`."""
        self.harness = harness
        self.name = name
        self.roles = roles
        self.is_older = False  # two of three lives here are those of a build of the first contract
        self.skew_ms = 0
        self.counts: Counter[str] = Counter()
        self.lives = 0
        self.process: Process | None = None
        self.log: LogLink | None = None
        self.store: StoreLink | None = None
        self.services: list[Any] = []
        self.app: Any = None
        self.clock_check: Any = None
        self.keepers: Keepers | None = None
        self.checking: asyncio.Task[None] | None = None
        self.stopping: asyncio.Task[Any] | None = None
        self._callers: dict[asyncio.Future[Any], None] = {}

    @property
    def is_up(self) -> bool:
        """Whether a process lives here."""
        return self.process is not None and not self.process.is_dead

    def start(self) -> None:
        """Begin a life."""
        if self.is_up:
            return
        self.lives += 1
        harness = self.harness
        self.process = process = Process(f"{self.name}.{self.lives}")
        process.is_first_build = self.is_older and self.lives % 3 != 0
        process.skew_ms = self.skew_ms
        process.on_death = self._on_death
        self.log = LogLink(harness.log, process)
        self.store = StoreLink(harness.store, process)
        self.app = self.keepers = None
        self.stopping = None
        harness.chronicle.note(f"start {process}")
        self.run(self._live(process, self.log, self.store))

    def run(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine inside of the process that lives here."""
        assert self.process is not None
        return self.harness.loop.create_task(work, context=self.process.context.copy())

    def kill(self) -> None:
        """End the life as kill -9 does."""
        if self.process is not None and not self.process.is_dead:
            self.harness.loop.kill(self.process)

    def stop(self) -> None:
        """End the life as SIGTERM does."""
        if self.is_up and self.stopping is None:
            self.harness.chronicle.note(f"term {self.process}")
            self.stopping = self.run(self._drain())

    def request(self, method: str, path: str, body: bytes, token: str) -> asyncio.Future[Answer]:
        """Send a request here; the future ends with the answer, or with ConnectionError."""
        future: asyncio.Future[Answer] = self.harness.loop.create_future()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if self.app is None or not self.is_up or self.stopping is not None:
            future.set_exception(ConnectionRefusedError())
            return future
        self._callers[future] = None
        self.run(self._serve(Request(method, path, body, headers), future))
        return future

    async def _serve(self, request: Request, future: asyncio.Future[Answer]) -> None:
        reply = await self.app.handle(request)
        self._callers.pop(future, None)
        if not future.done():
            future.set_result(Answer(reply.status, reply.body, "Fliq-Stale" in reply.headers))

    def _on_death(self) -> None:
        assert self.process is not None
        assert self.log is not None
        self.harness.chronicle.note(f"dead {self.process}")
        self.log.die()
        callers, self._callers = self._callers, {}
        for future in callers:
            if not future.done():
                future.set_exception(ConnectionResetError())

    async def _live(self, process: Process, log: LogLink, store: StoreLink) -> None:
        clock = SimClock(self.harness.loop, process)
        watch = ProgressWatch(Remote(store), poll_s=0.01)
        store.on_connect = watch.forget
        self.services = []
        self.clock_check = ClockCheck(Remote(store), clock)
        while True:
            try:
                await self.clock_check.compare()
                break
            except StoreUnavailable:
                await asyncio.sleep(0.5)  # a process that cannot start ends, and is started again
        self.checking = asyncio.create_task(self.clock_check.run(), name="clock")
        for role in ROLES:
            if role in self.roles:
                service = await self._make(role, process, clock, watch, log, store)
                self.services.append(service)
                await service.start()
                if role == "scheduler" and self.harness.sizes.keeps:
                    self.keepers = Keepers(process, clock, log, Remote(store), service, self.counts)
                    self.services.append(self.keepers)
                    await self.keepers.start()

    async def _drain(self) -> None:
        process = self.process
        assert process is not None
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                for service in reversed(self.services):
                    await service.stop()
        except TimeoutError:
            self.counts["not stopped in time"] += 1
        self.harness.loop.kill(process)

    async def _make(
        self, role: str, process: Process, clock: SimClock, watch: ProgressWatch, log: LogLink, store: StoreLink
    ) -> Any:
        match role:
            case "scheduler":
                return self._scheduler(process, clock, watch, log, store)
            case "dispatcher":
                return self._dispatcher(self._ports(process, clock, watch, log, store), store)
            case "webhooks":
                return self._webhooks(self._ports(process, clock, watch, log, store), store)
            case _:
                return self._api(clock, watch, log, store)

    def _scheduler(
        self, process: Process, clock: SimClock, watch: ProgressWatch, log: LogLink, store: StoreLink
    ) -> SchedulerService:
        harness, sizes = self.harness, self.harness.sizes
        metrics: Any = Measures(self.counts)
        tables = Remote(store)
        entropy = SeededEntropy(_number(f"{harness.seed} {process}"))

        def make_owner(
            lease: Lease, wake_flusher: Callable[[], None], wake_asker: Callable[[], None]
        ) -> PartitionOwner:
            return PartitionOwner(
                lease,
                node=self.name,
                event_log=log,
                tables=tables,  # type: ignore[arg-type]
                clock=clock,
                entropy=entropy,
                metrics=metrics,
                lead_ms=sizes.lead_ms,
                retry_base_s=sizes.retry_base_s,
                concurrency=sizes.slots,
                gather_ms=sizes.gather_ms,
                zones=ZONES.find,
                wake_flusher=wake_flusher,
                daily_limit=lambda account: 0 if is_id(account, "whe") else sizes.daily_limit,
                wake_asker=wake_asker,
            )

        projector = LinkedProjector(store, watch)
        return SchedulerService(
            make_owner=make_owner,
            make_flusher=lambda owners: Flusher(projector, owners, clock, metrics, is_awaited=watch.is_awaited),
            make_asker=lambda owners: GrantAsker(tables, owners, clock),  # type: ignore[arg-type]
            make_keeper=owner_keeper(
                LinkedLeases(store, "scheduler", self.name),
                partitions=sizes.partitions,
                stands_aside=self.clock_check.reason,
                clock=clock,
            ),
            resigned=metrics.resigned,
        )

    def _ports(
        self, process: Process, clock: SimClock, watch: ProgressWatch, log: LogLink, store: StoreLink
    ) -> FollowingPorts:
        return FollowingPorts(
            event_log=log,
            progress=watch,
            secrets=EndpointSecrets(answering(store), answering(store)),  # type: ignore[arg-type]
            egress=SimEgress(self.harness.targets, self.harness.loop, process, clock),
            clock=clock,
            version="0",
            gather_ms=self.harness.sizes.gather_ms,
            append_gather_ms=self.harness.sizes.gather_ms,
        )

    def _dispatcher(self, ports: FollowingPorts, store: StoreLink) -> DispatcherService:
        sizes = self.harness.sizes
        service = DispatcherService(
            ports,
            tables=Remote(store),  # type: ignore[arg-type]
            endpoint_health=Remote(store),  # type: ignore[arg-type]
            meter=Tally(),
            make_keeper=follower_keeper(
                LinkedLeases(store, "dispatcher", self.name),
                partitions=sizes.partitions,
                stands_aside=self.clock_check.reason,
                clock=ports.clock,
            ),
            limits=CallLimits(places=sizes.window, slots=sizes.concurrency, per_lane=sizes.per_host, per_round=8),
        )
        service.on_crash = self._crashed
        return service

    def _webhooks(self, ports: FollowingPorts, store: StoreLink) -> WebhooksService:
        service = WebhooksService(
            ports,
            tables=Remote(store),  # type: ignore[arg-type]
            fan_out=FanOutPorts(*[Remote(store) for _ in range(3)]),  # type: ignore[arg-type]
            meter=Tally(),
            retries=self.harness.sizes.webhook_retries,
            make_keeper=follower_keeper(
                LinkedLeases(store, "webhooks", self.name),
                partitions=self.harness.sizes.partitions,
                stands_aside=self.clock_check.reason,
                hand_back_s=WEBHOOK_DRAIN_S,
                clock=ports.clock,
            ),
        )
        service.on_crash = self._crashed
        return service

    def _crashed(self, task: str, error: BaseException) -> None:
        self.harness.loop.errors.append(f"{self.process}: {task} crashed: {type(error).__name__}: {error}")

    def _api(self, clock: SimClock, watch: ProgressWatch, log: LogLink, store: StoreLink) -> Any:
        requests: Any = answering(store)
        service = ApiService(
            Ports(
                log=log,
                queries=requests,
                search=requests,
                keys=requests,
                names=requests,
                accounts=requests,
                endpoints=requests,
                responses=requests,
                deliveries=requests,
                recoveries=requests,
                activity=requests,
                leases=requests,
                checks=requests,
                stream=requests,
                progress=watch,
                clock=clock,
                entropy=SeededEntropy(_number(f"{self.harness.seed} {self.name} {self.lives} api")),
                check_url=lambda url: url,
                zones=ZONES,
                pepper=PEPPER,
                cursor_key=b"cursor key",
            ),
            host="",
            port=0,
        )
        return _Listening(self, service)


class _Listening:
    """The API without its socket."""

    def __init__(self, node: Node, service: ApiService) -> None:
        self._node = node
        self._service = service
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        app = await self._service._app()
        limits = self._service._limits
        assert limits is not None
        self._looking = asyncio.create_task(limits.look_forever(), name="api-creation-limits")
        self._node.app = app

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)


def _number(text: str) -> int:
    """Return a number for *text* that does not depend on how Python hashes."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
