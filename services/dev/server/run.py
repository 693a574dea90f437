"""Run: puts `fliq dev` together, from its command line to its end."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, cast

from libs.following.service import FollowingService
from libs.runtime import garbage
from libs.runtime.clock import SteadyClock
from libs.runtime.listening import port_trouble
from libs.runtime.roles import ALL, READERS
from libs.runtime.telemetry import logging
from libs.store.control.accounts import Accounts
from libs.store.health.clock_check import ClockCheck
from libs.store.reads.partition_tables import Tables
from services.api.contract.instants import parse_instant
from services.api.greeting import address_of
from services.dev.server.advance import Advancer
from services.dev.server.place import TOKEN, Place
from services.dev.server.recorded_egress import Calls, RecordedEgress
from services.dev.server.routes import PATH, DevRoutes
from services.dev.server.virtual_clock import NoClockCheck, VirtualClock
from services.process.keys.bootstrap_tokens import show
from services.process.resources import Basis, Resources, open_resources
from services.process.run import add_services
from services.scheduler.service import SchedulerService
from services.start_error import StartError


async def run_dev(args: argparse.Namespace, place: Place) -> int:
    """
    Run the dev server until it is told to stop; returns the exit code.

    Raises:
        StartError, SettingsError: something is missing or wrong; one line says what.
    """
    settings = place.settings
    lines = logging.configure(settings.log_level, settings.log_format)
    clock, calls = _clock_of(args.virtual_clock), Calls()
    basis = Basis(
        clock=clock,
        make_clock_check=NoClockCheck if isinstance(clock, VirtualClock) else ClockCheck,
        make_egress=partial(RecordedEgress, calls=calls, clock=clock),
        postgres=place.postgres,
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
            show(_greeting(url, settings.console_path, clock, time.monotonic() - place.began_s, as_json=args.json))
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
