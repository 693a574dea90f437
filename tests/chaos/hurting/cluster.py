"""
Cluster: Fliq as its operator would run it, on real servers of ours, with everything between them in our hands.

    embedded   one process with every role, the log in PostgreSQL
    split      processes of one role each, the log in PostgreSQL
    kafka      the same, the log in one or three Kafka brokers

Every process reaches PostgreSQL and the brokers through the link (link.py), has a wall clock of its own (step_clock.c), a name that
stays over its lives, and writes to a file in the campaign's directory.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import aiohttp
from aiokafka.admin import AIOKafkaAdminClient

from libs.log.kafka import KafkaAccess, KafkaLog
from libs.log.port import Log
from libs.log.postgres import PostgresLog
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from tests.chaos.hurting.children import Clocks, Links
from tests.fakes.running.memory_disk import data_folder
from tests.fakes.running.topologies import OTHER_TOKEN, ROOT, TOKEN, FliqProcess, free_port
from tests.fakes.until import until_blocking, until_or_late
from tests.kafka.broker import Broker, Brokers

Topology = Literal["embedded", "split", "kafka"]
RETRY_BASE_MS: Final = 200.0
READY_S: Final = 180.0  # all at once, on a busy machine
STOP_S: Final = 45.0
COMMAND_S: Final = 120.0
_POSTGRES: Final = {
    # A killed process loses nothing that it gave to the operating system; power is not cut here. Commits are on.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
}


@dataclass(kw_only=True)
class Member:
    """One process of Fliq over all its lives."""

    name: str
    role: str
    environment: dict[str, str]
    directory: Path
    port: int  # where an api listens
    process: FliqProcess | None = None
    spawned_at: float = 0.0  # s, monotonic

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.process.poll() is None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spawn(self) -> None:
        """Begin a life."""
        self.spawned_at = time.monotonic()
        self.process = FliqProcess(self.role, self.environment, self.directory)

    def signal(self, number: int) -> None:
        if self.process is not None:
            self.process.signal(number)

    def kill(self) -> None:
        """End this life as kill -9 does."""
        if self.process is not None:
            self.process.kill()


@dataclass
class Cluster:
    """All of it. `counts` says how many processes of each role; `all` is the only role of the embedded topology."""

    topology: Topology
    counts: dict[str, int]
    directory: Path
    brokers_count: int = 1
    partitions: int = 4
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A short path of its own, for the server's socket; the campaign's directory keeps what is worth keeping.
        self.place = data_folder("fliq-c-")
        self.place.chmod(0o711)
        self.postgres = EmbeddedPostgres(self.place / "d", settings=_POSTGRES, say=lambda _: None)
        self.brokers = Brokers(self.place / "k", count=self.brokers_count) if self.topology == "kafka" else None
        self.clocks = Clocks(self.place)
        self.members: list[Member] = []
        self.links: Links
        self.dsn = ""  # past the link, for the checker
        self._number: dict[str, int] = {}
        self._probe: aiohttp.ClientSession
        self._common: dict[str, str] = {}

    async def start(self) -> None:
        """Start everything, and return when every process is ready."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._probe = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2))
        await self.clocks.build()
        self.dsn = await asyncio.to_thread(self.postgres.start)
        if self.brokers is not None:
            await asyncio.to_thread(self.brokers.start)
        self.links = Links(dict(self._endpoints()))
        await self.links.start()
        self._common = self._environment()
        for role, count in self.counts.items():
            for _ in range(count):
                await self.join(role)
        if not await self.wait_ready(READY_S):
            raise AssertionError("Fliq did not become ready:\n" + self.tails())

    def _endpoints(self) -> Iterator[tuple[str, tuple[int, int | str]]]:
        pid_file = (self.postgres.pgdata / "postmaster.pid").read_text().splitlines()
        port, socket = int(pid_file[3]), pid_file[4]
        yield "postgres", (free_port(), f"{socket}/.s.PGSQL.{port}" if socket else port)
        for broker in self.brokers.brokers if self.brokers is not None else ():
            yield f"broker-{broker.node}", (broker.proxied, broker.through)

    def _environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("FLIQ_", "PG"))}
        password = (self.place / "d" / "postgres.password").read_text().strip()
        port = self.links.endpoints["postgres"][0]
        fliq = {
            "FLIQ_DATABASE_URL": f"postgresql://fliq:{quote(password)}@127.0.0.1:{port}/fliq?sslmode=disable",
            "FLIQ_BOOTSTRAP_TOKENS": f"default={TOKEN},other={OTHER_TOKEN}",
            "FLIQ_EGRESS_ALLOW": "127.0.0.0/8",
            "FLIQ_RETRY_BASE_SECONDS": str(RETRY_BASE_MS / 1000),
            "FLIQ_PARTITIONS": str(self.partitions),
            "FLIQ_LOG_FORMAT": "json",
        }
        if self.brokers is not None:
            fliq["FLIQ_KAFKA_BOOTSTRAP"] = ",".join(f"127.0.0.1:{each.proxied}" for each in self.brokers.brokers)
        return clean | fliq | self.settings

    async def join(self, role: str) -> Member:
        """Add one process."""
        number = self._number[role] = self._number.get(role, 0) + 1
        name = f"{role}-{number}"
        port = free_port()
        own = {
            "FLIQ_NODE": name,
            "FLIQ_DATA_DIR": str(self.place / name),
            "FLIQ_ADMIN_PORT": str(free_port()),
            "FLIQ_PORT": str(port),
        }
        environment = self._common | own | self.clocks.environment(name)
        member = Member(name=name, role=role, environment=environment, directory=self.directory, port=port)
        self.members.append(member)
        await self.spawn(member)
        return member

    async def leave(self, member: Member) -> None:
        """Take one process away, as an operator does."""
        member.signal(signal.SIGTERM)
        await self.wait_ended(member)
        self.members.remove(member)

    async def wait_ended(self, member: Member) -> int:
        """Wait until *member* has drained; returns its exit code."""
        assert member.process is not None
        return await asyncio.to_thread(member.process.wait, timeout_s=STOP_S)

    async def spawn(self, member: Member) -> None:
        """Begin a life of *member*, known to the link."""
        member.spawn()
        await self.links.know({each.process.pid: each.name for each in self.members if each.process is not None})

    def apis(self) -> list[str]:
        """Where the API can be called."""
        return [each.url for each in self.members if each.role in ("api", "all")]

    async def unready(self) -> list[str]:
        """Return who is not ready, and in its own words why."""
        return [why for why in await asyncio.gather(*[self._why_unready(each) for each in self.members]) if why]

    async def _why_unready(self, member: Member) -> str:
        if not member.is_alive or member.process is None:
            return f"{member.name} is dead"
        try:
            async with self._probe.get(f"http://127.0.0.1:{member.process.admin_port}/readyz") as answer:
                return "" if answer.status == 200 else f"{member.name}: {(await answer.text())[:200]}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return f"{member.name} does not answer: {type(error).__name__}"

    async def wait_ready(self, within_s: float) -> bool:
        """Wait until every process is ready; says whether they are."""

        async def all_ready() -> bool:
            return not await self.unready()

        return await until_or_late(all_ready, within_s=within_s, every_s=0.1)

    async def restart_postgres(self, how: int, *, down_s: float) -> None:
        """End PostgreSQL by signal *how*, and start it again after *down_s*."""

        def restart() -> None:
            assert self.postgres.pid is not None
            os.kill(self.postgres.pid, how)
            until_blocking(lambda: not self.postgres.is_alive())
            time.sleep(down_s)
            self.postgres.stop()
            self.postgres.start()

        await asyncio.to_thread(restart)

    def postgres_tree(self) -> list[int]:
        """Return the postmaster and its children."""
        assert self.postgres.pid is not None
        parent = self.postgres.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [parent, *map(int, children)]

    def broker_called(self, name: str) -> Broker:
        """Return the broker *name*, as the link calls it."""
        assert self.brokers is not None
        return next(each for each in self.brokers.brokers if f"broker-{each.node}" == name)

    async def leader_of(self, partition: int) -> str:
        """Return which broker leads *partition* of the log."""
        assert self.brokers is not None
        admin = AIOKafkaAdminClient(bootstrap_servers=self.brokers.bootstrap)
        await admin.start()
        try:
            (topic,) = await admin.describe_topics([self._common.get("FLIQ_KAFKA_TOPIC", "fliq.log")])
            return next(f"broker-{each['leader']}" for each in topic["partitions"] if each["partition"] == partition)
        finally:
            await admin.close()

    @asynccontextmanager
    async def log(self) -> AsyncIterator[Log]:
        """Open the log past the link."""
        log: Log
        if self.brokers is not None:
            log = KafkaLog(KafkaAccess(bootstrap=self.brokers.bootstrap), partitions=self.partitions)
        else:
            log = PostgresLog(self.dsn, partitions=self.partitions)
        await log.start()
        try:
            yield log
        finally:
            await log.stop()

    async def command(
        self, *words: str, kill_after_s: float | None = None, within_s: float = COMMAND_S
    ) -> tuple[int, str]:
        """Run an operator's command, or kill it half-way; returns how it ended and what it said."""
        own = {"FLIQ_DATA_DIR": str(self.place / "operator")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services", *words,
            cwd=ROOT, env=self._common | own, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(kill_after_s or within_s):
                said, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode(errors="replace")

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return of each process that lives its resident memory, MB, and how many files it has open."""
        found = {}
        for member in self.members:
            if member.is_alive and member.process is not None:
                place = Path(f"/proc/{member.process.pid}")
                pages = int((place / "statm").read_text().split()[1])
                found[member.name] = pages * os.sysconf("SC_PAGE_SIZE") >> 20, len(list((place / "fd").iterdir()))
        return found

    def tails(self) -> str:
        """Return the last lines of every process."""
        return "\n".join(
            f"--- {each.name}\n{each.process.tail(15)}" for each in self.members if each.process is not None
        )

    async def stop(self) -> list[str]:
        """End everything; returns what did not end as it should."""
        for member in self.members:
            if member.is_alive:
                member.signal(signal.SIGCONT)
                member.signal(signal.SIGTERM)
        ends = await asyncio.gather(*[self._see_out(each) for each in self.members if each.process is not None])
        wrong = [each for each in ends if each]
        await self._probe.close()
        if hasattr(self, "links"):
            await self.links.stop()
        if self.brokers is not None:
            await asyncio.to_thread(self.brokers.stop)
        await asyncio.to_thread(self.postgres.stop)
        shutil.rmtree(self.place, ignore_errors=True)
        return wrong

    async def _see_out(self, member: Member) -> str:
        """Wait until *member*, which was asked to stop, has ended; returns what was wrong with that."""
        try:
            code = await self.wait_ended(member)
        except subprocess.TimeoutExpired:
            await asyncio.to_thread(member.kill)
            return f"{member.name} did not end within {STOP_S:.0f} s"
        return "" if code in (0, -signal.SIGKILL) else f"{member.name} ended with {code}"
