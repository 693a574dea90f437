"""How a process that sleeps learns that another one writes to the log in PostgreSQL, or that the server is away."""

import asyncio

import pytest

from libs.log.port import LogUnavailable
from libs.log.postgres import PostgresLog, partition_bounds
from libs.log.postgres.writer import ANNOUNCE_EVERY_S
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from tests.conformance.harness import envelope
from tests.conformance.test_postgres import running
from tests.fakes.until import until

FOR_EVER_S = 600.0


async def asleep(log: PostgresLog, position: int) -> asyncio.Task[list[object]]:
    """Begin to read the first partition at *position*; return when the poller has looked, so that it looks seldom from now on."""
    reading = asyncio.create_task(log.read(0, position, wait_s=FOR_EVER_S))
    assert log._running is not None
    bounds = log._running.bounds
    looked = bounds.refresh_count
    await until(lambda: bounds.refresh_count > looked)
    return reading  # type: ignore[return-value]


async def test_the_first_record_of_another_process_is_announced(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that looks seldom sees it at once, and what comes soon behind it, too, although only one of them is announced."""
    monkeypatch.setattr(partition_bounds, "POLL_ALONE_S", FOR_EVER_S)
    async with running(pg_dsn) as ours, running(pg_dsn) as theirs:
        for position in range(4):
            reading = (
                await asleep(ours, position)
                if position == 0
                else asyncio.create_task(ours.read(0, position, wait_s=60))
            )
            await theirs.append(0, [envelope("a")])
            async with asyncio.timeout(30):
                assert len(await reading) == 1


async def test_own_records_wake_nobody(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process hears its own announcements, and does not look for what it wrote itself."""
    monkeypatch.setattr(partition_bounds, "POLL_ALONE_S", FOR_EVER_S)
    async with running(pg_dsn) as log, running(pg_dsn) as other:
        reading = await asleep(log, 0)
        bounds = log._running.bounds  # type: ignore[union-attr]
        looked = bounds.refresh_count
        await log.append(1, [envelope("a")])  # it is announced: the first one
        assert bounds.refresh_count == looked
        await other.append(0, [envelope("b")])
        assert len(await reading) == 1  # so announcements had arrived
        assert bounds.refresh_count > looked


async def test_announcements_are_rare(pg_dsn: str) -> None:
    """However much is written, about one a second is announced: its commit takes a lock of the whole server."""
    async with running(pg_dsn) as log:
        heard: list[int] = []
        async with running(pg_dsn) as other:
            writer = other._running._writer  # type: ignore[union-attr]
            assert writer is not None
            await until(lambda: writer.hears)
            writer._note_announced = lambda: heard.append(1)  # type: ignore[method-assign]
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            for _ in range(50):
                await log.append(0, [envelope("a")])
            took_s = loop.time() - began_s
            await until(lambda: heard)
        assert len(heard) <= 1 + took_s / ANNOUNCE_EVERY_S


async def test_a_reader_that_waits_learns_that_the_server_is_away(own_server: EmbeddedPostgres) -> None:
    """However long it would wait for a record: at most one read ends with what was true before."""
    async with running(own_server.dsn, timeout_s=0.5) as log:
        reading = await asleep(log, 0)
        await asyncio.to_thread(own_server.stop)
        async with asyncio.timeout(30):
            assert await reading == []
            with pytest.raises(LogUnavailable):
                await log.read(0, 0, wait_s=FOR_EVER_S)
    await asyncio.to_thread(own_server.start)
