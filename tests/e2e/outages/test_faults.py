"""
Faults that one process alone cannot show: two Fliqs on one database of which one dies or stands still, a database that is restarted
under all of them.

The load and the verdict are those of tests/chaos: nothing lost, nothing early, no call twice but around a fault, tables == fold.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from tests.chaos.harness import Harness
from tests.chaos.judging.history import Fault
from tests.chaos.load import now_ms
from tests.fakes.running.fold import assert_tables_are_the_fold
from tests.fakes.running.memory_disk import data_folder
from tests.fakes.running.operating import until_held
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import OTHER_TOKEN, Client, FliqProcess, RunningFliq, free_port, in_seconds
from tests.fakes.until import until_blocking, until_or_late

SOME = 10  # calls, half a second of the load
REFUSED_S = 6.0  # a request that fails is to fail within five, and this machine is small
NOTICED_S = 15.0  # it takes a second; a bound for a machine that stalls
HEALED_MS = 1_500.0  # after a process is back, until the partitions are shared anew


@asynccontextmanager
async def two_fliqs(dsn: str) -> AsyncIterator[tuple[Harness, Callable[[], FliqProcess]]]:
    """Two whole Fliqs on one database; the load talks to the first. Also returns what starts the second one again."""
    async with Harness(dsn, 1) as harness:
        place = {"FLIQ_PORT": str(free_port()), "FLIQ_DATA_DIR": str(harness.fliq.directory / "data2")}

        def start_second() -> FliqProcess:
            second = harness.fliq.spawn("all", **place)
            harness.fliq.processes[1:] = [second]
            return second

        await harness.start()
        await asyncio.to_thread(start_second().wait_ready)
        yield harness, start_second


async def under_load(harness: Harness, hurt: Callable[[], Awaitable[None]]) -> None:
    """Tell stories for as long as *hurt* takes, and some calls before and after."""

    async def all_of_it() -> None:
        await harness.calls(SOME)
        await hurt()
        await harness.calls(SOME)

    await harness.storm_while(all_of_it())


async def test_one_of_two_fliqs_is_killed(pg_dsn: str) -> None:
    """The other takes its partitions over, by itself; when it is back they share again, and nothing is lost or doubled."""
    async with two_fliqs(pg_dsn) as (harness, start_second):

        async def hurt() -> None:
            at = now_ms()
            await asyncio.to_thread(harness.fliq.processes[1].kill)
            await harness.calls(SOME)  # of those that the other has
            await asyncio.to_thread(start_second().wait_ready)
            harness.faults.append(Fault(kind="kill", at=at, until=now_ms() + HEALED_MS))

        await under_load(harness, hurt)
        await harness.verdict()


async def test_one_of_two_fliqs_stands_still_and_wakes_up(pg_dsn: str) -> None:
    """A process that was stopped for longer than its leases decides and calls nothing of what is another's by then."""
    async with two_fliqs(pg_dsn) as (harness, _):

        async def hurt() -> None:
            second = harness.fliq.processes[1]
            at = now_ms()
            second.signal(signal.SIGSTOP)
            try:
                await until_held(harness.fliq, lambda nodes: None not in nodes and len(set(nodes)) == 1)
            finally:
                second.signal(signal.SIGCONT)
            await asyncio.to_thread(second.wait_ready)
            harness.faults.append(Fault(kind="freeze", at=at, until=now_ms() + HEALED_MS))

        await under_load(harness, hurt)
        await harness.verdict()
        assert await asyncio.to_thread(harness.fliq.stop) == [0, 0]


class Server:
    """A PostgreSQL of the test's own, with fsync, to be ended as `pg_ctl stop -m immediate` does and started again."""

    def __init__(self) -> None:
        self.directory = data_folder("fliq-pg-")
        self.directory.chmod(0o711)
        self._server = EmbeddedPostgres(self.directory / "d", say=lambda _: None)
        self.dsn = self._server.start()

    def end(self, number: int = signal.SIGQUIT) -> None:
        """Let it lose what it had not written."""
        assert self._server.pid is not None
        os.kill(self._server.pid, number)
        until_blocking(lambda: not self._server.is_alive(), every_s=0.005)
        self._server.stop()

    def start(self) -> None:
        assert self._server.start() == self.dsn

    def signal_all(self, number: int) -> None:
        """Send a signal to the server and every back end of it."""
        assert self._server.pid is not None
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        for pid in (self._server.pid, *map(int, children)):
            os.kill(pid, number)

    def close(self) -> None:
        self._server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture
def server() -> Iterator[Server]:
    """A PostgreSQL of the test's own."""
    server = Server()
    yield server
    server.close()


async def test_postgresql_is_restarted_under_load(server: Server, stalls: Stalls) -> None:
    """While it is away Fliq says so: not ready, 503 in the contract's shape, at once. When it is back all goes on by itself."""
    async with Harness(server.dsn, 1) as harness:

        async def hurt() -> None:
            for is_seen in (False, True):
                at = now_ms()
                await asyncio.to_thread(server.end)
                if is_seen:
                    await harness.wait_unready(at_most_s=NOTICED_S)
                    await refusals_are_in_shape(harness.fliq.url, stalls)
                await asyncio.to_thread(server.start)
                assert await harness.wait_ready(at_most_s=20), harness.process.tail()
                harness.faults.append(Fault(kind="postgresql", at=at, until=now_ms() + HEALED_MS))
                await harness.calls(SOME)

        await harness.start()
        await under_load(harness, hurt)
        await harness.verdict()
        assert await harness.stop() == 0, harness.process.tail()


async def test_postgresql_stands_still(server: Server, stalls: Stalls) -> None:
    """A server that takes connections and answers nothing holds no caller for long; when it goes on, so does everything."""
    async with Harness(server.dsn, 1) as harness:

        async def hurt() -> None:
            async with Client(harness.fliq.url, OTHER_TOKEN) as other:
                await other.call("GET", "/v1/jobs")  # a token that is known need not be looked up in what stands still
            at = now_ms()
            server.signal_all(signal.SIGSTOP)
            try:
                await refusals_are_in_shape(harness.fliq.url, stalls)
                await harness.wait_unready(at_most_s=NOTICED_S)
            finally:
                server.signal_all(signal.SIGCONT)
            assert await harness.wait_ready(at_most_s=20), harness.process.tail()
            harness.faults.append(Fault(kind="frozen", at=at, until=now_ms() + HEALED_MS))

        await harness.start()
        await under_load(harness, hurt)
        await harness.verdict()


async def refusals_are_in_shape(url: str, stalls: Stalls) -> None:
    """Writes and reads are refused with 503, a code, and when to try again, within the bound of one request."""
    missing = "job_" + "0" * 26
    job = {"url": "http://127.0.0.1:9/", "scheduled_at": in_seconds(60)}
    # Of another account: what is refused with an unknown outcome may come to be, and is no story of the load.
    async with Client(url, OTHER_TOKEN) as client:
        begun = time.monotonic()
        answers = await asyncio.gather(
            client.call("POST", "/v1/jobs", job),
            client.call("POST", "/v1/jobs", job | {"idempotency_key": "while it is away"}),
            client.call("GET", f"/v1/jobs/{missing}"),
            client.call("DELETE", f"/v1/jobs/{missing}"),
            client.call("GET", "/v1/jobs"),
            client.call("GET", "/v1/schedules"),
        )
        assert time.monotonic() - begun < REFUSED_S + 2 * stalls.longest_ms / 1000
    for status, answer, headers in answers:
        assert status == 503, (status, answer)
        assert answer["error"]["code"] in ("unavailable", "outcome_unknown")
        assert answer["error"]["message"]
        assert int(headers["Retry-After"]) >= 1


async def test_what_was_acknowledged_is_there_after_postgresql_died(server: Server) -> None:
    """Flushes do not wait for the disk: what the tables lost with the server comes back from the log, without new records."""
    with RunningFliq(database_url=server.dsn) as fliq:
        async with Client(fliq.url) as client:
            for _ in range(2):
                jobs = await asyncio.gather(*[client.create("http://127.0.0.1:9/", 3_600) for _ in range(40)])
                for job in jobs:
                    await client.job(job["id"])
                await asyncio.to_thread(server.end, signal.SIGKILL)
                await asyncio.to_thread(server.start)
                answers = [await answer_of(client, job["id"]) for job in jobs]
                assert [status for status, _ in answers] == [200] * len(jobs)
        await asyncio.to_thread(assert_tables_are_the_fold, fliq)


async def answer_of(client: Client, job_id: str) -> tuple[int, str]:
    """Return the first answer about a job that is not 503: for a while nobody may know."""

    async def answered() -> tuple[int, str] | None:
        try:
            status, answer, _ = await client.call("GET", f"/v1/jobs/{job_id}")
        except (aiohttp.ClientError, TimeoutError):
            return None
        return None if status == 503 else (status, str(answer))

    return await until_or_late(answered, within_s=30) or (503, "")


async def test_a_stop_while_postgresql_is_away_ends_in_time(server: Server) -> None:
    """SIGTERM without a database: nothing can be handed over, and the process ends all the same, well within the drain."""
    with RunningFliq(database_url=server.dsn) as fliq:
        async with Client(fliq.url) as client:
            await client.create("http://127.0.0.1:9/", 0.3)
        await asyncio.to_thread(server.end)
        begun = time.monotonic()
        fliq.processes[0].signal(signal.SIGTERM)
        await asyncio.to_thread(fliq.processes[0].wait, timeout_s=45)
        assert time.monotonic() - begun < 42.0, fliq.output()


async def test_a_second_sigterm_ends_at_once_also_while_postgresql_is_away(server: Server, stalls: Stalls) -> None:
    """The second signal cuts the drain short: the process is gone within seconds, with the signal's status."""
    with RunningFliq(database_url=server.dsn) as fliq:
        async with Sink() as sink, Client(fliq.url) as client:
            await client.create(f"{sink.url}/hang", 0.2, timeout_seconds=60)
            await sink.wait_count(1)
            await asyncio.to_thread(server.end)
            process = fliq.processes[0]
            process.signal(signal.SIGTERM)
            await asyncio.sleep(1.1)  # within a second it would be the same signal, sent twice
            begun = time.monotonic()
            process.signal(signal.SIGTERM)
            status = await asyncio.to_thread(process.wait, timeout_s=45)
        assert time.monotonic() - begun < 5.0 + 2 * stalls.longest_ms / 1000, fliq.output()
        assert status == 128 + signal.SIGTERM
