"""
Wiring: the composition root. Resources in, services put together and run.

    resources (services/process/resources.py: settings -> PostgreSQL, log, tables) -> services -> supervisor

Nothing is built at import time.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Protocol, runtime_checkable

import structlog

from libs.egress.client import EgressClient
from libs.log.reported_positions import ReportedPositions
from libs.runtime import garbage
from libs.runtime.crashpoint import arm
from libs.runtime.lifecycle import Loop
from libs.runtime.probes import Probes
from libs.runtime.settings.settings import Settings, SettingsError, idle_names, unknown_names
from libs.runtime.telemetry import logging
from libs.runtime.telemetry.tracing import Tracing, open_tracing
from libs.store.control.accounts import Accounts
from libs.store.control.idempotency import IdempotencyKeys
from libs.store.errors import StoreUnavailable
from libs.store.health.installation_status import StatusReader
from libs.store.leases.lease_keeper import LeaseKeeper
from libs.store.leases.lease_table import Lease, OwnerLeases, RoleLeases
from libs.store.projection.projector import Projector
from libs.store.reads.account_queries import AccountQueries
from libs.store.reads.partition_tables import Tables
from services import VERSION
from services.api.greeting import address_of, greeting
from services.api.metrics import ApiMetrics
from services.api.service import ApiService, Ports
from services.api.state.bootstrap import bootstrap, show
from services.dispatcher.heartbeat import HeartbeatSecrets, HeartbeatTarget
from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.service import DispatcherService
from services.process.resources import ROLES, Resources, StartError
from services.process.vitals import Reading, Role, Vitals
from services.scheduler.flusher import Flusher
from services.scheduler.heartbeats import Heartbeats
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.partition_owner import PartitionOwner
from services.scheduler.service import SchedulerService
from services.webhooks.metrics import WebhooksMetrics
from services.webhooks.service import DRAIN_S as WEBHOOK_DRAIN_S
from services.webhooks.service import WebhooksService

# How long work gathers before somebody is woken for it (libs/runtime/pace.py).
DUE_GATHER_MS: Final = 16  # due events; out of their lead
DISPATCHER_GATHER_MS: Final = 5  # due events are read within their lead; outcomes may wait this long to be written
WEBHOOKS_GATHER_MS: Final = 20  # nobody waits for a webhook to the millisecond
CONCURRENCY: Final = 2_000  # attempts of one partition that may be under way at once
TRACES_SENT_S: Final = 3.0  # for the last spans, when the process ends
_GREET_S: Final = 0.5

_log = structlog.get_logger("fliq")


async def run_services(settings: Settings, roles: Sequence[str]) -> int:
    """
    Run *roles* until told to stop; returns the exit code.

    Raises:
        StartError, SettingsError: something is missing or wrong; one line says what.
    """
    lines = logging.configure(settings.log_level, settings.log_format)
    _end_on_sigterm()
    warn_of(os.environ)
    if settings.crash_at is not None:
        try:
            arm(*settings.crash_at)
        except ValueError as error:
            raise SettingsError(str(error)) from None
    async with AsyncExitStack() as stack:
        resources = Resources(settings, roles)
        await resources.open(stack)
        resources.tracing = _tracing(roles, stack)
        probes = Probes(host=settings.host, port=settings.admin_port, metrics=resources.metrics)
        resources.supervisor.add("probes", probes)
        egress = EgressClient(policy=resources.policy, now=resources.clock.now)
        await egress.start()
        stack.push_async_callback(egress.close)
        probes.add_check("database", resources.database_reason)
        probes.add_check("clock", resources.clock_check.reason)
        resources.supervisor.add("clock", Loop("clock", resources.clock_check.run))
        readers: list[Role] = []
        for role in ROLES:
            if role in roles:
                service = await _service(role, resources, egress, stack)
                resources.supervisor.add(role, service)
                probes.add_check(role, service.ready)
                if isinstance(service, ReadingService) and isinstance(service.keeper, LeaseKeeper):
                    readers.append(Role(role, service, service.keeper))
                if isinstance(service, ReadingService) and resources.report_positions is not None:
                    shown = ReportedPositions(
                        f"fliq-{role}",
                        service.positions,
                        resources.report_positions,
                        writer=resources.database_name,
                        clock=resources.clock,
                    )
                    resources.supervisor.add(f"{role} offsets", shown)
                if isinstance(service, SchedulerService) and settings.heartbeat_s:
                    resources.supervisor.add("heartbeats", _heartbeats(resources, service))
        resources.supervisor.add("vitals", _vitals(resources, readers, probes))
        _log.info(
            "starting",
            service=",".join(roles),
            version=VERSION,
            node=resources.node,
            address=address_of(settings.host, settings.port) if "api" in roles else None,
            admin_address=address_of(settings.host, settings.admin_port),
        )

        def greet() -> None:
            lines.flush(_GREET_S)  # the log has a thread of its own: what it holds comes first
            show(_greeting(resources) if "api" in roles else "")

        garbage.settle()
        return await resources.supervisor.run(on_started=greet)


def warn_of(environ: Mapping[str, str]) -> None:
    """Log what is set in *environ* and does nothing."""
    for name in unknown_names(environ):
        _log.warning("this variable is no setting of Fliq and is ignored", name=name)
    if idle := idle_names(environ):
        reason = "FLIQ_KAFKA_BOOTSTRAP is not set, so the log is in PostgreSQL"
        _log.warning("settings of Kafka do nothing", settings=", ".join(idle), reason=reason)


def _end_on_sigterm() -> None:
    """Have a SIGTERM during the start undo it, as Ctrl-C does; the supervisor takes the signal over afterwards."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _greeting(resources: Resources) -> str:
    settings = resources.settings
    return greeting(
        address=address_of(settings.host, settings.port),
        admin_address=address_of(settings.host, settings.admin_port),
        token=resources.first_token,
        check_url=resources.policy.check_url,
        platform=sys.platform,
    )


class RoleService(Protocol):
    """What every service offers to the process that runs it."""

    async def start(self) -> None:
        """Be at work when this returns."""

    async def stop(self) -> None:
        """Drain, and be at rest when this returns."""

    def ready(self) -> str | None:
        """Return None when it can do its work, else the reason why not."""


def _tracing(roles: Sequence[str], stack: AsyncExitStack) -> Tracing:
    service = "fliq" if len(roles) > 1 else f"fliq-{roles[0]}"
    tracing = open_tracing(os.environ, service=service, version=VERSION)

    async def stop() -> None:
        try:
            async with asyncio.timeout(TRACES_SENT_S):
                await asyncio.to_thread(tracing.stop)
        except TimeoutError:
            _log.warning("spans were left unsent")

    if tracing.is_on:
        stack.push_async_callback(stop)
    return tracing


@runtime_checkable
class ReadingService(Reading, Protocol):
    """A service that follows the log under leases."""

    keeper: Any


def _vitals(resources: Resources, readers: list[Role], probes: Probes) -> Vitals:
    vitals = Vitals(
        log=resources.log,
        status=StatusReader(resources.control_pool),
        partitions=resources.partitions,
        roles=readers,
        clock=resources.clock,
        metrics=resources.metrics,
        data_dir=resources.settings.data_dir,
    )
    probes.add_check("log", vitals.log_reason)
    probes.add_check("progress", vitals.progress_reason)
    probes.add_check("leases", vitals.leases_reason)
    return vitals


async def _service(role: str, resources: Resources, egress: EgressClient, stack: AsyncExitStack) -> RoleService:
    match role:
        case "scheduler":
            return _scheduler(resources, stack)
        case "dispatcher":
            return _dispatcher(resources, egress)
        case "webhooks":
            return _webhooks(resources, egress)
        case _:
            return await _api(resources)


def _scheduler(resources: Resources, stack: AsyncExitStack) -> SchedulerService:
    metrics = SchedulerMetrics(resources.metrics)
    projector = Projector(resources.flush_pool, resources.watch)
    stack.push_async_callback(projector.close)
    tables = Tables(resources.tables_pool)

    def make_owner(lease: Lease, wake: Any) -> PartitionOwner:
        return PartitionOwner(
            lease,
            node=resources.node,
            event_log=resources.log,
            tables=tables,
            clock=resources.clock,
            entropy=resources.entropy,
            metrics=metrics,
            lead_ms=resources.settings.fire_lead_ms,
            retry_base_s=resources.settings.retry_base_s,
            concurrency=CONCURRENCY,
            gather_ms=DUE_GATHER_MS,
            wake_flusher=wake,
        )

    service = SchedulerService(
        make_owner=make_owner,
        make_flusher=lambda owners: Flusher(
            projector, owners, resources.clock, metrics, is_awaited=resources.watch.is_awaited
        ),
        resigned=metrics.resigned,
    )
    metrics.observe_owners(service.owners.values())
    service.keeper = LeaseKeeper(
        OwnerLeases(resources.control_pool, resources.node, partitions=resources.partitions, version=VERSION),
        partitions=resources.partitions,
        on_gained=service.on_gained,
        on_lost=service.on_lost,
        before_release=service.hand_off,
        is_fenced=True,
        stands_aside=resources.clock_check.reason,
    )
    return service


def _heartbeats(resources: Resources, scheduler: SchedulerService) -> Loop:
    heartbeats = Heartbeats(
        event_log=resources.log,
        clock=resources.clock,
        period_ms=resources.settings.heartbeat_s * 1000,
        partition_count=resources.partitions,
        decides=scheduler.decides,
    )
    return Loop("heartbeats", heartbeats.run)


def _dispatcher(resources: Resources, egress: EgressClient) -> DispatcherService:
    leases = RoleLeases(
        resources.control_pool, "dispatcher", resources.node, partitions=resources.partitions, version=VERSION
    )
    meter = DispatcherMetrics(resources.metrics)
    resources.metrics.heartbeat_period_seconds.set(resources.settings.heartbeat_s)
    service = DispatcherService(
        event_log=resources.log,
        tables=Tables(resources.tables_pool),
        progress=resources.watch,
        secrets=HeartbeatSecrets(Accounts(resources.control_pool)),
        egress=HeartbeatTarget(egress, resources.clock, resources.metrics.heartbeat_timestamp_seconds.set),
        clock=resources.clock,
        meter=meter,
        version=VERSION,
        make_keeper=lambda service: LeaseKeeper(
            leases,
            partitions=resources.partitions,
            on_gained=service.on_gained,
            on_lost=service.on_lost,
            may_release=service.may_release,
            stands_aside=resources.clock_check.reason,
        ),
        concurrency=resources.settings.dispatch_concurrency,
        per_host=resources.settings.dispatch_per_host,
        gather_ms=DISPATCHER_GATHER_MS,
        tracing=resources.tracing,
    )
    meter.observe_calls(active=lambda: service.active_count, waiting=lambda: service.waiting_count)
    return service


def _webhooks(resources: Resources, egress: EgressClient) -> WebhooksService[Lease]:
    leases = RoleLeases(
        resources.control_pool, "webhooks", resources.node, partitions=resources.partitions, version=VERSION
    )
    meter = WebhooksMetrics(resources.metrics)
    service: WebhooksService[Lease] = WebhooksService(
        event_log=resources.log,
        positions=leases,
        tables=Tables(resources.tables_pool),
        progress=resources.watch,
        secrets=Accounts(resources.control_pool),
        egress=egress,
        clock=resources.clock,
        meter=meter,
        version=VERSION,
        make_keeper=lambda service: LeaseKeeper(
            leases,
            partitions=resources.partitions,
            on_gained=service.on_gained,
            on_lost=service.on_lost,
            may_release=service.may_release,
            hand_back_s=WEBHOOK_DRAIN_S,
            stands_aside=resources.clock_check.reason,
        ),
        gather_ms=WEBHOOKS_GATHER_MS,
        tracing=resources.tracing,
    )
    meter.observe_held(lambda: service.held_count)
    return service


async def _api(resources: Resources) -> ApiService:
    accounts = Accounts(resources.control_pool)
    settings = resources.settings
    try:
        secret = settings.secret_key.encode() if settings.secret_key else await accounts.instance_secret("key")
        resources.first_token = await bootstrap(
            accounts, settings.bootstrap_tokens, pepper=secret, entropy=resources.entropy, clock=resources.clock
        )
    except StoreUnavailable as error:
        raise StartError(str(error)) from error
    return ApiService(
        Ports(
            log=resources.log,
            queries=AccountQueries(resources.tables_pool),
            keys=IdempotencyKeys(resources.control_pool),
            accounts=accounts,
            progress=resources.watch,
            clock=resources.clock,
            entropy=resources.entropy,
            check_url=resources.policy.check_url,
            pepper=secret,
            cursor_key=secret,
        ),
        host=settings.host,
        port=settings.port,
        daily_limit=settings.daily_execution_limit,
        observe=ApiMetrics(resources.metrics),
        version=VERSION,
        tracing=resources.tracing,
    )
