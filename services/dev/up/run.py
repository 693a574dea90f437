"""Run: starts PostgreSQL and then all processes; at a signal, ends them in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp

from libs.runtime.clock import SystemEntropy
from libs.runtime.embedded_postgres.address import ignore_pg_variables
from libs.runtime.embedded_postgres.binaries import EmbeddedPostgresError
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from libs.runtime.lifecycle import cancelled, is_same_signal, signals_handled
from libs.runtime.lockfile import LockFile, unusable
from libs.runtime.settings.settings import Settings, SettingsError
from libs.store.errors import StoreUnavailable
from libs.store.schema.databases import ensure_database
from services.dev.up.child import PROBE_S, KeptChild, how, shown
from services.dev.up.plan import Child, children
from services.process.keys.master_key import embedded_key_file
from services.process.log_place import LogPlace, in_database
from services.start_error import StartError

DRAIN_S: Final = 32.0  # a call under way takes 30 s at most
HURRY_S: Final = 1.5
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KAFKA_ADDRESS: Final = Path("kafka") / "address"  # in the data directory, written by `make kafka-up`
CONNECT_S: Final = 2.0


def say(line: str) -> None:
    """Write one line for the terminal, now."""
    try:
        sys.stdout.write(f"fliq: {line}\n")
        sys.stdout.flush()
    except OSError:
        pass  # without a terminal the processes still have to be ended


class Up:
    """All processes of one `make up`."""

    def __init__(self, settings: Settings, counts: Mapping[str, int], environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._counts = counts
        self._environ = {"FLIQ_LOG_FORMAT": "console", **{k: v for k, v in environ.items() if v.strip()}}
        self._ending = asyncio.Event()
        self._ended_by: tuple[signal.Signals, float] | None = None
        self._killing = asyncio.Event()
        self._status = 0
        self._kept: list[KeptChild] = []

    async def run(self) -> int:
        """
        Start, keep and end all of it; returns the exit code.

        Raises:
            StartError, SettingsError: one line says what is wrong.
        """
        with signals_handled(SIGNALS, self._signalled):
            async with AsyncExitStack() as stack:
                await self._run(stack)
        return self._status

    async def _run(self, stack: AsyncExitStack) -> None:
        place = find_log(self._settings)
        planned = children(self._settings, self._counts, {})
        self._lock(stack)
        await end_leftovers(self._settings.data_dir / "up")
        for child in planned:
            check_ports(self._settings.host, child)
        own = await self._database(place, stack)
        if place.bootstrap is not None:
            own["FLIQ_KAFKA_BOOTSTRAP"] = place.bootstrap
        if self._ending.is_set():
            return
        http = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROBE_S), trust_env=False)
        )
        self._kept = [KeptChild(child, self._environ, say) for child in children(self._settings, self._counts, own)]
        keeping = {asyncio.create_task(child.keep(http), name=child.name): child for child in self._kept}
        greeting = asyncio.create_task(self._greet())
        try:
            await self._watch(keeping)
        finally:
            await cancelled(greeting)
            await self._end(keeping)

    async def _watch(self, keeping: Mapping[asyncio.Task[int | None], KeptChild]) -> None:
        """Return at a signal, if a process ends before it was ready, or if no process is left."""
        told = asyncio.create_task(self._ending.wait())
        left = set(keeping)
        try:
            while left and not told.done():
                done, _ = await asyncio.wait({*left, told}, return_when=asyncio.FIRST_COMPLETED)
                for task in left & done:
                    left.discard(task)
                    child, status = keeping[task], task.result()
                    if status is not None and not child.was_ready.is_set():
                        self._failed(child, status)
                        return
            if not told.done():
                say("no process is left")
                self._status = 1
        finally:
            await cancelled(told)

    async def _greet(self) -> None:
        """Wait until all are ready, then show the greeting of one API: at the first start of the one that made a token."""
        for child in self._kept:
            await child.was_ready.wait()
        printed = [bytes(child.printed) for child in self._kept if child.planned.role == "api"]
        for text in sorted(printed, key=lambda text: b"TOKEN=" not in text)[:1]:
            sys.stdout.write(text.decode("utf-8", "replace"))
            sys.stdout.flush()

    def _failed(self, child: KeptChild, status: int) -> None:
        say(
            f"{child.name} {how(status)} before it was ready; everything stops. Its log, {shown(child.planned.log_file)}:"
        )
        for line in child.last_lines():
            sys.stdout.write(f"    {line}\n")
        self._status = 1

    async def _end(self, keeping: Mapping[asyncio.Task[int | None], KeptChild]) -> None:
        """Drain all processes together. Kill those that take too long, or all at a second signal."""
        count = sum(child.is_running for child in self._kept)
        for child in self._kept:
            child.end()
        if count:
            say(f"stopping {count} processes: work under way ends, in {DRAIN_S:g} s at most; Ctrl-C again kills them")
        ended = asyncio.ensure_future(asyncio.wait(keeping))
        killing = asyncio.create_task(self._killing.wait())
        for timeout_s, number in ((DRAIN_S, signal.SIGTERM), (HURRY_S, signal.SIGKILL)):
            await asyncio.wait([ended, killing], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for child in self._kept:
                if child.is_running:
                    if not killing.done():
                        say(f"{child.name} does not end in time")
                    child.end(signal.SIGKILL if killing.done() else number)
        await ended
        await cancelled(killing)
        if not self._killing.is_set():
            for child in self._kept:
                if child.status and self._status == 0:
                    say(f"{child.name} {how(child.status)}")
                    self._status = 1
        if count:
            say("stopped")

    def _signalled(self, number: signal.Signals) -> None:
        if not self._ending.is_set():
            self._ended_by = number, time.monotonic()
            self._ending.set()
        elif not self._killing.is_set() and not is_same_signal(self._ended_by, number):
            self._status = 128 + number
            self._killing.set()

    def _lock(self, stack: AsyncExitStack) -> None:
        """Make sure that no other `make up` uses this data directory."""
        directory = self._settings.data_dir / "up"
        try:
            # If this is root, PostgreSQL runs as another user, who must be able to enter.
            self._settings.data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            directory.mkdir(exist_ok=True)
            lock = LockFile(directory / "up.lock")
            if not lock.try_acquire():
                raise StartError(f"another make up runs on {shown(self._settings.data_dir)} (process {lock.holder()})")
        except OSError as error:
            raise StartError(unusable(directory, error)) from error
        stack.callback(lock.release)

    async def _database(self, place: LogPlace, stack: AsyncExitStack) -> dict[str, str]:
        """Return what names the database, which is started if it is embedded, and its master key; say where the log is."""
        if self._settings.database_url is not None:
            say(f"{place.said()}; the tables are in the database of FLIQ_DATABASE_URL")
            return {}
        ignore_pg_variables()
        embedded = EmbeddedPostgres(self._settings.data_dir)
        try:
            await stack.enter_async_context(embedded)
            await ensure_database(embedded.dsn, place.database)
            dsn = in_database(embedded.dsn, place.database)
            key_file = await embedded_key_file(self._settings, dsn, SystemEntropy())
        except (EmbeddedPostgresError, StoreUnavailable) as error:
            raise StartError(str(error)) from error
        watching = asyncio.create_task(embedded.watch(), name="embedded postgresql")
        watching.add_done_callback(self._postgres_ended)
        stack.push_async_callback(cancelled, watching)
        where = shown(self._settings.data_dir)
        say(f"{place.said()}; the tables are in the database {place.database} of the embedded PostgreSQL in {where}")
        return {"FLIQ_DATABASE_URL": dsn, "FLIQ_MASTER_KEY_FILE": str(key_file)}

    def _postgres_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            say(f"stopping, for {task.exception()}")
            self._status = 1
            self._ending.set()


def find_log(settings: Settings) -> LogPlace:
    """
    Return where the log is: FLIQ_KAFKA_BOOTSTRAP, else the brokers that `make kafka-up` started, else PostgreSQL.

    Raises:
        StartError: `make kafka-up` started brokers, and they do not answer.
    """
    named = settings.kafka_bootstrap
    if named is not None:
        return LogPlace(bootstrap=named, topic=settings.kafka_topic)
    try:
        bootstrap = (settings.data_dir / KAFKA_ADDRESS).read_text(encoding="ascii").strip()
    except OSError:
        return LogPlace(bootstrap=None, topic="")
    host, _, port = bootstrap.split(",")[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except (OSError, ValueError):
        raise StartError(
            f"the Kafka that make kafka-up started at {bootstrap} does not answer:"
            " make kafka-up starts it again, make kafka-down forgets it"
        ) from None
    return LogPlace(bootstrap=bootstrap, topic=settings.kafka_topic, is_ours=True)


def check_ports(host: str, child: Child) -> None:
    """Raise `SettingsError` if something listens already on a port of *child*."""
    for port in child.ports:
        name = "FLIQ_PORT" if child.role == "api" and port == child.ports[0] else "FLIQ_ADMIN_PORT"
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise SettingsError(f"{name}: {child.name} would listen on port {port}: {error.strerror}") from None


async def end_leftovers(directory: Path) -> None:
    """
    End the processes of an earlier `make up` that was killed. Each holds the lock of its node, and its pid is in that file.

    Raises:
        StartError: one does not end, or is another user's.
    """
    left: dict[LockFile, str] = {}
    for path in sorted(directory.glob("*/node-*.lock")):  # noqa: ASYNC240 - nothing else runs yet
        lock, name = LockFile(path), path.parent.name
        try:
            if _is_free(lock):
                continue
            if (holder := lock.holder()).isdigit():
                say(f"ending {name} (process {holder}), which an earlier make up left behind")
                left[lock] = name
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                    os.kill(int(holder), signal.SIGTERM)
        except PermissionError:
            raise StartError(
                f"{name} of an earlier make up is another user's ({path}): end it as that user, or name another"
                " directory in FLIQ_DATA_DIR"
            ) from None
    for _ in range(int(DRAIN_S / 0.1)):
        left = {lock: name for lock, name in left.items() if not _is_free(lock)}
        if not left:
            break
        await asyncio.sleep(0.1)
    if left:
        raise StartError(f"{', '.join(left.values())} of an earlier make up did not end")


def _is_free(lock: LockFile) -> bool:
    """Whether nobody holds *lock*. It is released again, for the process that is started next."""
    is_free = lock.try_acquire()
    lock.release()
    return is_free
