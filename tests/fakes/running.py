"""
A running Fliq: real processes, started as an operator would start them, and a small client to talk to them.

    topology `embedded`   one process with every role
    topology `split`      one process per role on one PostgreSQL

`fliq`   session: a running Fliq of the topology the run was asked for (FLIQ_TEST_TOPOLOGY, default embedded)
`client` function: an HTTP client with the token of account `default`
`sink`   function: the targets (tests/fakes/sink.py)
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError

import aiohttp
import pytest

from tests.fakes.postgres import Databases
from tests.fakes.sink import Sink

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("api", "scheduler", "dispatcher", "webhooks")
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def make_token(secret: str) -> str:
    """Return the token whose 30 random characters are *secret*, as the contract spells it, without Fliq's own code."""
    assert len(secret) == 30
    checksum, digits = zlib.crc32(secret.encode()), ""
    while checksum:
        checksum, digit = divmod(checksum, 62)
        digits = BASE62[digit] + digits
    return "fliq_sk_" + secret + digits.rjust(6, "0")


TOKEN = make_token("defaultaccount0000000000000001")
OTHER_TOKEN = make_token("otheraccount000000000000000002")


def free_port() -> int:
    """Return a port that was free a moment ago, from below the range out of which the system takes ports by itself."""
    for _ in range(100):
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port in a hundred tries")


def in_seconds(seconds: float) -> str:
    """Return the instant so far ahead as the API takes it."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant_ms(text: str) -> float:
    """Return an instant of the API as ms since 1970."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000


class FliqProcess:
    """One `fliq <role>` process; its output goes to a file that is shown when something fails."""

    def __init__(self, role: str, environment: dict[str, str], directory: Path) -> None:
        self.role = role
        self.admin_port = int(environment["FLIQ_ADMIN_PORT"])
        self.output = directory / f"{role}-{self.admin_port}.log"
        with self.output.open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services", role],
                cwd=ROOT,
                env=environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_ready(self, *, timeout_s: float = 45.0) -> None:
        """Return when `/readyz` says 200; raise with the process's output when it dies or takes too long."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"fliq {self.role} ended with {self.process.returncode}:\n{self.tail()}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (URLError, OSError):
                pass
            time.sleep(0.02)
        raise AssertionError(f"fliq {self.role} was not ready in {timeout_s} s:\n{self.tail()}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, *, timeout_s: float = 45.0) -> int:
        return self.process.wait(timeout_s)

    def stop(self, *, timeout_s: float = 45.0) -> int:
        """Ask it to drain, as a supervisor would; returns its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
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
    """Fliq in one of its topologies, on ports and in a directory of its own."""

    def __init__(self, *, topology: str = "embedded", database_url: str | None, **settings: str) -> None:
        self.topology = topology
        self.directory = Path(tempfile.mkdtemp(prefix="fliq-"))
        self.directory.chmod(0o711)
        self.port = free_port()
        self.settings = {
            "FLIQ_PORT": str(self.port),
            "FLIQ_DATA_DIR": str(self.directory / "data"),
            "FLIQ_BOOTSTRAP_TOKENS": f"default={TOKEN},other={OTHER_TOKEN}",
            "FLIQ_EGRESS_ALLOW": "127.0.0.0/8",
            "FLIQ_RETRY_BASE_SECONDS": "0.2",
            "FLIQ_LOG_FORMAT": "json",
        } | settings
        if database_url is not None:
            self.settings["FLIQ_DATABASE_URL"] = database_url
        self.processes: list[FliqProcess] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.processes[0].admin_port}"

    def start(self, **settings: str) -> Self:
        """Start every process and wait until all are ready."""
        roles: Sequence[str] = ("all",) if self.topology == "embedded" else ROLES
        self.processes = [self.spawn(role, **settings) for role in roles]
        for process in self.processes:
            process.wait_ready()
        return self

    def spawn(self, role: str, **settings: str) -> FliqProcess:
        """Start one process more."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("FLIQ_", "PG"))}
        environment = clean | self.settings | {"FLIQ_ADMIN_PORT": str(free_port())} | settings
        return FliqProcess(role, environment, self.directory)

    def kill(self) -> None:
        """End every process as kill -9 does."""
        for process in self.processes:
            process.kill()

    def stop(self) -> list[int]:
        """Drain every process; returns their exit codes."""
        return [process.stop() for process in reversed(self.processes)]

    def close(self) -> None:
        """Stop what still runs and remove the directory."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def output(self) -> str:
        return "\n".join(process.tail() for process in self.processes)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.output())
        self.close()


class Client:
    """Talks to the API with one token; answers are (status, JSON body or None, headers)."""

    def __init__(self, url: str, token: str | None = TOKEN) -> None:
        self.url = url
        self.token = token
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=256), timeout=aiohttp.ClientTimeout(total=30)
        )

    async def close(self) -> None:
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """Send one request; *body* is sent as JSON, *data* as it is."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        async with self._session.request(method, self.url + path, data=data, headers=sent | (headers or {})) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None, dict(answer.headers)

    async def create(self, url: str, at: float | str, **fields: Any) -> dict[str, Any]:
        """Create a job *at* so many seconds ahead, or at an instant; returns the job."""
        when = at if isinstance(at, str) else in_seconds(at)
        status, job, _ = await self.call("POST", "/v1/jobs", {"url": url, "scheduled_at": when, **fields})
        assert status == 201, (status, job)
        return job  # type: ignore[no-any-return]

    async def job(self, job_id: str) -> dict[str, Any]:
        status, job, _ = await self.call("GET", f"/v1/jobs/{job_id}")
        assert status == 200, (status, job)
        return job  # type: ignore[no-any-return]

    async def wait_status(self, job_id: str, *statuses: str, timeout_s: float = 15.0) -> dict[str, Any]:
        """Return the job when its status is one of *statuses* (terminal ones when none is named)."""
        wanted = statuses or ("success", "failed", "cancelled")
        deadline = time.monotonic() + timeout_s
        while True:
            job = await self.job(job_id)
            if job["status"] in wanted:
                return job
            assert time.monotonic() < deadline, f"{job_id} is still {job['status']} after {timeout_s} s"
            await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def fliq(pg_dsn_of: Databases) -> Iterator[RunningFliq]:
    """A Fliq that runs for the whole session, on a database of its own."""
    topology = os.environ.get("FLIQ_TEST_TOPOLOGY", "embedded")
    with RunningFliq(topology=topology, database_url=pg_dsn_of.create()) as running:
        yield running


@pytest.fixture
async def client(fliq: RunningFliq) -> AsyncIterator[Client]:
    async with Client(fliq.url) as client:
        yield client


@pytest.fixture
async def other_client(fliq: RunningFliq) -> AsyncIterator[Client]:
    """A client of another account."""
    async with Client(fliq.url, OTHER_TOKEN) as client:
        yield client


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink() as sink:
        yield sink
