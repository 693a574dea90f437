"""
Measure 100,000 schedules in time zones: how long a take-over loads them, and what they take in memory.

    python -m tests.bench.costs.zoned_schedules [schedules]

A fresh embedded server with its real settings; nothing else should run. Sixteen partitions, one process. 50 crons in 40 zones. Once
their runs are spread over a day, as they usually are; once all are due at the next two full minutes, so that all of them must be
in memory; once the same with calls that are spread over these minutes.
"""

import asyncio
import gc
import resource
import sys
import time
import tracemalloc
from typing import Any, NamedTuple

from libs.domain.calendar.recorded_rule import rule_of
from libs.domain.ledger import Ledger
from libs.domain.schedule import KIND
from libs.domain.schedules.tick_decision import next_run
from libs.events import Claim, ScheduleDefined, ScheduleRule
from libs.events.ids import new_schedule_id
from libs.store.pool import open_pool
from libs.store.projection.changes import Flush, PartitionChanges
from libs.store.projection.progress import ProgressWatch
from libs.store.projection.projector import Projector
from libs.store.reads.partition_tables import Tables
from libs.store.schema.migrate import migrate
from services.process.zones import zone
from services.scheduler.decider import Decider
from services.scheduler.horizon import HORIZON_MS, LOAD_MAX
from tests.fakes import events
from tests.fakes.running.postgres import fresh_server

NOW = 1_790_000_000_000
PARTITIONS = 16  # in fewer, more than one load (LOAD_MAX) would be due at one instant
FLUSH_ROWS = 1_000
OVER_A_DAY, FULL_MINUTES, SPREAD = "over a day", "at full minutes", "spread"
CLAIM = Claim(1, "claimclaim")
ZONES = [
    *("Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Madrid", "Europe/Kyiv", "Europe/Istanbul"),
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Sao_Paulo"),
    *("America/Bogota", "America/Santiago", "America/Toronto", "America/Mexico_City", "America/St_Johns"),
    *("Asia/Tokyo", "Asia/Kolkata", "Asia/Shanghai", "Asia/Singapore", "Asia/Tehran", "Asia/Dubai", "Asia/Seoul"),
    *("Asia/Karachi", "Asia/Dhaka", "Asia/Bangkok", "Asia/Manila", "Asia/Jerusalem", "Asia/Kathmandu"),
    *("Australia/Sydney", "Australia/Perth", "Australia/Adelaide", "Australia/Lord_Howe", "Pacific/Auckland"),
    *("Pacific/Apia", "Pacific/Honolulu", "Africa/Cairo", "Africa/Lagos", "Africa/Casablanca", "Africa/Nairobi"),
]
CRONS = [f"{minute} {hour} * * {days}" for minute in (0, 15, 30, 45, 50) for hour in range(5) for days in ("*", "1-5")]


def defined(number: int, *, due: str) -> ScheduleDefined:
    """Return a schedule whose first run is as *due* says."""
    record = ScheduleRule(cron=CRONS[number % len(CRONS)], zone=ZONES[number // len(CRONS) % len(ZONES)])
    rule = rule_of(record, zone)
    assert rule is not None
    entropy = (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big")
    schedule_id = new_schedule_id(NOW + number // 20, number % PARTITIONS, entropy)
    first = next_run(rule, schedule_id, NOW)
    return events.defined(
        schedule_id,
        NOW,
        account=f"account{number % 7}",
        rule=record,
        next_run_at=first.run_at if due == OVER_A_DAY else NOW - NOW % 60_000 + run_ms(number, due),
        zone_data=first.zone_data,
    )


def run_ms(number: int, due: str) -> int:
    """Return how long after the last full minute a schedule runs that is due soon."""
    return 60_000 + (number % 60_000 if due == SPREAD else number % 2 * 60_000)


async def fill(pool: Any, count: int, *, due: str) -> None:
    """Fold *count* schedules into the tables."""
    projector = Projector(pool, ProgressWatch(pool))
    ledgers = [Ledger(part, claim=CLAIM) for part in range(PARTITIONS)]
    for start in range(0, count, FLUSH_ROWS):
        changes = [PartitionChanges(part) for part in range(PARTITIONS)]
        since = [ledger.position for ledger in ledgers]
        for number in range(start, min(count, start + FLUSH_ROWS)):
            ledger = ledgers[number % PARTITIONS]
            event = defined(number, due=due)
            changes[ledger.partition].add(ledger.apply(ledger.position + 1, event, str(CLAIM)))
        flushes = [
            Flush(part, "bench", since[part], ledger.position, ledger.claim, changes[part])
            for part, ledger in enumerate(ledgers)
        ]
        assert await projector.flush(flushes) == set()
        for ledger in ledgers:
            ledger.states.clear()
    await projector.close()


async def take_over(tables: Tables) -> list[Decider]:
    """Load what is due within the horizon of each partition, as an owner does, and say what to do first."""
    deciders = []
    for part in range(PARTITIONS):
        decider = Decider(
            Ledger(part, claim=CLAIM), CLAIM, lead_ms=75, retry_base_s=30.0, concurrency=100, horizon_at=0, zones=zone
        )
        decider.extend(NOW + HORIZON_MS)
        since = 0
        while True:
            states = await tables.load_due(KIND, part, NOW + HORIZON_MS, LOAD_MAX, since=since)
            decider.load(states)
            if len(states) < LOAD_MAX:
                break
            since = getattr(states[-1], KIND.timer)
        deciders.append(decider)
    return deciders


class Measured(NamedTuple):
    """What a take-over of all partitions costs: seconds on the clock and of CPU, states loaded, bytes of memory for all."""

    wall_s: float
    cpu_s: float
    loaded: int
    held: int


async def measure(dsn: str, count: int, *, due: str) -> Measured:
    """Fill a fresh database with *count* schedules and have a process take them over, three times: the median counts."""
    await migrate(dsn, PARTITIONS)
    pool = await open_pool(dsn, name="bench", size=3)
    await pool.execute("UPDATE progress SET lease_nonce = 'bench'")
    await fill(pool, count, due=due)
    tables = Tables(pool)
    await pool.fetchval("SELECT count(*) FROM schedules")
    walls, cpus = [], []
    for _ in range(3):
        gc.collect()
        wall, cpu = time.perf_counter(), own_cpu()
        deciders = await take_over(tables)
        walls.append(time.perf_counter() - wall)
        cpus.append(own_cpu() - cpu)
        loaded = sum(decider.state_count for decider in deciders)
        deciders.clear()
    gc.collect()
    tracemalloc.start()
    deciders = await take_over(tables)
    for decider in deciders:
        decider._touched.clear()  # the first round of decisions goes through them
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await pool.close()
    return Measured(sorted(walls)[1], sorted(cpus)[1], loaded, held)


def own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for due in (OVER_A_DAY, FULL_MINUTES, SPREAD):
        with fresh_server() as dsn:
            found = asyncio.run(measure(dsn, count, due=due))
        print(
            f"{due:16} {count:,} schedules, {found.loaded:,} loaded: take-over {found.wall_s:5.2f} s ({found.cpu_s:.2f} s of CPU),"
            f" {found.held / max(found.loaded, 1):,.0f} bytes of memory each, {found.held / count:,.0f} of each schedule there is"
        )


if __name__ == "__main__":
    main()
