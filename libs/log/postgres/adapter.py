"""PostgresLog: implements the log port on PostgreSQL."""

import asyncio
import math
from collections.abc import Sequence
from typing import Final

from libs.events import Envelope
from libs.log.appends import AppendQueue
from libs.log.port import LogDamaged, LogError, Record, measure
from libs.log.postgres import sql
from libs.log.postgres.connection import LogQueries, one_connection
from libs.log.postgres.partition_bounds import PartitionBounds
from libs.log.postgres.writer import Writer
from libs.log.server_log import QUEUE_RECORDS_MAX, Running, ServerLog

QUEUE_BYTES_MAX: Final = 64_000_000
READ_BYTES_MAX: Final = 8_000_000
# Records that are fetched at once, however few a reader asks for: about 2 ms. Readers take 50 or 100 in a round of the loop, so
# that they hold up nobody. If each of these cost a query, they would fall behind what others write as soon as the loop is busy.
FETCH_MIN: Final = 500
TRIM_STEP: Final = 2_000  # records deleted by one statement, some 20 ms


class PostgresLog(ServerLog["_Running"]):
    """
    The log in a PostgreSQL database. May be started again after it was stopped.

    Args:
        dsn: of a database in which the schema `fliq_log` belongs to this log; it is made if it does not exist.
        partitions: how many the log must have. If it has fewer, they are added; if it has more, it is refused.
        timeout_s: bound on connecting, on one commit and on one read.
    """

    def __init__(self, dsn: str, *, partitions: int = 4, timeout_s: float = 5.0) -> None:
        super().__init__(partitions)
        self._dsn = dsn
        self._timeout_s = timeout_s

    position_reports: Final = None  # PostgreSQL has no tools that show how far readers are

    async def start(self) -> None:
        if self._running is not None:
            return
        running = _Running(self._dsn, self._timeout_s, self._count)
        await running.start()
        self._running = running

    async def identity(self) -> str:
        return "postgres"  # the log is in the same database as the tables, so they always belong together

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        running = self._at(partition)
        taken = tuple(envelopes)
        size = measure(taken)
        return await running.queue.put(partition, taken, size, timeout_s)

    async def begin(self, partition: int) -> int:
        running = self._at(partition)
        await running.bounds.refresh()
        return running.recents[partition].begin

    async def end(self, partition: int) -> int:
        running = self._at(partition)
        await running.bounds.refresh()
        return running.recents[partition].known_end

    async def trim(self, partition: int, before: int) -> None:
        running = self._at(partition)
        recent = running.recents[partition]
        await running.bounds.refresh()
        if before > recent.known_end:
            raise LogError(f"cannot trim partition {partition} before {before}: it ends at {recent.known_end}")
        while recent.begin < before:
            step = min(before, recent.begin + TRIM_STEP)
            await running.queries.run(sql.MOVE_BEGIN, partition, step)
            await running.queries.run(sql.DELETE, partition, step)
            recent.see(step, recent.known_end)


class _Running(Running):
    """What exists between start and stop."""

    wait_max_s = math.inf  # the poller wakes readers

    def __init__(self, dsn: str, timeout_s: float, partitions: int) -> None:
        super().__init__(partitions)
        self._dsn = dsn
        self._timeout_s = timeout_s
        self.queries = LogQueries(dsn, timeout_s)
        self._heads = LogQueries(dsn, timeout_s, size=1)  # apart from reads: however many there are, the ends are known
        self.queue = AppendQueue(max_records=QUEUE_RECORDS_MAX, max_bytes=QUEUE_BYTES_MAX)
        self._writer: Writer | None = None
        self.bounds = PartitionBounds(
            self._heads,
            self.recents,
            lambda: self.queue.is_taken,
            lambda: self._writer is not None and self._writer.hears,
        )

    async def start(self) -> None:
        """
        Make the tables and the missing partitions, check that log_heads and the records agree, and note begin and end.

        Raises:
            LogError: the log cannot be used, or its database cannot be reached.
        """
        count = len(self.recents)
        async with one_connection(self._dsn, self._timeout_s) as connection:
            if connection.get_server_version().major < 15:
                raise LogError("the log needs PostgreSQL 15 or newer")
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", sql.CREATE_LOCK)
                if not await connection.fetchval(sql.EXISTS):
                    await connection.execute(sql.CREATE)
                rows = await connection.fetch(sql.CHECK)
                if len(rows) > count:
                    raise LogError(
                        f"the log has {len(rows)} partitions, more than the {count} asked for: "
                        "partitions cannot be taken away, ask for at least as many"
                    )
                if len(rows) < count:
                    await connection.execute(sql.ADD_PARTITIONS, len(rows), count)
        for part, begin, end, found in rows:
            if end != found:
                raise LogDamaged(
                    f"the log is damaged: partition {part} should end at {end}, its records end at {found}"
                )
            self.recents[part].see(begin, end)
        await self.queries.start()
        await self._heads.start()
        self._writer = writer = Writer(
            dsn=self._dsn,
            timeout_s=self._timeout_s,
            queue=self.queue,
            recents=self.recents,
            note_foreign=self.bounds.note_foreign,
            note_announced=self.bounds.note_announced,
        )
        self._writing = [asyncio.create_task(writer.run())]
        self._looking = [asyncio.create_task(self.bounds.poll()), asyncio.create_task(self._let_go())]

    async def stop(self) -> None:
        await self._end_tasks([self.queue])
        await self.queries.stop()
        await self._heads.stop()
        await self.bounds.stop()

    def watch(self, partition: int) -> None:
        self.bounds.watch()

    def answer_count(self, partition: int) -> int:
        return self.bounds.refresh_count

    async def read(self, partition: int, position: int, max_records: int) -> list[Record]:
        """Read from the table. New records go into `RecentRecords`: one reader reads them for all readers that want them."""
        recent = self.recents[partition]
        if position < recent.next:
            return await self._select(partition, position, max_records)
        async with recent.fetching(self._timeout_s, "the log's database"):
            kept = recent.slice(position, max_records)
            if kept is not None:
                return kept
            records = await self._select(partition, position, max(max_records, FETCH_MIN))
            if records and position >= recent.next:
                recent.add(records)
            return records[:max_records]

    async def _select(self, partition: int, position: int, max_records: int) -> list[Record]:
        """Read from the table."""
        recent = self.recents[partition]
        rows = await self.queries.run(sql.READ, partition, position, max_records, READ_BYTES_MAX)
        records = [Record(row[0], row[1], Envelope(*row[2:])) for row in map(tuple, rows)]
        if records and records[0].position == position:
            last = records[-1].position
            if last - position != len(records) - 1:
                raise LogDamaged(f"the log is damaged: a gap in partition {partition} between {position} and {last}")
            recent.see(recent.begin, last + 1)
            return records
        if records or position != recent.known_end:
            await self.bounds.refresh()
        if not recent.begin <= position <= recent.known_end:
            raise LogDamaged(
                f"position {position} is not in partition {partition}: {recent.begin} to {recent.known_end}"
            )
        if records:
            raise LogDamaged(f"the log is damaged: partition {partition} has no record at {position}")
        return []
