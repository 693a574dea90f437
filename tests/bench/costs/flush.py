"""
Measure the flush: jobs per second, and CPU per job row of this process and of the server's back end.

    python -m tests.bench.costs.flush [jobs] [rows per flush]

A fresh embedded server with its real settings; nothing else should run. One projector, four partitions. Three phases, each one
row per job: created far in the future (job + spec), made due (job + execution + usage), ended (job + execution).
"""

import asyncio
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from libs.domain.job import JobStatus
from libs.domain.ledger import Ledger
from libs.events import AttemptDue, Claim, Event, JobFinished, JobScheduled, Spec
from libs.events.ids import new_job_id
from libs.store.pool import open_pool
from libs.store.projection import flush_sql
from libs.store.projection.changes import Flush, PartitionChanges
from libs.store.projection.progress import ProgressWatch
from libs.store.projection.projector import Projector
from libs.store.schema.migrate import migrate
from tests.fakes import events
from tests.fakes.running.postgres import fresh_server

NOW = 1_790_000_000_000
PARTITIONS = 4
TICKS_PER_S = 100  # of /proc/<pid>/stat
SPEC = Spec(
    url="https://example.com/api/charge/with/a/path",
    headers={"Content-Type": "application/json", "Authorization": "Bearer 0123456789abcdef"},
    body='{"order": "0123456789", "amount": 4200, "currency": "EUR", "note": "' + "x" * 130 + '"}',
)


def scheduled(number: int) -> JobScheduled:
    """A job a day ahead, as its caller would ask for it."""
    entropy = (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big")
    return events.asked(
        new_job_id(NOW + number // 20, number % PARTITIONS, entropy),
        NOW + number // 20,
        account=f"account{number % 7}",
        spec=SPEC,
        fire_at=NOW + 86_400_000 + (number * 7919) % 3_600_000,
        max_retries=3,
    )


def due(job: JobScheduled) -> AttemptDue:
    return events.due(job.job_id, job.fire_at, account=job.account, at=job.fire_at - 75)


def ends(job: JobScheduled) -> tuple[Event, Event]:
    finished = events.finished(job.job_id, job.fire_at + 1, at=job.fire_at + 150, duration_ms=143, status_code=200)
    end = JobFinished(job_id=job.job_id, account=job.account, at=job.fire_at + 150, status="completed", attempt=1)
    return finished, end


class Harness:
    """Ledgers, a projector and the clocks."""

    def __init__(self, pool: Any, batch: int) -> None:
        self.pool, self.batch = pool, batch
        self.projector = Projector(pool, ProgressWatch(pool))
        self.ledgers = [Ledger(part, claim=Claim(1, "claimclaim")) for part in range(PARTITIONS)]

    def flushes(self, events: Iterable[tuple[int, Event]]) -> list[Flush]:
        """Fold events, and return what is to be flushed."""
        from_positions = [ledger.position for ledger in self.ledgers]
        changes = [PartitionChanges(part) for part in range(PARTITIONS)]
        for part, event in events:
            ledger = self.ledgers[part]
            changes[part].add(ledger.apply(ledger.position + 1, event, "1.claimclaim"))
        return [
            Flush(part, "bench", from_positions[part], ledger.position, ledger.claim, changes[part])
            for part, ledger in enumerate(self.ledgers)
            if ledger.position > from_positions[part]
        ]

    async def phase(self, name: str, per_job: list[tuple[Event, ...]], parts: list[int]) -> None:
        """Flush the events of all jobs in batches and print what it took."""
        batches = []
        for start in range(0, len(per_job), self.batch):
            end = start + self.batch
            batches.append(
                self.flushes((p, e) for p, es in zip(parts[start:end], per_job[start:end], strict=True) for e in es)
            )
        begun = time.process_time()
        for batch in batches:
            flush_sql.prepare(batch)
        encoding = time.process_time() - begun
        await self.projector.flush([])
        pid = await self._backend()
        server, client, wall = cpu_of(pid), own_cpu(), time.perf_counter()
        slowest = 0.0
        for batch in batches:
            start = time.perf_counter()
            assert await self.projector.flush(batch) == set()
            slowest = max(slowest, time.perf_counter() - start)
        wall, client, server = time.perf_counter() - wall, own_cpu() - client, cpu_of(pid) - server
        count = len(per_job)
        each = 1e6 / count
        print(
            f"{name:10} {count / wall:9,.0f} jobs/s   client {client * each:5.1f} us"
            f" (arguments {encoding * each:4.1f})   server {server * each:5.1f} us   slowest flush {slowest * 1e3:.0f} ms"
        )

    async def _backend(self) -> int:
        connection = await self.projector._connected()
        return int(connection.get_server_pid())


def own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


async def measure(dsn: str, jobs: int, batch: int) -> None:
    await migrate(dsn, PARTITIONS)
    pool = await open_pool(dsn, name="bench", size=3)
    await pool.execute("UPDATE progress SET lease_nonce = 'bench'")
    harness = Harness(pool, batch)
    asked = [scheduled(number) for number in range(jobs)]
    parts = [number % PARTITIONS for number in range(jobs)]
    await harness.phase("created", [(job,) for job in asked], parts)
    await harness.phase("due", [(due(job),) for job in asked], parts)
    await harness.phase("ended", [ends(job) for job in asked], parts)
    done = await pool.fetchval("SELECT count(*) FROM jobs WHERE status = $1", JobStatus.COMPLETED)
    assert done == jobs, f"{done} of {jobs} ended"
    for row in await pool.fetch(
        "SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, pg_total_relation_size(relid) AS bytes"
        " FROM pg_stat_user_tables WHERE n_tup_ins + n_tup_upd > 0 ORDER BY bytes DESC LIMIT 5"
    ):
        print("  ", dict(row))
    print(f"   spec: {len(msgspec.json.encode(SPEC))} bytes")
    await harness.projector.close()
    await pool.close()


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    with fresh_server() as dsn:
        asyncio.run(measure(dsn, jobs, batch))


if __name__ == "__main__":
    main()
