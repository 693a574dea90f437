"""
The embedded server through its life: first start, adoption after a kill -9 of Fliq, recovery after one of its own.

Every test starts real processes and ends them by pid. Facts about a server that was set up once share that one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import asyncpg
import pytest

from libs.runtime.embedded_postgres.postmaster import PidFile, Postmaster, orphans_of
from libs.runtime.embedded_postgres.server import EmbeddedPostgres, EmbeddedPostgresError
from tests.fakes.until import until

ROOT = Path(__file__).parents[3]
FAST = {"fsync": "off"}


@pytest.fixture(scope="module")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that was started and stopped once, with a table `kept` of one row. Long path: served on TCP."""
    data_dir = tmp_path_factory.mktemp("a-name-long-enough-to-leave-no-room-for-a-socket-in-it" + "x" * 40)
    server = make(data_dir)
    server.start()
    try:
        asyncio.run(query(server.dsn, "CREATE TABLE kept AS SELECT 7 AS n"))
    finally:
        server.stop()
    return data_dir


@pytest.fixture
def data_dir(initialised: Path) -> Iterator[Path]:
    """The shared directory, with nothing running on it."""
    make_stopped(initialised)
    yield initialised
    make_stopped(initialised)


def make(data_dir: Path, said: list[str] | None = None) -> EmbeddedPostgres:
    lines = said if said is not None else []
    return EmbeddedPostgres(data_dir, settings=FAST, say=lines.append, stop_timeout_s=10)


def make_stopped(data_dir: Path) -> None:
    running = Postmaster.find(data_dir / "postgres")
    if running is not None:
        running.send(signal.SIGQUIT)
        assert running.wait(10)
        running.close()


async def query(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def until_answered(dsn: str, statement: str) -> object:
    async def answer() -> object:
        try:
            return await query(dsn, statement)
        except (OSError, asyncpg.PostgresError):
            return None

    return await until(answer, within_s=20, every_s=0.01)


class Holder:
    """A process of its own that holds the server, as Fliq does; killed at the end of the block if it still runs."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.embedded_postgres.start_fliq_like", str(data_dir)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end(signal.SIGKILL)

    def postmaster_pid(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline().split()[0])

    def end(self, signum: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signum)
        self.process.communicate(timeout=20)


def test_a_kill_9_of_fliq_leaves_a_server_that_the_next_one_adopts_and_stops(data_dir: Path) -> None:
    """The same postmaster serves on, and ends with the Fliq that adopted it."""
    with Holder(data_dir) as holder:
        pid = holder.postmaster_pid()
        holder.end(signal.SIGKILL)
    left = Postmaster.find(data_dir / "postgres")
    assert left is not None
    assert left.pid == pid

    server = make(data_dir)
    server.start()
    assert (server.pid, server.was_adopted) == (pid, True)
    assert asyncio.run(query(server.dsn, "SELECT n FROM kept")) == 7
    server.stop()
    assert left.wait(0)
    left.close()
    assert PidFile.read(data_dir / "postgres") is None


def test_sigterm_stops_the_server(data_dir: Path) -> None:
    """A process that ends in order leaves no server and no pid file."""
    with Holder(data_dir) as holder:
        holder.postmaster_pid()
        holder.end(signal.SIGTERM)
    assert holder.process.returncode == 0
    assert Postmaster.find(data_dir / "postgres") is None
    assert PidFile.read(data_dir / "postgres") is None


def test_a_second_fliq_on_the_same_directory_is_refused_in_one_line(data_dir: Path) -> None:
    """The message names the directory, the holder and the way out; the first server is not disturbed."""
    with Holder(data_dir) as holder:
        pid = holder.postmaster_pid()
        expected = rf"in use by another Fliq \(process {holder.process.pid}\).*FLIQ_DATA_DIR"
        with pytest.raises(EmbeddedPostgresError, match=expected) as refused:
            make(data_dir).start()
        assert "\n" not in str(refused.value)
        running = Postmaster.find(data_dir / "postgres")
        assert running is not None
        assert running.pid == pid
        running.close()
        holder.end(signal.SIGTERM)


async def test_a_killed_postmaster_is_brought_back_with_its_data(data_dir: Path) -> None:
    """After kill -9 of the postmaster, watch() starts it again at the same address; committed rows are there."""
    said: list[str] = []
    async with make(data_dir, said) as server:
        dsn, pid = server.dsn, server.pid
        assert pid is not None
        # A session that is open at the moment of death holds the shared memory.
        session = await asyncpg.connect(dsn)
        await session.execute("CREATE TABLE committed AS SELECT 8 AS n")
        watching = asyncio.create_task(server.watch(interval_s=0.01))
        os.kill(pid, signal.SIGKILL)
        assert await until_answered(dsn, "SELECT n FROM committed") == 8
        assert any("recovers" in line for line in said)
        watching.cancel()
        session.terminate()
        assert server.dsn == dsn
        assert server.pid != pid
        await query(dsn, "DROP TABLE committed")


def test_a_pid_file_that_names_a_stranger_is_stale(data_dir: Path) -> None:
    """The pid of a dead postmaster may belong to anybody: the stranger is neither adopted nor signalled."""
    server = make(data_dir)
    server.start()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    server.stop()
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        server.start()
        assert not server.was_adopted
        assert asyncio.run(query(server.dsn, "SELECT n FROM kept")) == 7
        server.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_on_its_way_out_is_seen_out(data_dir: Path) -> None:
    """A postmaster that waits for its last session before it ends is not adopted; a new one takes its place."""
    with Holder(data_dir) as holder:
        pid = holder.postmaster_pid()
        holder.end(signal.SIGKILL)
    server = make(data_dir)

    async def leave_while_connected() -> None:
        adopting = make(data_dir)
        session = await asyncpg.connect(adopting.start())
        os.kill(pid, signal.SIGTERM)  # smart shutdown: no new sessions, the old ones may stay

        def is_stopping() -> bool:
            found = PidFile.read(data_dir / "postgres")
            return found is None or found.status == "stopping"

        await until(is_stopping, within_s=10, every_s=0.005)
        adopting._lock.release()  # as a kill -9 does
        server.start()
        session.terminate()

    asyncio.run(leave_while_connected())
    assert not server.was_adopted
    assert server.pid != pid
    assert asyncio.run(query(server.dsn, "SELECT n FROM kept")) == 7
    server.stop()


def test_start_and_stop_may_be_called_twice_and_in_any_order(data_dir: Path) -> None:
    """Stop without start, start twice, stop twice: nothing happens the second time."""
    server = make(data_dir)
    server.stop()
    assert server.start() == server.start()
    server.stop()
    server.stop()
    assert not server.is_alive()
    assert orphans_of(data_dir / "postgres") == []


def test_nobody_gets_in_over_tcp_without_the_password(data_dir: Path) -> None:
    """A path too long for a socket is served on 127.0.0.1 only, and a wrong password is refused."""
    server = make(data_dir)
    server.start()
    try:
        assert "@127.0.0.1:" in server.dsn
        address = server.dsn.partition("@")[2]
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(query(f"postgresql://fliq:wrong@{address}", "SELECT 1"))
        assert asyncio.run(query(server.dsn, "SHOW listen_addresses")) == "127.0.0.1"
        assert asyncio.run(query(server.dsn, "SHOW fsync")) == "off"
        rules = asyncio.run(query(server.dsn, "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules"))
        assert rules == "scram-sha-256"
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("version", "message"),
    [("15", "was made by PostgreSQL 15 and this Fliq brings"), (None, "is not a PostgreSQL data directory")],
)
def test_a_directory_that_is_not_ours_is_refused(tmp_path: Path, version: str | None, message: str) -> None:
    """Another major version, or something else altogether: one line, and nothing in it is touched."""
    pgdata = tmp_path / "postgres"
    pgdata.mkdir()
    (pgdata / "precious").write_text("x")
    if version:
        (pgdata / "PG_VERSION").write_text(version)
    if os.geteuid() == 0:
        os.chown(pgdata, 65534, 65534)
    with pytest.raises(EmbeddedPostgresError, match=message) as refused:
        make(tmp_path).start()
    assert "\n" not in str(refused.value)
    assert (pgdata / "precious").read_text() == "x"


def test_a_data_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """A file in the way is told as such."""
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="cannot use"):
        make(tmp_path / "file").start()


def test_any_printable_path_is_served(tmp_path: Path) -> None:
    """Blanks, percent signs and letters of other alphabets in the path end up in settings and DSN as they are."""
    server = make(tmp_path / "a b+c%41'é")
    try:
        assert asyncio.run(query(server.start(), "SELECT 1")) == 1
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives the server to another user")
def test_root_reaches_a_data_directory_below_a_closed_home(tmp_path: Path) -> None:
    """Below a directory of mode 0700 the server starts as another user, on a socket, and others still cannot enter."""
    home = tmp_path / "h"
    home.mkdir(mode=0o700)
    server = make(home / "f")
    server.start()
    try:
        assert asyncio.run(query(server.dsn, "SHOW unix_socket_permissions")) == "0600"
        assert server.pid is not None
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
        assert stat.S_IMODE(home.stat().st_mode) & 0o007 == 0
        assert stat.S_IMODE((home / "f" / "postgres").stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "f" / "postgres.password").stat().st_mode) == 0o600
        entered = subprocess.run(["/bin/sh", "-c", f"cd {home}"], user=60001, group=60001, extra_groups=[], cwd="/")
        assert entered.returncode != 0
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else; others run every test as such")
def test_an_ordinary_user_starts_it_too(tmp_path: Path) -> None:
    """Started by a user that is not root, the server runs as that very user."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.e2e.embedded_postgres.start_as_other_user", str(tmp_path / "h")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.stdout.split() == ["same", "user"], result.stderr
