"""The PostgreSQL log as the port wants it."""

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg

from libs.events.envelope import Envelope
from libs.log.appends import AppendQueue
from libs.log.port import LogDamaged, LogError, LogUnavailable, Record, measure
from libs.log.postgres import sql
from libs.log.postgres.connection import GONE, Queries, close, connect, line
from libs.log.postgres.heads import Heads
from libs.log.postgres.writer import Writer
from libs.log.recent_records import Tail

QUEUE_RECORDS_MAX: Final = 50_000
QUEUE_BYTES_MAX: Final = 64_000_000
TAIL_RECORDS_MAX: Final = 20_000  # per partition
TAIL_BYTES_MAX: Final = 64_000_000  # over all partitions
READ_BYTES_MAX: Final = 8_000_000
TRIM_STEP: Final = 2_000  # records per transaction, so that a head is not locked for long
FLUSH_S: Final = 5.0  # what stop() waits for appends to be written


class PostgresLog:
    """
    The log in a PostgreSQL database. May be started again after it was stopped.

    Args:
        dsn: of a database whose schema `fliq_log` is, or becomes, this log's own.
        partitions: how many there are at least; a log that has more is refused, one that has fewer grows.
        timeout_s: bound on connecting, on one commit and on one read.
    """

    def __init__(self, dsn: str, *, partitions: int = 4, timeout_s: float = 5.0) -> None:
        self._dsn = dsn
        self._count = partitions
        self._timeout_s = timeout_s
        self._running: _Running | None = None

    async def start(self) -> None:
        if self._running is not None:
            return
        share = TAIL_BYTES_MAX // self._count
        tails = [Tail(max_records=TAIL_RECORDS_MAX, max_bytes=share) for _ in range(self._count)]
        queries = Queries(self._dsn, self._timeout_s)
        try:
            await self._create(tails)
            await queries.start()
        except TimeoutError as error:
            raise LogUnavailable(f"the log's database does not answer within {self._timeout_s:g} s") from error
        except GONE as error:
            raise LogUnavailable(f"the log's database cannot be reached: {line(error)}") from error
        except asyncpg.PostgresError as error:
            raise LogError(f"the log's tables cannot be used: {line(error)}") from error
        self._running = _Running(self._dsn, self._timeout_s, queries, tails)

    async def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.stop()

    async def partitions(self) -> int:
        return self._count

    async def identity(self) -> str:
        return "postgres"  # it lies beside the tables: whoever has the one has the other

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        running = self._at(partition)
        taken = tuple(envelopes)
        size = measure(taken)
        return await running.queue.put(partition, taken, size, timeout_s)

    async def read(self, partition: int, position: int, *, max_records: int = 500, wait_s: float = 0.0) -> list[Record]:
        if max_records < 1:
            raise ValueError("max_records must be at least 1")
        running = self._at(partition)
        tail = running.tails[partition]
        kept = tail.slice(position, max_records)
        if kept is not None:
            return kept
        if wait_s > 0 and position == tail.known_end:
            looks = running.heads.looks
            running.heads.watch()
            await tail.wait_beyond(position, wait_s)
            if self._running is not running:
                raise LogUnavailable("the log was stopped")
            kept = tail.slice(position, max_records)
            if kept is not None:
                return kept
            if position == tail.known_end and running.heads.looks > looks:
                return []
        if position < tail.next:
            return await running.select(partition, position, max_records)
        return await running.fetch(partition, position, max_records)

    async def begin(self, partition: int) -> int:
        running = self._at(partition)
        await running.heads.look()
        return running.tails[partition].begin

    async def end(self, partition: int) -> int:
        running = self._at(partition)
        await running.heads.look()
        return running.tails[partition].known_end

    async def trim(self, partition: int, before: int) -> None:
        running = self._at(partition)
        tail = running.tails[partition]
        await running.heads.look()
        if before > tail.known_end:
            raise LogError(f"cannot trim partition {partition} before {before}: it ends at {tail.known_end}")
        while tail.begin < before:
            step = min(before, tail.begin + TRIM_STEP)
            await running.queries.run(sql.TRIM, partition, step)
            tail.see(step, tail.known_end)

    def _at(self, partition: int) -> "_Running":
        if not 0 <= partition < self._count:
            raise ValueError(f"no partition {partition}: there are {self._count}")
        if self._running is None:
            raise LogUnavailable("the log is not running")
        return self._running

    async def _create(self, tails: Sequence[Tail]) -> None:
        """Make the tables and the missing partitions, check that heads and records agree, and tell the tails."""
        connection = await connect(self._dsn, self._timeout_s)
        try:
            if connection.get_server_version().major < 15:
                raise LogError("the log needs PostgreSQL 15 or newer")
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", sql.CREATE_LOCK)
                if not await connection.fetchval(sql.EXISTS):
                    await connection.execute(sql.CREATE)
                rows = await connection.fetch(sql.CHECK)
                if len(rows) > self._count:
                    raise LogError(
                        f"the log has {len(rows)} partitions, more than the {self._count} asked for: "
                        "partitions cannot be taken away, ask for at least as many"
                    )
                if len(rows) < self._count:
                    await connection.execute(sql.ADD_PARTITIONS, len(rows), self._count)
        finally:
            await close(connection)
        for part, begin, end, found in rows:
            if end != found:
                raise LogDamaged(
                    f"the log is damaged: partition {part} should end at {end}, its records end at {found}"
                )
            tails[part].see(begin, end)


class _Running:
    """What exists between start and stop."""

    def __init__(self, dsn: str, timeout_s: float, queries: Queries, tails: Sequence[Tail]) -> None:
        self.queries = queries
        self.tails = tails
        self._timeout_s = timeout_s
        self.queue = AppendQueue(max_records=QUEUE_RECORDS_MAX, max_bytes=QUEUE_BYTES_MAX)
        self.heads = Heads(queries, tails, lambda: self.queue.is_taken)
        writer = Writer(
            dsn=dsn, timeout_s=timeout_s, queue=self.queue, tails=tails, note_foreign=self.heads.note_foreign
        )
        self._writing = asyncio.create_task(writer.run())
        self._polling = asyncio.create_task(self.heads.poll())

    async def stop(self) -> None:
        """Write what waits, for a moment; then end everything."""
        self.queue.close()
        await asyncio.wait([self._writing], timeout=FLUSH_S)
        tasks = [self._writing, self._polling]
        for task in tasks:
            task.cancel()
        self.queue.abandon()
        await asyncio.wait(tasks)
        for tail in self.tails:
            tail.wake()
        await self.queries.stop()
        await self.heads.settle()

    async def fetch(self, partition: int, position: int, max_records: int) -> list[Record]:
        """Read what is new from the table into the tail, once for all who want it."""
        tail = self.tails[partition]
        try:
            async with asyncio.timeout(self._timeout_s):
                await tail.fetching.acquire()
        except TimeoutError as error:
            raise LogUnavailable("the log's database does not answer in time") from error
        try:
            kept = tail.slice(position, max_records)
            if kept is not None:
                return kept
            records = await self.select(partition, position, max_records)
            if records and position >= tail.next:
                tail.add(records)
            return records
        finally:
            tail.fetching.release()

    async def select(self, partition: int, position: int, max_records: int) -> list[Record]:
        """Read from the table."""
        tail = self.tails[partition]
        rows = await self.queries.run(sql.READ, partition, position, max_records, READ_BYTES_MAX)
        records = [Record(row[0], row[1], Envelope(*row[2:])) for row in map(tuple, rows)]
        if records and records[0].position == position:
            last = records[-1].position
            if last - position != len(records) - 1:
                raise LogDamaged(f"the log is damaged: a gap in partition {partition} between {position} and {last}")
            tail.see(tail.begin, last + 1)
            return records
        if records or position != tail.known_end:
            await self.heads.look()
        if not tail.begin <= position <= tail.known_end:
            raise LogDamaged(f"position {position} is not in partition {partition}: {tail.begin} to {tail.known_end}")
        if records:
            raise LogDamaged(f"the log is damaged: partition {partition} has no record at {position}")
        return []
