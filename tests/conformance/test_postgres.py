"""What only the PostgreSQL log can get wrong: its tables, its connections, and a server that goes away."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from libs.log.port import AppendFailed, LogError, LogUnavailable, Record
from libs.log.postgres import PostgresLog, sql
from libs.log.postgres.adapter import FETCH_MIN
from libs.log.postgres.connection import LogQueries
from libs.log.postgres.partition_bounds import POLL_SLOW_S, PartitionBounds
from libs.log.postgres.writer import Writer
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from tests.conformance.harness import Callers, envelope, values
from tests.fakes.running.postgres import fetch
from tests.fakes.running.stalls import Stalls
from tests.fakes.until import until

SHORT_S = 1.0  # the limit of calls of which some are to run into it, and others not, on a machine that is busy


@asynccontextmanager
async def running(dsn: str, *, partitions: int = 2, timeout_s: float = 5.0) -> AsyncIterator[PostgresLog]:
    log = PostgresLog(dsn, partitions=partitions, timeout_s=timeout_s)
    await log.start()
    try:
        yield log
    finally:
        await log.stop()


@asynccontextmanager
async def locked_head(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Hold the lock on partition 0's head; the server then keeps appends waiting."""
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("SELECT FROM fliq_log.log_heads WHERE part = 0 FOR UPDATE")
        yield connection
    await connection.close()


@asynccontextmanager
async def locked_record(dsn: str) -> AsyncIterator[None]:
    """Hold the lock on the first record of partition 0; who deletes it waits."""
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("SELECT FROM fliq_log.log_events WHERE part = 0 AND off = 0 FOR UPDATE")
        yield
    await connection.close()


async def test_appends_do_not_wait_for_a_trim(pg_dsn: str) -> None:
    """While records are deleted others are appended, and begin has moved; a trim that was cut short is made good by the next."""
    async with running(pg_dsn) as log:
        await log.append(0, [envelope(str(number)) for number in range(6)])
        async with locked_record(pg_dsn):
            trimming = asyncio.create_task(log.trim(0, 3))
            async with running(pg_dsn) as other:

                async def has_begun() -> bool:
                    return await other.begin(0) == 3

                await until(has_begun)
                assert await other.append(0, [envelope("6")]) == 6
            assert not trimming.done()
            trimming.cancel()
            await asyncio.wait([trimming])
        assert await log.begin(0) == 3
        await log.trim(0, 5)
        assert await fetch(pg_dsn, "SELECT off FROM fliq_log.log_events WHERE part = 0 ORDER BY off") == [(5,), (6,)]


async def test_the_server_restarts_under_the_log(own_server: EmbeddedPostgres) -> None:
    """The server stops and starts again while callers append and a reader tails: no gap, nothing lost, nobody hangs."""
    async with running(own_server.dsn) as log:
        callers = Callers(log)

        async def tail() -> list[str]:
            found: list[str] = []
            while not callers.finished.is_set() or len(found) < await log.end(0):
                try:
                    records = await log.read(0, len(found), wait_s=0.2)
                except LogUnavailable:
                    continue
                assert [record.position for record in records] == list(range(len(found), len(found) + len(records)))
                found += [record.envelope.value.decode() for record in records]
            return found

        tailing = asyncio.create_task(tail())
        for immediately in (False, True):
            await callers.more(50)
            if immediately:
                assert own_server.pid is not None
                os.kill(own_server.pid, signal.SIGQUIT)  # no shutdown checkpoint: recovery from the WAL
            await asyncio.to_thread(own_server.stop)
            await asyncio.to_thread(own_server.start)
        await callers.more(50)
        assert await callers.stop() == await tailing


async def test_appends_wait_for_a_server_that_comes_back(own_server: EmbeddedPostgres) -> None:
    """While the server is away, an append waits as long as its caller allows: then LogUnavailable, and it is never written."""
    async with running(own_server.dsn) as log:
        start = await log.end(1)
        await asyncio.to_thread(own_server.stop)
        try:
            await log.append(1, [envelope("never")], timeout_s=0.1)
        except LogError:
            pass  # it may have been sent before the loss was noticed
        with pytest.raises(LogUnavailable):
            await log.append(1, [envelope("never")], timeout_s=0.1)
        patient = asyncio.create_task(log.append(1, [envelope("patient")], timeout_s=30))
        await asyncio.to_thread(own_server.start)
        assert await patient == start
        assert (await log.read(1, start))[0].envelope.value == b"patient"


async def test_stop_while_the_server_is_away(own_server: EmbeddedPostgres, stalls: Stalls) -> None:
    """G7: a log whose server is gone, and to which nobody appends, stops without waiting for it."""
    async with running(own_server.dsn) as log:
        await log.append(0, [envelope("a")])
        await asyncio.to_thread(own_server.stop)
        with pytest.raises(LogError):
            await log.append(0, [envelope("b")], timeout_s=0.1)
        with pytest.raises(LogError):
            await log.append(0, [envelope("b")], timeout_s=0.1)
        began_s = time.monotonic()
        await log.stop()
        assert time.monotonic() - began_s < 3 + 2 * stalls.longest_ms / 1000
    await asyncio.to_thread(own_server.start)


async def test_an_unreachable_server_is_one_line(tmp_path: Path) -> None:
    """A log whose server is not there says so at start."""
    log = PostgresLog(f"postgresql://nobody@/none?host={tmp_path}", timeout_s=1.0)
    with pytest.raises(LogUnavailable, match=r"\Athe log's database cannot be reached: .*\Z"):
        await log.start()
    await log.stop()


async def test_a_statement_that_hangs_is_ended_before_the_next(pg_dsn: str) -> None:
    """
    G2, G6: a group that gets no answer is over on the server too before the next one is sent.

    The hazard: the old statement still waits for the lock, gets it later, and lands behind what was appended since.
    """
    async with running(pg_dsn, timeout_s=SHORT_S) as log:
        await log.append(0, [envelope("before")])
        async with locked_head(pg_dsn) as connection:
            first = asyncio.create_task(log.append(0, [envelope("first")], timeout_s=30))
            with pytest.raises(LogError):
                await first
            second = asyncio.create_task(log.append(0, [envelope("second")], timeout_s=30))
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            for _ in range(10):
                await asyncio.wait([second], timeout=0.02)
                assert await connection.fetchval(waiting) <= 1
        try:
            await second
        except LogError:
            pass  # its time may have been over before the lock was free
        await log.append(0, [envelope("third")])
        found = await values(log)
        assert found in (["before", "second", "third"], ["before", "third"])


async def test_a_silent_backend_is_ended_before_the_next_group(pg_dsn: str) -> None:
    """
    G2, G6: a group that was sent to a backend which does not answer never lands behind the next group.

    The hazard: the backend is only slow, and the statement still lies in its socket. Closing our end does not take it back:
    the backend reads it later, and writes behind what its caller appended since.
    """
    async with running(pg_dsn, timeout_s=SHORT_S) as log:
        await log.append(0, [envelope("before")])
        ours = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"  # the server has others, too
        ((pid,),) = await fetch(pg_dsn, f"{ours} AND query LIKE '%wanted AS%' AND pid <> pg_backend_pid()")
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(AppendFailed):
                await log.append(0, [envelope("first")])
            with pytest.raises(LogUnavailable):
                await log.append(0, [envelope("never")], timeout_s=0.3)
            second = asyncio.create_task(log.append(0, [envelope("second")], timeout_s=30))
            await asyncio.wait([second], timeout=0.1)
        finally:
            os.kill(pid, signal.SIGCONT)
        await second
        assert await fetch(pg_dsn, "SELECT FROM pg_stat_activity WHERE pid = $1", pid) == []
        assert await values(log) in (["before", "second"], ["before", "first", "second"])


async def test_g3_a_commit_that_takes_long_keeps_later_ones_out_of_sight(pg_dsn: str) -> None:
    """
    G3: while one process is between drawing a position and its commit, no later position becomes visible.

    The hazard: with a sequence, the record behind would be seen first, and a reader would go past the one that is late.
    """
    async with running(pg_dsn) as one, running(pg_dsn) as other, running(pg_dsn) as reader:
        gate = await asyncpg.connect(pg_dsn)
        await gate.execute(
            """
            CREATE FUNCTION fliq_log.wait() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
            CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON fliq_log.log_events DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW WHEN (NEW.key = 'slow') EXECUTE FUNCTION fliq_log.wait();
            SELECT pg_advisory_lock(1);
            """
        )
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        slow = asyncio.create_task(one.append(0, [envelope("slow", key="slow")]))
        while await gate.fetchval(waits) < 1:
            await asyncio.wait([slow], timeout=0.01)
        quick = asyncio.create_task(other.append(0, [envelope("quick")]))
        assert await reader.read(0, 0, wait_s=0.1) == []
        assert not quick.done()
        await gate.close()
        assert (await slow, await quick) == (0, 1)
        assert await values(reader) == ["slow", "quick"]


async def test_an_error_of_the_server_means_not_written(pg_dsn: str) -> None:
    """What the server refuses in good order was not written, and the log says so; the connection goes on being used."""
    async with running(pg_dsn) as log:
        await fetch(pg_dsn, "ALTER TABLE fliq_log.log_events ADD CONSTRAINT no CHECK (key <> 'refused')")
        with pytest.raises(LogUnavailable):
            await log.append(0, [envelope("a", key="refused")])
        assert await log.append(0, [envelope("b")]) == 0
        assert await values(log) == ["b"]


async def test_stop_while_the_server_does_not_answer(pg_dsn: str) -> None:
    """G7: stop ends within its bound although a commit hangs, and the append ends as AppendFailed."""
    log = PostgresLog(pg_dsn, partitions=2, timeout_s=0.5)
    await log.start()
    async with locked_head(pg_dsn):
        append = asyncio.create_task(log.append(0, [envelope("a")], timeout_s=30))
        behind = asyncio.create_task(log.append(0, [envelope("b")], timeout_s=30))
        await asyncio.sleep(0)
        await asyncio.wait_for(log.stop(), 20)
        for each in (append, behind):
            with pytest.raises(LogError):
                await each


async def test_logs_that_start_at_once(pg_dsn: str) -> None:
    """Many processes may make the tables at the same moment."""
    logs = [PostgresLog(pg_dsn, partitions=3) for _ in range(6)]
    await asyncio.gather(*(log.start() for log in logs))
    await asyncio.gather(*(log.append(0, [envelope(str(number))]) for number, log in enumerate(logs)))
    assert sorted(await values(logs[0])) == [str(number) for number in range(6)]
    await asyncio.gather(*(log.stop() for log in logs))


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM fliq_log.log_events WHERE off = 2",
        "UPDATE fliq_log.log_heads SET next_off = 2 WHERE part = 0",
        "UPDATE fliq_log.log_heads SET next_off = 7 WHERE part = 0",
    ],
)
async def test_a_damaged_log_is_refused(pg_dsn: str, damage: str) -> None:
    """Heads that do not agree with the records, as after a partial restore, are found at start."""
    async with running(pg_dsn) as log:
        await log.append(0, [envelope(str(number)) for number in range(3)])
    await fetch(pg_dsn, damage)
    with pytest.raises(LogError, match="damaged"):
        await PostgresLog(pg_dsn, partitions=2).start()


async def test_a_gap_is_never_read_over(pg_dsn: str) -> None:
    """A record that vanished from the middle stops the reader there."""
    async with running(pg_dsn) as log:
        await log.append(0, [envelope(str(number)) for number in range(5)])
    await fetch(pg_dsn, "DELETE FROM fliq_log.log_events WHERE off = 2")
    async with running(pg_dsn) as log:
        for position in (0, 2):
            with pytest.raises(LogError, match="damaged"):
                await log.read(0, position)
        assert [record.position for record in await log.read(0, 3)] == [3, 4]


async def test_fresh_records_cost_no_query(pg_dsn: str) -> None:
    """Readers in the writer's process get fresh records, waited for or not, without a query; only the poller may look."""
    async with running(pg_dsn) as log:
        await log.append(0, [envelope("a")])
        assert log._running is not None
        asked: list[str] = []

        def count(queries: LogQueries) -> None:
            run = queries.run

            async def counted(statement: str, *args: object) -> list[object]:
                asked.append(statement)
                return await run(statement, *args)

            queries.run = counted  # type: ignore[method-assign]

        count(log._running.queries)
        count(log._running._heads)
        began_s = time.monotonic()
        for position in range(50):
            assert len(await log.read(0, position, wait_s=60)) == 1
            await log.append(0, [envelope("a")])
        for position in range(51, 60):
            waiting = [asyncio.create_task(log.read(0, position, wait_s=60)) for _ in range(3)]
            await asyncio.sleep(0)
            await log.append(0, [envelope("a")])
            for read in waiting:
                assert [record.position for record in await read] == [position]
        assert set(asked) <= {sql.HEADS}
        assert len(asked) <= (time.monotonic() - began_s) / POLL_SLOW_S + 1


async def test_a_reader_catches_up_with_few_queries(pg_dsn: str) -> None:
    """What another process wrote is fetched many at a time, however few are read at once, also if this one writes behind it."""
    async with running(pg_dsn) as other, running(pg_dsn) as log:
        assert log._running is not None
        await other.append(0, [envelope(f"{n}") for n in range(10)])
        assert len(await log.read(0, 0, max_records=50)) == 10
        asked: list[str] = []
        found: list[Record] = []
        run = log._running.queries.run

        async def counted(statement: str, *args: object) -> list[object]:
            asked.append(statement)
            return await run(statement, *args)

        log._running.queries.run = counted  # type: ignore[method-assign]
        for n in range(0, 1_000, 100):
            await other.append(0, [envelope(f"{n + k}") for k in range(99)])
            await log.append(0, [envelope("own")])

        position = 10
        while position < 1_010:
            records = await log.read(0, position, max_records=50)
            assert len(records) == 50
            found += records
            position += len(records)
        assert [record.position for record in found] == list(range(10, 1_010))
        assert asked.count(sql.READ) <= 1_000 / FETCH_MIN + 1


async def test_a_defect_costs_the_writer_one_group_and_no_more(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in it, the writer lives on: the append in hand is of unknown outcome, the next one is written."""
    async with running(pg_dsn) as log:
        await log.append(0, [envelope("a")])
        settle = Writer._settle

        def broken(self: Writer, *args: Any) -> None:
            monkeypatch.setattr(Writer, "_settle", settle)
            raise RuntimeError("planted")

        monkeypatch.setattr(Writer, "_settle", broken)
        with pytest.raises(AppendFailed):
            await log.append(0, [envelope("b")])
        assert await log.append(0, [envelope("c")]) == 2
        assert [len(await log.read(0, 0)), len(await log.read(0, 1))] == [1, 2]  # from memory, and from the table


async def test_a_defect_does_not_blind_the_readers(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at the heads that fails in an unforeseen way is made again: what another process writes is still seen."""
    async with running(pg_dsn) as log, running(pg_dsn) as other:
        refresh = PartitionBounds.refresh

        async def broken(self: PartitionBounds) -> None:
            monkeypatch.setattr(PartitionBounds, "refresh", refresh)
            raise RuntimeError("planted")

        async def first() -> list[Record]:
            while not (records := await log.read(0, 0, wait_s=10)):
                pass  # the look that failed woke it before the other process had written
            return records

        monkeypatch.setattr(PartitionBounds, "refresh", broken)
        reading = asyncio.ensure_future(first())
        await asyncio.sleep(0)
        await other.append(0, [envelope("a")])
        assert len(await asyncio.wait_for(reading, 5)) == 1
