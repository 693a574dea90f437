"""
Resources: what the services of one process share, opened in order and closed in the reverse order by one exit stack.

    settings -> PostgreSQL (yours, or the embedded one) -> log (Kafka, or that PostgreSQL) -> tables -> pools -> tracing, egress

Nothing is built at import time.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from libs.egress.client import EgressClient
from libs.egress.own_addresses import read_own_addresses
from libs.egress.tls import default_ssl_context
from libs.egress.url_rules import EgressPolicy
from libs.log.measured import MeasuredLog
from libs.log.port import Log
from libs.log.reported_positions import has_company
from libs.runtime.clock import SteadyClock, SystemEntropy
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from libs.runtime.lifecycle import Supervisor, cancelled
from libs.runtime.node import Node
from libs.runtime.roles import READERS
from libs.runtime.settings.settings import Settings, SettingsError
from libs.runtime.telemetry.metrics import Metrics
from libs.runtime.telemetry.tracing import Tracing, open_tracing
from libs.sealing.keyring import Keyring
from libs.store.control.account_keys import AccountKeys
from libs.store.control.account_limits import AccountLimits, LimitsTable
from libs.store.control.limits import Limits
from libs.store.health.clock_check import ClockCheck
from libs.store.health.disk_watch import DiskWatch
from libs.store.projection.progress import ProgressWatch
from libs.store.schema.log_identity import database_name
from services import VERSION
from services.process.keys.master_key import keyring, prepare_sealing
from services.process.open_log import open_log, prepare_tables
from services.process.pools import Pools, enter_pools
from services.process.start_errors import start_errors
from services.start_error import StartError

TRACES_SENT_S: Final = 3.0  # for the last spans, when the process ends

_log = structlog.get_logger("process")


@dataclass(frozen=True, kw_only=True, slots=True)
class Basis:
    """
    What a process rests on; `fliq dev` rests on something else.

    Args:
        clock: what time it is.
        make_clock_check: compares that clock with the database's.
        make_egress: makes the way out, with the arguments of `EgressClient`.
        postgres: the database if settings name none; it may be starting already.
    """

    clock: SteadyClock = field(default_factory=SteadyClock)
    make_clock_check: Callable[[Any, SteadyClock], ClockCheck] = ClockCheck
    make_egress: Callable[..., EgressClient] = EgressClient
    postgres: EmbeddedPostgres | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """
    What the services of one process share.

    Args:
        limits: what each account may use.
        policy: which addresses calls may go to; `egress` keeps to it.
        node: this process's name among the others.
        database_name: the name that tells this database from every other.
        partitions: how many the log has.
        pools: the connections to the database.
        watch: knows how far the tables are.
        disk: that of the embedded PostgreSQL; of another database nothing is known.
        master_key_path: the file with the master key; None if nothing is sealed.
    """

    settings: Settings
    clock: SteadyClock
    entropy: SystemEntropy
    metrics: Metrics
    tracing: Tracing
    supervisor: Supervisor
    limits: AccountLimits
    policy: EgressPolicy
    egress: EgressClient
    node: str
    database_name: str
    log: MeasuredLog
    partitions: int
    pools: Pools
    watch: ProgressWatch
    clock_check: ClockCheck
    disk: DiskWatch
    master_key_path: Path | None

    def keyring(self, pool: Any) -> Keyring:
        """Return what seals and opens, with keys read through *pool*."""
        return keyring(self.master_key_path, pool, self.entropy, self.clock)

    async def database_reason(self) -> str | None:
        """Return None if the database answers, else why not; asked by `/readyz`, which bounds the wait."""
        try:
            await self.pools.vital.fetchval("SELECT 1")
        except Exception as error:  # noqa: BLE001 - every error means that it does not answer
            return f"the database does not answer: {type(error).__name__}"
        return None


async def open_resources(
    settings: Settings, roles: Sequence[str], stack: AsyncExitStack, basis: Basis | None = None
) -> Resources:
    """
    Open what the services of *roles* need: database, log, tables and the way out; *stack* closes it all.

    Raises:
        StartError, SettingsError: something is missing or wrong; one line says what.
    """
    basis = basis or Basis()
    policy = egress_policy(settings)
    tls = _egress_tls(settings)
    if settings.database_url is None and basis.postgres is None:
        raise SettingsError(
            "FLIQ_DATABASE_URL: a service on its own needs the database that the others use;"
            " `fliq all` brings one along"
        )
    clock, entropy, metrics, supervisor = basis.clock, SystemEntropy(), Metrics(version=VERSION), Supervisor()
    with start_errors(settings):
        node = Node.claim(settings.data_dir, override=settings.node, entropy=entropy)
        stack.callback(node.release)
        dsn = settings.database_url or ""
        if basis.postgres is not None:
            dsn = await _embedded_database(basis.postgres, supervisor, stack)
        log = MeasuredLog(await open_log(settings, dsn, stack), metrics)
        partitions = await log.partitions()
        await prepare_tables(log, dsn)
        name = await database_name(dsn)
        await _be_alone(log, settings, name, clock)
        pools, watch = await enter_pools(stack, dsn, roles)
        clock_check = basis.make_clock_check(pools.vital, clock)
        await clock_check.compare()
        limits = AccountLimits(limits_of_all(settings), LimitsTable(pools.vital), clock)
        await limits.look()
        key_path = await prepare_sealing(settings, roles, AccountKeys(pools.vital), entropy)
    tracing = _open_tracing(roles, stack)
    egress = basis.make_egress(policy=policy, now=clock.now, ssl_context=tls)
    await egress.start()
    stack.push_async_callback(egress.close)
    return Resources(
        settings=settings,
        clock=clock,
        entropy=entropy,
        metrics=metrics,
        tracing=tracing,
        supervisor=supervisor,
        limits=limits,
        policy=policy,
        egress=egress,
        node=node.name,
        database_name=name,
        log=log,
        partitions=partitions,
        pools=pools,
        watch=watch,
        clock_check=clock_check,
        master_key_path=key_path,
        disk=DiskWatch(
            settings.data_dir, settings.disk_min_free / 100 if settings.database_url is None else 0.0, clock
        ),
    )


def egress_policy(settings: Settings) -> EgressPolicy:
    """Return who may be called; raises `SettingsError` for an item that is wrong."""
    own_ports = frozenset({settings.port, settings.admin_port})
    try:
        policy = EgressPolicy.parse(settings.egress_allow, deny=settings.egress_deny, own_ports=own_ports)
    except ValueError as error:
        raise SettingsError(f"FLIQ_EGRESS_ALLOW: {error}") from None
    policy.note_own_addresses(read_own_addresses() or frozenset())
    return policy


def limits_of_all(settings: Settings) -> Limits:
    """Return the limits of accounts that have none of their own."""
    return Limits(
        requests_per_second=settings.limit_requests_per_second,
        connections=settings.limit_connections,
        waiting_jobs=settings.limit_waiting_jobs,
        stored_bytes=settings.limit_stored_mib << 20,
        calls_per_second=settings.limit_calls_per_second,
        executions_per_day=settings.daily_execution_limit,
    )


def _egress_tls(settings: Settings) -> ssl.SSLContext:
    try:
        return default_ssl_context(settings.egress_ca_file)
    except OSError as error:  # an SSLError is one
        reason = "it holds no PEM certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise SettingsError(f"FLIQ_EGRESS_CA_FILE: cannot use {settings.egress_ca_file}: {reason}") from None


async def _embedded_database(embedded: EmbeddedPostgres, supervisor: Supervisor, stack: AsyncExitStack) -> str:
    """Start the embedded PostgreSQL and return its address; if it ends by itself, so does the process."""
    await stack.enter_async_context(embedded)
    watching = asyncio.create_task(embedded.watch(), name="embedded postgresql")
    supervisor.watch("embedded postgresql", watching)
    stack.push_async_callback(cancelled, watching)
    return embedded.dsn


async def _be_alone(log: Log, settings: Settings, name: str, clock: SteadyClock) -> None:
    """Raise `StartError` if a Fliq with another database works on *log*: each of the two would make every call."""
    reports = log.position_reports
    groups = [f"fliq-{role}" for role in READERS]
    if reports is not None and await has_company(groups, reports.reported_notes, writer=name, clock=clock):
        raise StartError(
            f"FLIQ_KAFKA_TOPIC: another Fliq, with another database, works on the topic {settings.kafka_topic}"
            " at this moment: give each a topic of its own, or stop the other one"
        )


def _open_tracing(roles: Sequence[str], stack: AsyncExitStack) -> Tracing:
    service = "fliq" if len(roles) > 1 else f"fliq-{roles[0]}"
    tracing = open_tracing(os.environ, service=service, version=VERSION)

    async def stop() -> None:
        try:
            async with asyncio.timeout(TRACES_SENT_S):
                await asyncio.to_thread(tracing.stop)
        except TimeoutError:
            _log.warning("spans_left_unsent")

    if tracing.is_on:
        stack.push_async_callback(stop)
    return tracing
