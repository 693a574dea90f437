"""
Measure lateness while old jobs are deleted and what lives is carried over in the log.

    python -m tests.bench --only keeping

One Fliq on a PostgreSQL of its own, whose tables hold ended jobs that are older than the history, and jobs that wait for weeks. The
keepers look every minute. At the first look after a start what lives is carried over, at the second one jobs are forgotten, and the
janitor has work for minutes. So each round measures before the first look, at it, and after the second.
"""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Iterator
from typing import Final

import asyncpg
import msgspec

from libs.events import Spec
from tests.bench.figures import medians
from tests.bench.harness import Harness, now_ms, say
from tests.bench.sections import Size, complete
from tests.fakes.running.postgres import fresh_server

PARTITIONS: Final = 4
ENDED: Final = 60_000  # in each partition: more than are deleted while this runs
WAITING: Final = 30_000
DAY_MS: Final = 86_400_000
RATE: Final = 200
AT_S: Final = {"before": 0, "while what lives is carried over": 50, "while old jobs are deleted": 123}  # after a start
# Jobs that ended forty days ago, one a millisecond, in partition $2.
_ID: Final = "encode(int8send((($3::int8 + n) << 16) + $2::int8) || int8send(n::int8), 'hex')::uuid"
_FILL: Final = (
    f"""INSERT INTO fliq.jobs (job_id, scheduled_at, fire_at, created_at, timeout_ms, part, status, attempt, max_retries,
        has_webhook, cancel_requested, held, account, offsets, completed_at)
    SELECT {_ID}, $3 + n, $3 + n, $3 + n, 30000, $2, 4, 1, 0, false, false, false, 'default', int8send(0), $3 + n
    FROM generate_series(1, $1::int) n""",
    f"""INSERT INTO fliq.executions (job_id, executed_at, part, attempt, ok, status_code, duration_ms)
    SELECT {_ID}, $3 + n, $2, 1, true, 200, 1 FROM generate_series(1, $1::int) n""",
    f"INSERT INTO fliq.specs SELECT {_ID}, $2, $4 FROM generate_series(1, $1::int) n",
)


async def fill(dsn: str, round_number: int) -> None:
    """Write ended jobs past the log, as no owner would, and have the log begin two days ago."""
    connection = await asyncpg.connect(dsn)
    spec = msgspec.json.encode(Spec(url="https://example.com/charge", body="x" * 200))
    ended_at = now_ms() - (40 + round_number) * DAY_MS
    try:
        for part in range(PARTITIONS):
            for statement in _FILL:
                arguments = (ENDED, part, ended_at, *([spec] if "$4" in statement else []))
                await connection.execute(statement, *arguments, timeout=600)
        await connection.execute("UPDATE fliq_log.log_events SET at = at - $1 WHERE off = 0", 2 * DAY_MS)
        for table in ("jobs", "executions", "specs"):
            await connection.execute(f"VACUUM ANALYZE fliq.{table}", timeout=600)
    finally:
        await connection.close()


def counted(harness: Harness) -> dict[str, float]:
    """Return what the keepers have done since the start."""
    with urllib.request.urlopen(f"{harness.fliq.admin_url}/metrics", timeout=10) as answer:  # noqa: S310 - loopback
        lines = [line.rpartition(" ") for line in answer.read().decode().splitlines() if not line.startswith("#")]
    values = {name: float(value) for name, _, value in lines if name}
    names = {"deleted": "fliq_history_deleted_total", "carried": "fliq_log_carried_rows_total"}
    return {name: values.get(metric, 0.0) for name, metric in names.items()}


def late(harness: Harness, seconds: int) -> dict[str, float]:
    """Return the lateness of calls at `RATE`, for *seconds*."""
    harness.sink.ask("clear")
    count, from_ms = RATE * seconds, now_ms() + 8_000
    harness.fill(connections=1, batch=100, count=count, from_ms=from_ms, over_ms=seconds * 1000)
    time.sleep(max(0.0, (from_ms - now_ms()) / 1000) + seconds)
    harness.wait_arrivals(count, timeout_s=30)
    return complete(harness, count)


def keeping(size: Size) -> Iterator[str]:
    """Lateness at 200 jobs a second before the log keeper and the janitor look, and while each of them works."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in AT_S}
    with fresh_server() as dsn, Harness(FLIQ_DATABASE_URL=dsn, FLIQ_LOG_DAYS="2", FLIQ_MASTER_KEY_FILE="") as harness:
        far = now_ms() + 20 * DAY_MS
        harness.fill(connections=2, batch=200, count=WAITING, from_ms=far, over_ms=DAY_MS)
        harness.wait_folded()
        for each in range(size.rounds):
            harness.fliq.stop()
            asyncio.run(fill(dsn, each))
            harness.fliq.start()
            began_s = time.perf_counter()
            say(f"keeping, round {each + 1} of {size.rounds}")
            for name, at_s in AT_S.items():
                time.sleep(max(0.0, began_s + at_s - time.perf_counter()))
                first = counted(harness)
                measured = late(harness, size.rate_s)
                found[name].append(measured | {key: value - first[key] for key, value in counted(harness).items()})
    for name, runs in found.items():
        typical = medians(runs)
        yield (
            f"{name:34} p50 {typical['p50']:6.2f} ms   p99 {typical['p99']:6.2f} ms   max {typical['max']:6.1f} ms   "
            f"{typical['carried']:,.0f} rows carried over, {typical['deleted']:,.0f} jobs deleted"
        )
