"""
Wiring: the four services, each put together from the resources of the process.

Nothing is built at import time.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, Final

from libs.domain.history.choice import HistoryTerms
from libs.domain.responses.terms import CaptureTerms
from libs.egress.address_pace import AddressPace
from libs.following.ports import FollowingPorts
from libs.runtime.lifecycle import Loop
from libs.runtime.settings.settings import Settings
from libs.runtime.zone_data import VERSION as VERSION_OF_ZONES
from libs.store.carried.carrier import Carrier
from libs.store.control.accounts import Accounts
from libs.store.control.daily_grants import DailyGrants
from libs.store.control.endpoints import Endpoints
from libs.store.control.recoveries import Recoveries
from libs.store.history.janitor import Janitor
from libs.store.leases.lease_table import Lease, OwnerLeases, RoleLeases
from libs.store.projection.projector import Projector
from libs.store.reads.delivery_queries import DeliveryQueries
from libs.store.reads.fan_out_tables import FanOutPositions, ToldJobs
from libs.store.reads.partition_tables import Tables
from libs.store.reads.pending_webhooks import PendingWebhooks
from services import VERSION
from services.dispatcher.endpoints import EndpointSecrets
from services.dispatcher.heartbeat import HeartbeatSecrets, HeartbeatTarget
from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.service import LIMITS as DISPATCHER_LIMITS
from services.dispatcher.service import DispatcherService
from services.process.keepers import follower_keeper, owner_keeper
from services.process.resources import Resources
from services.process.zones import zone
from services.scheduler.daily.grant_asker import GrantAsker
from services.scheduler.flusher import Flusher
from services.scheduler.heartbeats import Heartbeats
from services.scheduler.history.history_keeper import HistoryKeeper
from services.scheduler.history.history_metrics import HistoryMetrics, LogMetrics
from services.scheduler.history.log_keeper import LogKeeper
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.partition_owner import PartitionOwner
from services.scheduler.service import SchedulerService
from services.webhooks.fan_out.ports import FanOutPorts
from services.webhooks.fan_out.recoverer import RecoveryPorts
from services.webhooks.metrics import WebhooksMetrics
from services.webhooks.service import DRAIN_S as WEBHOOK_DRAIN_S
from services.webhooks.service import LIMITS as WEBHOOK_LIMITS
from services.webhooks.service import WebhooksService

# How long work gathers before a loop is woken for it (libs/runtime/pace.py).
DUE_GATHER_MS: Final = 32  # due events; out of their lead, of which more than half is left
DISPATCHER_GATHER_MS: Final = 5  # due events are read within their lead
WEBHOOKS_GATHER_MS: Final = 20  # a webhook need not leave to the millisecond
OUTCOMES_GATHER_MS: Final = 32  # as due events; a kill may repeat the calls of so long
CONCURRENCY: Final = 1_500  # attempts of one partition that may be under way at once; half of them of one account


def scheduler(resources: Resources, stack: AsyncExitStack) -> SchedulerService:
    """Return the scheduler; *stack* gives back the connection that it writes the tables with."""
    metrics = SchedulerMetrics(resources.metrics)
    projector = Projector(resources.pools.flush, resources.watch)
    stack.push_async_callback(projector.close)
    tables = Tables(resources.pools.tables)

    limits = resources.limits
    grants = DailyGrants(resources.pools.tables)

    def make_owner(lease: Lease, wake_flusher: Any, wake_asker: Any) -> PartitionOwner:
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
            zones=zone,
            wake_flusher=wake_flusher,
            daily_limit=limits.executions_per_day,
            wake_asker=wake_asker,
        )

    service = SchedulerService(
        make_owner=make_owner,
        make_flusher=lambda owners: Flusher(
            projector, owners, resources.clock, metrics, is_awaited=resources.watch.is_awaited
        ),
        make_asker=lambda owners: GrantAsker(grants, owners, resources.clock),
        make_keeper=owner_keeper(
            OwnerLeases(
                resources.pools.vital,
                resources.node,
                partitions=resources.partitions,
                version=VERSION,
                zone_data=VERSION_OF_ZONES,
            ),
            partitions=resources.partitions,
            stands_aside=resources.clock_check.reason,
            clock=resources.clock,
        ),
        resigned=metrics.resigned,
    )
    metrics.observe_owners(service.owners.values())
    metrics.observe_refused(lambda: service.asker.refused_count)
    return service


def heartbeats(resources: Resources, service: SchedulerService) -> Loop:
    """Return what asks for the heartbeat jobs, wherever *service* decides."""
    loop = Heartbeats(
        event_log=resources.log,
        clock=resources.clock,
        period_ms=resources.settings.heartbeat_s * 1000,
        partition_count=resources.partitions,
        decides=service.decides,
    )
    return Loop("heartbeats", loop.run)


def history(resources: Resources, service: SchedulerService) -> Loop:
    """Return what keeps the history of the partitions that *service* owns."""
    settings = resources.settings
    keeper = HistoryKeeper(
        Janitor(resources.pools.tables),
        service.owners,
        resources.clock,
        HistoryTerms(
            days=settings.history_days,
            failed_days=settings.history_failed_days,
            response_days=settings.capture_days,
            rows_max=settings.history_max_rows,
        ),
        HistoryMetrics(resources.metrics),
        is_disk_short=resources.disk.is_short,
    )
    return Loop("history", keeper.run)


def log_length(resources: Resources, service: SchedulerService) -> Loop:
    """Return what keeps the log of the partitions that *service* owns from growing for ever."""
    keeper = LogKeeper(
        event_log=resources.log,
        carrier=Carrier(resources.pools.tables),
        positions=Janitor(resources.pools.tables),
        owners=service.owners,
        clock=resources.clock,
        days=resources.settings.log_days,
        metrics=LogMetrics(resources.metrics),
    )
    return Loop("log length", keeper.run)


def _following_ports(resources: Resources, *, gather_ms: int) -> FollowingPorts:
    keyring = resources.keyring(resources.pools.tables)
    return FollowingPorts(
        event_log=resources.log,
        progress=resources.watch,
        secrets=Accounts(resources.pools.tables, keyring),
        egress=resources.egress,
        clock=resources.clock,
        version=VERSION,
        gather_ms=gather_ms,
        append_gather_ms=OUTCOMES_GATHER_MS,
        tracing=resources.tracing,
        keyring=keyring,
    )


def dispatcher(resources: Resources) -> DispatcherService:
    """Return the dispatcher."""
    meter = DispatcherMetrics(resources.metrics)
    resources.metrics.heartbeat_period_seconds.set(resources.settings.heartbeat_s)
    ports = _following_ports(resources, gather_ms=DISPATCHER_GATHER_MS)
    endpoints = Endpoints(resources.pools.tables, ports.keyring)
    service = DispatcherService(
        ports._replace(
            secrets=HeartbeatSecrets(EndpointSecrets(ports.secrets, endpoints)),
            egress=HeartbeatTarget(ports.egress, resources.clock, resources.metrics.heartbeat_timestamp_seconds.set),
        ),
        tables=Tables(resources.pools.tables),
        endpoint_health=endpoints,
        meter=meter,
        make_keeper=follower_keeper(
            _leases(resources, "dispatcher"),
            partitions=resources.partitions,
            stands_aside=resources.clock_check.reason,
            clock=resources.clock,
        ),
        capture=capture_terms(resources.settings),
        limits=DISPATCHER_LIMITS._replace(
            slots=resources.settings.dispatch_concurrency, per_lane=resources.settings.dispatch_per_host
        ),
    )
    _pace_calls(resources, service)
    meter.observe_calls(active=lambda: service.active_count, waiting=lambda: service.waiting_count)
    return service


def capture_terms(settings: Settings) -> CaptureTerms:
    """Return what of answers is kept."""
    return CaptureTerms(
        when=settings.capture,  # type: ignore[arg-type]  # the parser knows these words
        bytes_max=settings.capture_bytes,
        header_names=frozenset(settings.capture_headers or ()),
        with_private=settings.capture_private,
        token_beginnings=settings.redact or (),
        daily_bytes_max=settings.capture_daily_mb * 1_000_000,
    )


def webhooks(resources: Resources) -> WebhooksService:
    """Return the webhooks service."""
    leases = _leases(resources, "webhooks")
    meter = WebhooksMetrics(resources.metrics)
    ports = _following_ports(resources, gather_ms=WEBHOOKS_GATHER_MS)
    service = WebhooksService(
        ports,
        tables=PendingWebhooks(resources.pools.tables),
        fan_out=FanOutPorts(
            Endpoints(resources.pools.tables, ports.keyring),
            ToldJobs(resources.pools.tables),
            FanOutPositions(resources.pools.tables),
            RecoveryPorts(Recoveries(resources.pools.tables), DeliveryQueries(resources.pools.tables, ports.keyring)),
            ports.keyring,
        ),
        retries=resources.settings.webhook_retries,
        retry_base_s=resources.settings.retry_base_s,
        meter=meter,
        limits=WEBHOOK_LIMITS._replace(
            slots=resources.settings.webhook_concurrency, per_lane=resources.settings.webhook_per_endpoint
        ),
        make_keeper=follower_keeper(
            leases,
            partitions=resources.partitions,
            stands_aside=resources.clock_check.reason,
            hand_back_s=WEBHOOK_DRAIN_S,
            clock=resources.clock,
        ),
    )
    meter.observe(
        held=lambda: service.held_count,
        pending=lambda: service.pending_count,
        oldest_s=lambda: service.oldest_pending_s,
        deliveries=lambda: service.waiting_deliveries_count,
    )
    _pace_calls(resources, service)
    return service


def _pace_calls(resources: Resources, service: DispatcherService | WebhooksService) -> None:
    """Have this process keep its part of the accounts' rates of calls: that of the partitions that *service* serves here."""
    limits, egress = resources.limits, resources.egress

    def rate_of(account: str) -> float:
        rate = limits.of(account).calls_per_second
        return rate and rate * max(1, len(service.keeper.held)) / resources.partitions

    if egress.pace is None:  # in a process with both, calls and webhooks share the pace of the dispatcher
        egress.pace = AddressPace(rate_of, put_off=resources.metrics.calls_put_off.inc)


def _leases(resources: Resources, role: str) -> RoleLeases:
    return RoleLeases(resources.pools.vital, role, resources.node, partitions=resources.partitions, version=VERSION)
