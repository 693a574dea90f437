"""
Run: the life of one process: open the resources, put its services together, run them until it is told to stop.

    resources.py (settings -> PostgreSQL, log, tables) -> wiring.py (services) -> supervisor
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from libs.egress.own_addresses import watch_own_addresses
from libs.log.reported_positions import ReportedPositions
from libs.runtime import garbage
from libs.runtime.admin_port.checks import Checks
from libs.runtime.crashpoint import arm
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from libs.runtime.lifecycle import Loop, Service
from libs.runtime.listening import port_trouble
from libs.runtime.roles import CONSOLE
from libs.runtime.settings.settings import Settings, SettingsError, idle_names, unknown_names, unread_names
from libs.runtime.telemetry import logging
from libs.sealing.keyring import KeysUnavailable
from libs.store.control.accounts import Accounts
from libs.store.errors import StoreUnavailable
from libs.store.health.installation_status import StatusReader
from libs.store.leases.keeper_port import Keeper
from services import VERSION
from services.api.greeting import address_of, greeting
from services.process import wiring
from services.process.keys.bootstrap_tokens import bootstrap, installation_key, show
from services.process.resources import Basis, Resources, open_resources
from services.process.vitals import Reading, Role, Vitals
from services.start_error import StartError

if TYPE_CHECKING:
    from libs.runtime.admin_port.probes import Probes
    from services.api.http.app import Mount
    from services.api.service import ApiService

_GREET_S: Final = 0.5

_log = structlog.get_logger("process")


class ReadingService(Reading, Service, Protocol):
    """A service that follows the log under leases."""

    @property
    def keeper(self) -> Keeper:
        """What keeps its leases."""

    def ready(self) -> str | None:
        """Return None if it can do its work, else the reason why not."""


async def run_services(settings: Settings, roles: Sequence[str], embedded: EmbeddedPostgres | None = None) -> int:
    """
    Run *roles* until told to stop, on the *embedded* PostgreSQL if settings name no database; returns the exit code.

    Raises:
        StartError, SettingsError: something is missing or wrong; one line says what.
    """
    lines = logging.configure(settings.log_level, settings.log_format)
    _end_on_sigterm()
    warn_of(os.environ, roles)
    if settings.crash_at is not None:
        try:
            arm(*settings.crash_at)
        except ValueError as error:
            raise SettingsError(str(error)) from None
    if (reason := await _port_trouble(settings, roles)) is not None:
        raise StartError(reason)
    async with AsyncExitStack() as stack:
        resources = await open_resources(settings, roles, stack, Basis(postgres=embedded))
        added = await add_services(resources, roles, stack)
        _log.info(
            "starting",
            service=",".join(roles),
            version=VERSION,
            node=resources.node,
            address=address_of(settings.host, settings.port) if "api" in roles else None,
            admin_address=address_of(settings.admin_host, settings.admin_port),
        )

        def greet() -> None:
            lines.flush(_GREET_S)  # log lines leave through a thread: those before the greeting come first
            show(_greeting(resources, added.first_token, roles) if "api" in roles else "")
            garbage.settle()

        status = await resources.supervisor.run(on_started=greet)
    if resources.supervisor.failure is not None:
        raise StartError(resources.supervisor.failure)
    return status


async def _port_trouble(settings: Settings, roles: Sequence[str]) -> str | None:
    """Say that a port is taken before anything is made: a start that fails must not be the one that shows the first token."""
    asked = [("probes", "FLIQ_ADMIN_PORT", settings.admin_host, settings.admin_port)]
    if "api" in roles:
        asked.append(("api", "FLIQ_PORT", settings.host, settings.port))
    for service, variable, host, port in asked:
        if (reason := await port_trouble(variable, host, port)) is not None:
            _log.critical("did_not_start", service=service, error=reason)
            return reason
    return None


@dataclass(slots=True)
class Added:
    """
    What the supervisor runs.

    Args:
        services: those that read the log, by role.
        first_token: the API token that was made, if this is the first start.
    """

    services: dict[str, ReadingService] = field(default_factory=dict)
    first_token: str | None = None


async def add_services(
    resources: Resources, roles: Sequence[str], stack: AsyncExitStack, *, mounts: Sequence[Mount] = ()
) -> Added:
    """
    Have the supervisor run *roles* and what every process has; *mounts* answer beside the API.

    Both ports open last: what answers HTTP takes as long to import as all the rest, and calls that are due do not wait for it.
    The accounts are made first: calls are signed with their secrets, and jobs may wait in a log whose tables are new.

    Raises:
        StartError: the accounts cannot be made.
    """
    settings, supervisor, checks, added = resources.settings, resources.supervisor, Checks(), Added()
    if "api" in roles:
        added.first_token = await _make_accounts(resources)
    supervisor.add_late("probes", lambda: _probes(resources, checks))
    checks.add("database", resources.database_reason)
    checks.add("clock", resources.clock_check.reason)
    supervisor.add("clock", Loop("clock", resources.clock_check.run))
    supervisor.add("limits", Loop("limits", resources.limits.look_forever))
    policy = resources.policy
    supervisor.add("own addresses", Loop("own addresses", lambda: watch_own_addresses(policy.note_own_addresses)))
    readers: list[Role] = []

    def add_reader(role: str, service: ReadingService) -> None:
        supervisor.add(role, service)
        checks.add(role, service.ready)
        readers.append(Role(role, service, service.keeper))
        added.services[role] = service
        if (reports := resources.log.position_reports) is not None:
            shown = ReportedPositions(
                f"fliq-{role}",
                service.positions,
                reports.report_positions,
                writer=resources.database_name,
                clock=resources.clock,
            )
            supervisor.add(f"{role} offsets", shown)

    if "scheduler" in roles:
        scheduler = wiring.scheduler(resources, stack)
        add_reader("scheduler", scheduler)
        supervisor.add("history", wiring.history(resources, scheduler))
        supervisor.add("log length", wiring.log_length(resources, scheduler))
        if settings.heartbeat_s:
            supervisor.add("heartbeats", wiring.heartbeats(resources, scheduler))
    if "dispatcher" in roles:
        add_reader("dispatcher", wiring.dispatcher(resources))
    if "webhooks" in roles:
        add_reader("webhooks", wiring.webhooks(resources))

    async def api() -> ApiService:
        make = await asyncio.to_thread(_maker_of_api)
        service = await make(resources, stack, with_console=CONSOLE in roles, mounts=mounts)
        checks.add("api", service.ready)
        return service

    if "api" in roles:
        checks.add("api", lambda: "not listening")
        supervisor.add_late("api", api)
    supervisor.add("vitals", _vitals(resources, readers, checks))
    return added


async def _make_accounts(resources: Resources) -> str | None:
    """Make the accounts and tokens that exist after a start; return the token that was made, if this is the first one."""
    settings = resources.settings
    accounts = Accounts(resources.pools.callers, resources.keyring(resources.pools.callers))
    try:
        pepper = await installation_key(settings.secret_key, accounts)
        return await bootstrap(
            accounts, settings.bootstrap_tokens, pepper=pepper, entropy=resources.entropy, clock=resources.clock
        )
    except (StoreUnavailable, KeysUnavailable) as error:
        raise StartError(str(error)) from error


async def _probes(resources: Resources, checks: Checks) -> Probes:
    settings = resources.settings
    made = await asyncio.to_thread(_class_of_probes)
    return made(host=settings.admin_host, port=settings.admin_port, metrics=resources.metrics, checks=checks)


def _class_of_probes() -> type[Probes]:
    from libs.runtime.admin_port.probes import Probes

    return Probes


def _maker_of_api() -> Callable[..., Awaitable[ApiService]]:
    from services.process.api_wiring import api

    return api


def _vitals(resources: Resources, readers: Sequence[Role], checks: Checks) -> Vitals:
    vitals = Vitals(
        log=resources.log,
        status=StatusReader(resources.pools.vital),
        partitions=resources.partitions,
        roles=readers,
        clock=resources.clock,
        metrics=resources.metrics,
        data_dir=resources.settings.data_dir,
    )
    checks.add("log", lambda: resources.log.append_trouble() or vitals.log_reason())
    checks.add("progress", vitals.progress_reason)
    checks.add("leases", vitals.leases_reason)
    return vitals


def _greeting(resources: Resources, first_token: str | None, roles: Sequence[str]) -> str:
    settings = resources.settings
    return greeting(
        console_path=settings.console_path if CONSOLE in roles else None,
        address=address_of(settings.host, settings.port),
        admin_address=address_of(settings.admin_host, settings.admin_port),
        token=first_token,
        check_url=resources.policy.check_url,
        platform=sys.platform,
    )


def warn_of(environ: Mapping[str, str], roles: Sequence[str]) -> None:
    """Log what is set in *environ* and does nothing in a process with *roles*."""
    for name in unread_names(environ, roles):
        reason = "no role of this process reads it; do not give it a secret that it does not need"
        _log.warning("setting_not_read", name=name, reason=reason)
    for name in unknown_names(environ):
        _log.warning("unknown_setting_ignored", name=name)
    if idle := idle_names(environ):
        reason = "FLIQ_KAFKA_BOOTSTRAP is not set, so the log is in PostgreSQL"
        _log.warning("settings_without_effect", settings=", ".join(idle), reason=reason)


def _end_on_sigterm() -> None:
    """Have a SIGTERM during the start undo it, as Ctrl-C does; the supervisor takes the signal over afterwards."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
