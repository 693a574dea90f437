"""
Measure lateness, and processor time for a call, while old jobs are deleted and what lives is carried over in the log.

    python -m tests.bench --only keeping

One Fliq on a PostgreSQL of its own, whose tables hold ended jobs that are older than the history, and jobs that wait for weeks. Its
keepers work all the time (busy_keepers.py), or not at all, in turns of some seconds: so other work on the machine meets both alike.
What counts is the difference within each pair of turns.
"""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import asyncpg
import msgspec

from libs.domain.heartbeat import ACCOUNT
from libs.events import Spec
from tests.bench.figures import median, medians, range_of
from tests.bench.harness import Harness, now_ms, say
from tests.bench.sections import Size, complete
from tests.bench.usage import cpu_s, postgres_of
from tests.fakes.running.postgres import fresh_server

PARTITIONS: Final = 4
# Ended jobs in each partition, by account: what the janitor has to delete, and, but for heartbeats, the log keeper to sum up.
ENDED: Final = {"default": 2_000, ACCOUNT: 25_000}
WAITING: Final = 12_000
DAY_MS: Final = 86_400_000
RATE: Final = 200
TURN_S: Final = 10
PAIRS: Final = 6  # of turns; half as many in a quick run
LEAD_MS: Final = 4_000  # from a turn's begin to its first call
MODULE: Final = "tests.bench.costs.busy_keepers"
COUNTED: Final = {
    "jobs deleted": "fliq_history_deleted_total",
    "rows carried over": "fliq_log_carried_rows_total",
    "records deleted": "fliq_log_trimmed_records_total",
}
# Jobs that ended forty days ago, one a millisecond, in partition $2.
_ID: Final = "encode(int8send((($3::int8 + n) << 16) + $2::int8) || int8send(n::int8), 'hex')::uuid"
_FILL: Final = (
    f"""INSERT INTO fliq.jobs (job_id, scheduled_at, fire_at, created_at, timeout_ms, part, status, attempt, max_retries,
        has_webhook, cancel_requested, held, account, offsets, completed_at)
    SELECT {_ID}, $3 + n, $3 + n, $3 + n, 30000, $2, 4, 1, 0, false, false, false, $4, int8send(0), $3 + n
    FROM generate_series(1, $1::int) n""",
    f"""INSERT INTO fliq.executions (job_id, executed_at, part, attempt, ok, status_code, duration_ms)
    SELECT {_ID}, $3 + n, $2, 1, true, 200, 1 FROM generate_series(1, $1::int) n""",
    f"INSERT INTO fliq.specs SELECT {_ID}, $2, $4 FROM generate_series(1, $1::int) n",
)


async def fill(dsn: str) -> None:
    """Write ended jobs past the log, as no owner would."""
    connection = await asyncpg.connect(dsn)
    spec = msgspec.json.encode(Spec(url="https://example.com/charge", body="x" * 200))
    ended_at = now_ms() - 40 * DAY_MS
    try:
        for account, count in ENDED.items():
            for part in range(PARTITIONS):
                for statement, last in zip(_FILL, ((account,), (), (spec,)), strict=True):
                    await connection.execute(statement, count, part, ended_at, *last, timeout=600)
            ended_at -= DAY_MS
        for table in ("jobs", "executions", "specs"):
            await connection.execute(f"VACUUM ANALYZE fliq.{table}", timeout=600)
    finally:
        await connection.close()


def counted(harness: Harness) -> dict[str, float]:
    """Return what the keepers have done since the start."""
    with urllib.request.urlopen(f"{harness.fliq.admin_url}/metrics", timeout=10) as answer:  # noqa: S310 - loopback
        lines = [line.rpartition(" ") for line in answer.read().decode().splitlines() if not line.startswith("#")]
    values = {name: float(value) for name, _, value in lines if name}
    return {name: values.get(metric, 0.0) for name, metric in COUNTED.items()}


def _used_s(harness: Harness) -> float:
    """Return the processor time of Fliq, and of the servers that this process started."""
    return cpu_s(harness.pid) + sum(map(cpu_s, postgres_of(os.getpid())))


def turn(harness: Harness) -> dict[str, float]:
    """Return lateness and processor time of calls at `RATE`, and what the keepers did meanwhile."""
    harness.wait_finished(timeout_s=30)
    harness.sink.ask("clear")
    count, from_ms = RATE * TURN_S, now_ms() + LEAD_MS
    harness.fill(connections=1, batch=100, count=count, from_ms=from_ms, over_ms=TURN_S * 1000)
    harness.wait_folded()
    time.sleep(max(0.0, (from_ms - now_ms()) / 1000))
    first, used_s = counted(harness), _used_s(harness)
    harness.wait_arrivals(count, timeout_s=TURN_S + 30)
    used_us = (_used_s(harness) - used_s) / count * 1e6
    done = {name: value - first[name] for name, value in counted(harness).items()}
    return complete(harness, count) | done | {"µs": used_us}


def keeping(size: Size) -> Iterator[str]:
    """Lateness at 200 jobs a second, and processor time of Fliq and PostgreSQL for a call, keepers at work and at rest in turns."""
    found: dict[str, list[dict[str, float]]] = {"at rest": [], "at work": []}
    with TemporaryDirectory() as directory, fresh_server() as dsn:
        switch = Path(directory) / "switch"
        settings = {"FLIQ_DATABASE_URL": dsn, "FLIQ_LOG_DAYS": "2", "FLIQ_BENCH_SWITCH": str(switch)}
        with Harness(**settings) as harness:
            harness.fliq.stop()
            harness.fliq.processes = [harness.fliq.spawn("all", module=MODULE)]
            harness.fliq.processes[0].wait_ready()
            far = now_ms() + 20 * DAY_MS
            harness.fill(connections=2, batch=200, count=WAITING, from_ms=far, over_ms=DAY_MS)
            harness.wait_folded()
            asyncio.run(fill(dsn))
            turn(harness)  # warm
            for each in range(PAIRS if size.rounds > 1 else PAIRS // 2):
                say(f"keeping, pair {each + 1}")
                for name in list(found)[:: -1 if each % 2 else 1]:
                    switch.touch() if name == "at work" else switch.unlink(missing_ok=True)
                    found[name].append(turn(harness))
    for name, runs in found.items():
        typical = medians(runs)
        yield (
            f"keepers {name}   p50 {typical['p50']:6.2f} ms   p99 {typical['p99']:6.2f} ms"
            f" ({range_of((run['p99'] for run in runs), 1)})   max {typical['max']:6.1f} ms   {typical['µs']:,.0f} µs a call   "
            + ", ".join(f"{sum(run[each] for run in runs):,.0f} {each}" for each in COUNTED)
        )
    pairs = list(zip(*found.values(), strict=True))
    more = {of: median(work[of] - rest[of] for rest, work in pairs) for of in ("p50", "p99", "µs")}
    yield (
        f"at work, within a pair: p50 {more['p50']:+.2f} ms, p99 {more['p99']:+.2f} ms, {more['µs']:+.0f} µs a call"
        f" ({more['µs'] * RATE / 1e6:+.1%} of a core)"
    )
