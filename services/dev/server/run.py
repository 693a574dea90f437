"""Run: puts `fliq dev` together, from its command line to its end."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from libs.following.service import FollowingService
from libs.runtime import garbage
from libs.runtime.clock import SteadyClock
from libs.runtime.embedded_postgres.address import ignore_pg_variables
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from libs.runtime.listening import port_trouble
from libs.runtime.roles import ALL, READERS
from libs.runtime.settings.settings import Settings
from libs.runtime.telemetry import logging
from libs.store.control.accounts import Accounts
from libs.store.health.clock_check import ClockCheck
from libs.store.reads.partition_tables import Tables
from services.api.contract.instants import parse_instant
from services.api.contract.token_text import PREFIX, checksum, is_well_formed
from services.api.greeting import address_of
from services.dev.free_ports import free_ports
from services.dev.server.advance import Advancer
from services.dev.server.recorded_egress import Calls, RecordedEgress
from services.dev.server.routes import PATH, DevRoutes
from services.dev.server.virtual_clock import NoClockCheck, VirtualClock
from services.process.keys.bootstrap_tokens import show
from services.process.resources import Basis, Resources, open_resources
from services.process.run import add_services
from services.scheduler.service import SchedulerService
from services.start_error import StartError

_RANDOM: Final = "developmentdevelopmentdevelopm"  # nothing of it is secret: whoever may call this Fliq may do so
TOKEN: Final = PREFIX + _RANDOM + checksum(_RANDOM)
ACCOUNT: Final = "dev"
# What every other Fliq takes from the environment and this one does not: it must not touch data that is meant to stay.
_NOT_READ: Final = frozenset(
    {
        "FLIQ_DATA_DIR",
        "FLIQ_DATABASE_URL",
        "FLIQ_KAFKA_BOOTSTRAP",
        "FLIQ_BOOTSTRAP_TOKENS",
        "FLIQ_PORT",
        "FLIQ_ADMIN_PORT",
    }
)
_DEFAULTS: Final = {
    "FLIQ_EGRESS_ALLOW": "127.0.0.0/8,::1/128",
    "FLIQ_CAPTURE_PRIVATE": "on",
    "FLIQ_PARTITIONS": "1",
    "FLIQ_HEARTBEAT_SECONDS": "0",
    "FLIQ_HISTORY_DAYS": "0",  # kept for ever: a test looks at a job of last year, by its clock
    "FLIQ_HISTORY_FAILED_DAYS": "0",
    "FLIQ_LOG_DAYS": "0",
    "FLIQ_LOG_LEVEL": "warning",
}
_POSTGRES: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "32MB"}


def settings_of(args: argparse.Namespace, environ: Mapping[str, str], data_dir: Path) -> Settings:
    """Return the settings of a dev server in *data_dir*; raises SettingsError."""
    port, admin_port = free_ports(2)
    given = {name: value for name, value in environ.items() if name not in _NOT_READ}
    own = {
        "FLIQ_DATA_DIR": str(data_dir),
        "FLIQ_BOOTSTRAP_TOKENS": f"{ACCOUNT}={TOKEN}",
        "FLIQ_PORT": str(args.port or port),
        "FLIQ_ADMIN_PORT": str(admin_port),
    }
    return Settings.from_env(_DEFAULTS | given | own, is_token=is_well_formed, roles=ALL)


async def run_dev(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """
    Run the dev server until it is told to stop; returns the exit code.

    Raises:
        StartError, SettingsError: something is missing or wrong; one line says what.
    """
    place = tempfile.mkdtemp(prefix="fliq-dev-")
    os.chmod(place, 0o711)  # noqa: S103 - if this is root, PostgreSQL runs as another user, who must be able to enter
    try:
        return await _run(args, settings_of(args, environ, Path(place, "data")))
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    began_s = time.monotonic()
    lines = logging.configure(settings.log_level, settings.log_format)
    clock, calls = _clock_of(args.virtual_clock), Calls()
    ignore_pg_variables()
    basis = Basis(
        clock=clock,
        make_clock_check=NoClockCheck if isinstance(clock, VirtualClock) else ClockCheck,
        make_egress=partial(RecordedEgress, calls=calls, clock=clock),
        postgres=EmbeddedPostgres(settings.data_dir, settings=_POSTGRES),
    )
    url = address_of(settings.host, settings.port)
    if (reason := await port_trouble("--port", settings.host, settings.port)) is not None:
        raise StartError(reason)
    async with AsyncExitStack() as stack:
        resources = await open_resources(settings, ALL, stack, basis)
        routes = DevRoutes(
            url=url,
            token=TOKEN,
            clock=clock,
            calls=calls,
            accounts=Accounts(resources.pools.callers, resources.keyring(resources.pools.callers)),
            secret_key=settings.secret_key,
            entropy=resources.entropy,
        )
        added = await add_services(resources, ALL, stack, mounts=(routes.mount,))
        if isinstance(clock, VirtualClock):
            routes.advancer = _advancer(resources, clock, calls, added.services)
        if args.until_stdin_closes:
            threading.Thread(target=_end_with_stdin, daemon=True).start()

        def greet() -> None:
            lines.flush(0.5)
            show(_greeting(url, settings.console_path, clock, time.monotonic() - began_s, as_json=args.json))

        garbage.settle()
        status = await resources.supervisor.run(on_started=greet)
    if resources.supervisor.failure is not None:
        raise StartError(resources.supervisor.failure)
    return status


def _advancer(resources: Resources, clock: VirtualClock, calls: Calls, services: Mapping[str, Any]) -> Advancer:
    scheduler = cast(SchedulerService, services["scheduler"])
    followers = {role: cast("FollowingService[Any, Any]", services[role]) for role in READERS if role != "scheduler"}
    return Advancer(
        clock,
        log=resources.log,
        partitions=resources.partitions,
        watch=resources.watch,
        tables=Tables(resources.pools.tables),
        scheduler=scheduler,
        followers=followers,
        calls=calls,
        lead_ms=resources.settings.fire_lead_ms,
    )


def _clock_of(text: str | None) -> SteadyClock:
    real = SteadyClock()
    if text is None:
        return real
    at = parse_instant(text) if text else real.now()
    if at is None:
        raise StartError(f"--virtual-clock: {text!r} is no instant: write 2027-01-31T09:00:00Z")
    return VirtualClock(at)


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()  # until the other end closes it, also by dying
    os.kill(os.getpid(), signal.SIGTERM)


def _greeting(url: str, console_path: str, clock: SteadyClock, took_s: float, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"url": url, "token": TOKEN, "took_s": round(took_s, 3)}) + "\n"
    stands = ", with a clock that stands still: POST /dev/clock/advance" if isinstance(clock, VirtualClock) else ""
    rows: Sequence[str] = (
        "",
        f"  fliq dev: {url}{stands}",
        f"  Console: {url}{console_path}/   API: {url}/docs",
        f"  Token:   {TOKEN}",
        f"  Calls:   {url}{PATH}/calls. Nothing is kept; Ctrl-C stops it.",
        "",
    )
    return "\n".join(rows) + "\n"
