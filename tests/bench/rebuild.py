"""
Measure the rebuild: records per second from an empty schema to tables that serve, and the pause of the switch.

    python -m tests.bench --only rebuild      or      python -m tests.bench.rebuild [records]

A fresh embedded server with its real settings, four partitions, every kind of event. First the tables are empty; then they are
compared with the new ones on the way, and verified. Nothing else should run.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import asyncpg

from libs.log.postgres import PostgresLog
from libs.store.pool import open_pool
from libs.store.rebuild.rebuild import Rebuild
from libs.store.rebuild.verify import verify
from libs.store.schema.migrate import migrate
from tests.bench.harness import say
from tests.fakes.histories import NOW, history
from tests.fakes.running.postgres import fresh_server

PARTITIONS = 4
RECORDS_PER_LIFE = 4.55
FULL_RECORDS = 1_000_000
QUICK_RECORDS = 100_000
COPY_RECORDS = 50_000
COLUMNS = ("part", "off", "at", "type", "version", "must_understand", "claim", "key", "value")


async def fill(dsn: str, records: int) -> int:
    """Write a log of about *records* records past the port, which would take minutes; returns how many they are."""
    connection = await asyncpg.connect(dsn)
    written = 0
    try:
        for partition in range(PARTITIONS):
            batch: list[tuple[Any, ...]] = []
            count = 0
            for envelope in history(partition, lives=int(records / PARTITIONS / RECORDS_PER_LIFE)):
                batch.append((partition, count, NOW + count, *envelope))
                count += 1
                if len(batch) == COPY_RECORDS:
                    await copy(connection, batch)
            await copy(connection, batch)
            await connection.execute("UPDATE fliq_log.log_heads SET next_off = $2 WHERE part = $1", partition, count)
            written += count
        await connection.execute("VACUUM ANALYZE fliq_log.log_events")
    finally:
        await connection.close()
    return written


async def copy(connection: Any, batch: list[tuple[Any, ...]]) -> None:
    """Write *batch*, and empty it."""
    await connection.copy_records_to_table("log_events", schema_name="fliq_log", columns=COLUMNS, records=batch)
    batch.clear()


class Stages:
    """How long each stage took."""

    def __init__(self) -> None:
        self.took_s: dict[str, float] = {}
        self._at_s = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now_s = time.perf_counter()
        self.took_s[stage] = self.took_s.get(stage, 0.0) + now_s - self._at_s
        self._at_s = now_s

    def __str__(self) -> str:
        return "   ".join(f"{stage} {took_s:.1f} s" for stage, took_s in self.took_s.items())


async def measure(dsn: str, wanted: int) -> list[str]:
    """Fill a log, rebuild from it twice, and verify."""
    log = PostgresLog(dsn, partitions=PARTITIONS)
    await log.start()
    await log.stop()
    say(f"writing a log of {wanted:,} records")
    records = await fill(dsn, wanted)
    await migrate(dsn, PARTITIONS)
    lines = [f"log            {records:,} records in {PARTITIONS} partitions"]
    await log.start()
    pool = await open_pool(dsn, name="bench", size=2)
    try:
        for name in ("from nothing", "with old tables"):
            say(f"rebuilding, {name}")
            stages, began_s = Stages(), time.perf_counter()
            rebuilt = await Rebuild(log, dsn, on_progress=stages).run()
            took_s = time.perf_counter() - began_s
            assert rebuilt.has_switched
            assert not rebuilt.differences.count, list(rebuilt.differences.lines())
            lines.append(
                f"{name:15}{took_s:6.1f} s   {records / took_s:8,.0f} records/s   pause {rebuilt.paused_ms or 0:.0f} ms   {stages}"
            )
        say("verifying")
        began_s = time.perf_counter()
        report = await verify(log, pool, range(PARTITIONS))
        took_s = time.perf_counter() - began_s
        assert not report.differences.count
        lines.append(
            f"verify         {took_s:6.1f} s   {records / took_s:8,.0f} records/s   {sum(report.rows.values()):,} rows"
        )
        lines.append(
            f"memory         {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB of this process at most"
        )
    finally:
        await pool.close()
        await log.stop()
    return lines


def rebuild(records: int) -> Iterator[str]:
    """The tables made again from the log: folded, compared, indexed, put in place."""
    with fresh_server() as dsn:
        yield from asyncio.run(measure(dsn, records))


if __name__ == "__main__":
    for each in rebuild(int(sys.argv[1]) if len(sys.argv) > 1 else FULL_RECORDS):
        print(each)
