"""
A running Fliq: real processes, which begin where the imports of `fliq` end (tests/fakes/running/fork_server.py).

    topology `embedded`   one process with every role, the log in PostgreSQL
    topology `split`      processes of one role each, the log in PostgreSQL
    topology `kafka`      processes of one role each, the log in Kafka
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError

from libs.log.port import Log
from libs.runtime.settings.settings import Settings
from libs.sealing.data_key import KEY_BYTES
from libs.sealing.master_key_file import write_master_keys
from libs.sealing.master_keys import MasterKeys
from services.process.open_log import open_log
from tests.fakes.running.client import OTHER_TOKEN, TOKEN
from tests.fakes.running.fork_server import start
from tests.fakes.running.memory_disk import data_folder
from tests.fakes.until import until_blocking

ROOT = Path(__file__).resolve().parents[3]
ROLES = ("api", "scheduler", "dispatcher", "webhooks")
READY_S = 90.0  # a bound for a machine that is very busy; it takes a second
ONE_OF_EACH = dict.fromkeys(ROLES, 1)
PARTITIONS = (
    "4"  # of a topic for tests: with the 64 of a cluster every look at the whole log costs sixteen times as much
)

_given_ports: set[int] = set()


def free_port(count: int = 1) -> int:
    """
    Return a port that was free a moment ago, as the *count* - 1 behind it were, and that this run has not given out before.

    They lie below the range out of which the system takes ports by itself.
    """
    for _ in range(1000):
        first = random.SystemRandom().randrange(20_000, 32_000)
        ports = range(first, first + count)
        if not _given_ports.intersection(ports) and all(map(_is_free, ports)):
            _given_ports.update(ports)
            return first
    raise AssertionError("no free port in a thousand tries")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class FliqProcess:
    """One `fliq <role>` process; its output goes to a file that is shown when something fails."""

    def __init__(self, role: str, environment: dict[str, str], directory: Path, *, module: str = "services") -> None:
        self.role = role
        self.module = module
        self.admin_port = int(environment["FLIQ_ADMIN_PORT"])
        self.port = int(environment["FLIQ_PORT"])
        self.output = directory / f"{role}-{self.admin_port}.log"
        self._environment = environment
        self._is_asked_to_stop = False
        with self.output.open("ab") as sink:
            self.process = start([role], module=module, env=environment, stdout=sink, stderr=sink)

    def again(self) -> FliqProcess:
        """Start it once more, as it was started before: at the same ports, with the same settings."""
        return FliqProcess(self.role, self._environment, self.output.parent, module=self.module)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        """Where it takes requests, if it is an API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def wait_ready(self, *, timeout_s: float = READY_S) -> None:
        """Return when `/readyz` says 200; raise with the process's output when it dies or takes too long."""

        def is_ready() -> bool:
            assert self.process.poll() is None, f"fliq {self.role} ended with {self.process.returncode}:\n{self.tail()}"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=2) as answer:
                    return answer.status == 200  # type: ignore[no-any-return]
            except (URLError, OSError):
                return False

        until_blocking(
            is_ready,
            within_s=timeout_s,
            saying=lambda: f"fliq {self.role} was not ready in {timeout_s} s:\n{self.tail()}",
        )

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, *, timeout_s: float = 45.0) -> int:
        return self.process.wait(timeout_s)

    def ask_to_stop(self) -> None:
        """Ask it to drain, as a supervisor would; once, for a second signal ends the drain."""
        if self.process.poll() is None and not self._is_asked_to_stop:
            self._is_asked_to_stop = True
            self.signal(signal.SIGTERM)

    def stop(self, *, timeout_s: float = 45.0) -> int:
        """Have it drain; returns its exit code."""
        self.ask_to_stop()
        try:
            return self.wait(timeout_s=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise AssertionError(f"fliq {self.role} did not stop:\n{self.tail()}") from None

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.process.kill()
        self.process.wait(10)

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])


class RunningFliq:
    """
    Fliq in one of its topologies, on ports and in a directory of its own.

    Args:
        topology: `embedded`, `split` or `kafka`.
        database_url: its database; None is one of its own, which only `embedded` can bring along.
        bootstrap: the brokers, for `kafka`; the topic is this Fliq's own.
        counts: how many processes of each role, for the other two; one of each by default.
        settings: more environment variables.
    """

    def __init__(
        self,
        *,
        topology: str = "embedded",
        database_url: str | None,
        bootstrap: str | None = None,
        counts: Mapping[str, int] = ONE_OF_EACH,
        **settings: str,
    ) -> None:
        self.topology = topology
        self.counts = {"all": 1} if topology == "embedded" else counts
        self.directory = data_folder("fliq-")
        self.directory.chmod(0o711)
        self.port = free_port()
        self.settings = {
            "FLIQ_PORT": str(self.port),
            "FLIQ_DATA_DIR": str(self.directory / "data"),
            "FLIQ_BOOTSTRAP_TOKENS": f"default={TOKEN},other={OTHER_TOKEN}",
            "FLIQ_EGRESS_ALLOW": "127.0.0.0/8",
            "FLIQ_CAPTURE_PRIVATE": "on",
            "FLIQ_RETRY_BASE_SECONDS": "0.2",
            "FLIQ_LOG_FORMAT": "json",
            "FLIQ_HEARTBEAT_SECONDS": "0",  # a job that no test asked for
        }
        if topology == "kafka":
            assert bootstrap is not None, "the topology `kafka` needs brokers"
            self.settings |= {
                "FLIQ_KAFKA_BOOTSTRAP": bootstrap,
                "FLIQ_KAFKA_TOPIC": f"fliq.test.{self.directory.name}",
                "FLIQ_PARTITIONS": PARTITIONS,
            }
        if database_url is not None:
            self.settings["FLIQ_DATABASE_URL"] = database_url
            # What callers give is sealed wherever Fliq runs, as with the embedded PostgreSQL.
            key_file = self.directory / "master.key"
            write_master_keys(key_file, MasterKeys((secrets.token_bytes(KEY_BYTES),)))
            self.settings["FLIQ_MASTER_KEY_FILE"] = str(key_file)
        self.settings |= settings
        self.processes: list[FliqProcess] = []
        self._spawned: list[FliqProcess] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return self.processes[0].admin_url

    def of(self, role: str) -> list[FliqProcess]:
        """Return the processes that play *role*."""
        return [process for process in self.processes if process.role in (role, "all")]

    def start(self, **settings: str) -> Self:
        """Start every process and wait until all are ready."""
        self.processes = []
        for role, count in self.counts.items():
            for number in range(count):
                port = {"FLIQ_PORT": str(free_port())} if number or role not in ("api", "all") else {}
                self.processes.append(self.spawn(role, **port, **settings))
        for process in self.processes:
            process.wait_ready()
        return self

    def spawn(self, role: str, *, module: str = "services", **settings: str) -> FliqProcess:
        """Start one process more, of another build if *module* is that; `close` ends it if nobody else did."""
        environment = self.environment(**{"FLIQ_ADMIN_PORT": str(free_port())} | settings)
        process = FliqProcess(role, environment, self.directory, module=module)
        self._spawned.append(process)
        return process

    def environment(self, **settings: str) -> dict[str, str]:
        """Return what its processes and commands are started with: its settings and *settings*, none of the developer's own."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("FLIQ_", "PG"))}
        return clean | self.settings | settings

    @asynccontextmanager
    async def open_log(self) -> AsyncIterator[Log]:
        """Open the log of this Fliq, wherever it is."""
        async with AsyncExitStack() as stack:
            yield await open_log(Settings.from_env(self.settings), self.settings["FLIQ_DATABASE_URL"], stack)

    def kill(self) -> None:
        """End every process as kill -9 does."""
        for process in self.processes:
            process.kill()

    def stop(self) -> list[int]:
        """Drain every process, all at once; returns their exit codes."""
        for process in self.processes:
            process.ask_to_stop()
        return [process.stop() for process in self.processes]

    def close(self) -> None:
        """Stop what still runs and remove the directory."""
        try:
            self.stop()
        finally:
            for process in self._spawned:
                if process.process.poll() is None:
                    process.kill()
            shutil.rmtree(self.directory, ignore_errors=True)

    def output(self) -> str:
        return "\n".join(process.tail() for process in self.processes)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.output())
        self.close()
