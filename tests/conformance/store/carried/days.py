"""
Days: virtual days of one partition on a real PostgreSQL, with the product's own owner, flusher, history keeper and log keeper.

The clock flows with real time, and a test lets it jump between two loads. What stands beside the owner is small: a caller who asks
for jobs, a dispatcher that answers each due attempt, and the webhooks service's position, which follows. The keepers do not rest
between two slices: that is about their pace alone. Tables are vacuumed at every step, as autovacuum would at such loads.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from unittest import mock

from libs.domain.history.choice import DAY_MS, HistoryTerms
from libs.events import AttemptDue, AttemptFinished, Response, Spec, encode, read
from libs.events.ids import execution_id, new_job_id
from libs.log.port import Log
from libs.log.postgres import PostgresLog
from libs.runtime.telemetry.metrics import Metrics
from libs.store.carried.carrier import Carrier
from libs.store.control.daily_grants import DailyGrants
from libs.store.history.janitor import Janitor
from libs.store.leases.lease_table import Lease
from libs.store.pool import open_pool
from libs.store.projection.progress import ProgressWatch
from libs.store.projection.projector import SESSION, Projector
from libs.store.reads.partition_tables import Tables
from services.scheduler.daily.grant_asker import GrantAsker
from services.scheduler.flusher import Flusher
from services.scheduler.history import history_keeper, log_keeper
from services.scheduler.history.history_keeper import HistoryKeeper
from services.scheduler.history.history_metrics import HistoryMetrics, LogMetrics
from services.scheduler.history.log_keeper import LogKeeper
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.partition_owner import PartitionOwner
from services.scheduler.service import SchedulerService
from tests.fakes import events
from tests.simulation.manual_clock import ManualClock, SeededEntropy

BEGAN_AT: Final = 1_800_000_000_000 // DAY_MS * DAY_MS  # a midnight
STEPS: Final = 12  # in a day
FAILED_EVERY: Final = 20  # one job of so many fails
ASKED_AT_ONCE: Final = 100
WITHIN_S: Final = 120.0
LOOK_MS: Final = history_keeper.LOOK_EVERY_MS + 1_000
# As large as the jobs of `make bench`: some 430 bytes of JSON.
SPEC: Final = Spec(
    url="https://shop.example.com/hooks/invoices",
    headers={"Content-Type": "application/json", "Authorization": "Bearer abcdefgh", "X-Request": "1234567"},
    body='{"customer": "cus_1234567890", "amount": 1999, "currency": "eur", "note": "' + "x" * 100 + '"}',
)
_BYTES: Final = """
SELECT n.nspname || '.' || c.relname AS name, pg_total_relation_size(c.oid) AS bytes FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('fliq', 'fliq_log') AND c.relkind = 'r'
"""


class Held(NamedTuple):
    """What is there, at an instant or the most of a day: rows, records of the log, bytes of each table, memory of this process."""

    rows: int
    records: int
    bytes: dict[str, int]
    resident: int

    @property
    def all_bytes(self) -> int:
        return sum(self.bytes.values())


def _most(seen: Sequence[Held]) -> Held:
    rows, records, bytes_of, resident = zip(*seen, strict=True)
    return Held(
        max(rows), max(records), {name: max(each[name] for each in bytes_of) for name in bytes_of[0]}, max(resident)
    )


class _Keeper:
    """Gives the scheduler its one partition."""

    is_spare = False

    def __init__(self, service: SchedulerService) -> None:
        self._service = service

    async def start(self) -> None:
        await self._service.on_gained(Lease(0, "noncenonce000000", 1))

    async def stop(self) -> None:
        pass

    async def give_up(self, partition: int, *, pause_s: float = 0.0) -> None:
        raise AssertionError(f"the owner of partition {partition} gave up")


class Days:
    """A partition that lives through days. Every `step` is one load, and the rest of a twelfth of a day."""

    def __init__(self, log: Log, pool: Any, flush_pool: Any, terms: HistoryTerms, log_days: int) -> None:
        """Keep the history as *terms* say and the log for *log_days*; `running` starts it."""
        self.pool = pool
        self.clock = ManualClock(BEGAN_AT)
        self.log = log
        self.watch = ProgressWatch(pool)
        self.projector = Projector(flush_pool, self.watch)
        metrics = Metrics(version="test")
        self.metrics = SchedulerMetrics(metrics)
        tables = Tables(pool)
        self.service = SchedulerService(
            make_owner=lambda lease, wake_flusher, wake_asker: PartitionOwner(
                lease,
                node="test",
                event_log=self.log,
                tables=tables,
                clock=self.clock,
                entropy=SeededEntropy(1),
                metrics=self.metrics,
                lead_ms=75,
                retry_base_s=30.0,
                concurrency=1_500,
                gather_ms=16,
                wake_flusher=wake_flusher,
                wake_asker=wake_asker,
            ),
            make_flusher=lambda owners: Flusher(self.projector, owners, self.clock, self.metrics),
            make_asker=lambda owners: GrantAsker(DailyGrants(pool), owners, self.clock),
            make_keeper=_Keeper,
            resigned=lambda reason: None,
        )
        janitor = Janitor(pool)
        self._keepers = (
            HistoryKeeper(janitor, self.service.owners, self.clock, terms, HistoryMetrics(metrics)),
            LogKeeper(
                event_log=self.log,
                carrier=Carrier(pool),
                positions=janitor,
                owners=self.service.owners,
                clock=self.clock,
                days=log_days,
                metrics=LogMetrics(metrics),
            ),
        )
        self._rng = random.Random(1)
        self._asked = self._ended = self._answered = 0
        self.failed_every = FAILED_EVERY
        self.response: Response | None = None  # what is kept of the answer to an attempt that fails

    async def flow(self) -> None:
        """Let a millisecond pass with every real one."""
        while True:
            await asyncio.sleep(0.001)
            self.clock.set(self.clock.now() + 1)

    async def answer(self) -> None:
        """Answer every due attempt, as a dispatcher would."""
        position = 0
        while True:
            records = await self.log.read(0, position, max_records=500, wait_s=1.0)
            answers = []
            for record in records:
                position = record.position + 1
                if record.envelope.type == "job.finished":
                    self._ended += 1
                elif record.envelope.type == "attempt.due":
                    due = read(0, record.envelope)
                    assert isinstance(due, AttemptDue)
                    answers.append(encode(self._outcome(due)))
            if answers:
                await self.log.append(0, answers)

    def _outcome(self, due: AttemptDue) -> AttemptFinished:
        self._answered += 1
        ok = self._answered % self.failed_every != 0
        return AttemptFinished(
            job_id=due.job_id,
            at=self.clock.now(),
            attempt=due.attempt,
            execution_id=execution_id(due.job_id, due.attempt),
            ok=ok,
            status_code=200 if ok else 500,
            error=None if ok else "http_500",
            started_at=self.clock.now(),
            duration_ms=12,
            response=None if ok else self.response,
        )

    async def ask(self, count: int, in_ms: int = 500, **fields: Any) -> list[str]:
        """Ask for *count* jobs that are due in about *in_ms*; return their ids."""
        ids: list[str] = []
        for first in range(0, count, ASKED_AT_ONCE):
            now, batch = self.clock.now(), []
            for number in range(first, min(count, first + ASKED_AT_ONCE)):
                job_id = new_job_id(now, 0, self._rng.randbytes(8))
                fire_at = now + in_ms + number % 300
                batch.append(encode(events.asked(job_id, now, **({"spec": SPEC, "fire_at": fire_at} | fields))))
                ids.append(job_id)
            await self.log.append(0, batch)
        return ids

    async def until_done(self, count: int) -> None:
        """Wait until *count* more jobs have ended, and all of it is in the tables; what endpoints are told is told."""
        self._asked += count
        await self._until(lambda: self._ended >= self._asked)
        await self.until_saved()

    async def until_saved(self) -> None:
        """Wait until the tables stand where the log ends."""
        owner = self.service.owners[0]
        end = await self.log.end(0)
        await self._until(lambda: owner.saved_position >= end - 1)
        await self.pool.execute(
            "INSERT INTO fan_out (part, position) VALUES (0, $1) ON CONFLICT (part) DO UPDATE SET position = $1",
            end - 1,
        )

    async def _until(self, is_true: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not is_true():  # noqa: ASYNC110 - what is waited for has no event of its own
                await asyncio.sleep(0.002)

    async def looked(self, times: int) -> None:
        """Let both keepers look so many times, and finish what they do."""
        for _ in range(times):
            self.clock.set(self.clock.now() + LOOK_MS)
            for _ in range(2):  # what they decide is folded, and what they delete then is gone
                await asyncio.sleep(0.05)
                await self.until_saved()

    async def step(self, number: int, count: int, vacuum: Sequence[str], **fields: Any) -> None:
        """Live the step *number* since the beginning: *count* jobs, two looks, and nothing for the rest of it."""
        await self.jump(BEGAN_AT + number * DAY_MS // STEPS)
        await self.looked(1)
        await self.ask(count, **fields)
        await self.until_done(count)
        await self.looked(2)
        for table in vacuum:
            await self.pool.execute(f"VACUUM {table}")

    async def jump(self, at: int) -> None:
        """Let time pass until *at*, all of it at once."""
        if at > self.clock.now():
            self.clock.set(at)
            await asyncio.sleep(0.01)
        await self.until_saved()

    async def live(self, first: int, days: int, jobs_a_day: int, **fields: Any) -> list[Held]:
        """
        Live *days* days from the day *first* on; return the most that is there in each.

        The log is carried and trimmed once in a day, at an instant that moves on with every day: so its end is no place to compare.
        """
        found = []
        names = [each for each in await self._sizes() if not each.endswith(".progress")]
        for day in range(first, first + days):
            seen = []
            for step in range(STEPS):
                await self.step(day * STEPS + step, jobs_a_day // STEPS, names, **fields)
                seen.append(await self.held())
            found.append(_most(seen))
        return found

    async def held(self) -> Held:
        """Return what is there now."""
        rows = 0
        for table in ("jobs", "specs", "executions", "labels", "responses"):
            rows += await self.pool.fetchval(f"SELECT count(*) FROM {table}")
        records = await self.log.end(0) - await self.log.begin(0)
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: ASYNC230 - of the kernel
            resident = int(file.read().split()[1]) * 4096
        return Held(rows, records, await self._sizes(), resident)

    async def _sizes(self) -> dict[str, int]:
        return {row["name"]: row["bytes"] for row in await self.pool.fetch(_BYTES)}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Days]:
        """Run it."""
        await self.log.start()
        await self.pool.execute("UPDATE progress SET lease_nonce = 'noncenonce000000'")
        await self.service.start()
        works = (self.flow(), self.answer(), *(each.run() for each in self._keepers))
        tasks = [asyncio.create_task(each) for each in works]
        await self._until(lambda: self.service.decides(0))
        try:
            yield self
        finally:
            for task in tasks[1:]:
                task.cancel()
            await asyncio.gather(*tasks[1:], return_exceptions=True)
            await self.service.stop()
            tasks[0].cancel()
            await asyncio.gather(tasks[0], return_exceptions=True)
            await self.watch.stop()
            await self.projector.close()
            await self.log.stop()


@asynccontextmanager
async def days_of(dsn: str, terms: HistoryTerms, log_days: int, *, log: Log | None = None) -> AsyncIterator[Days]:
    """Give out a partition on the migrated database *dsn* that keeps its history as *terms* say, and *log* for *log_days*."""
    pool = await open_pool(dsn, name="test", size=8)
    flush_pool = await open_pool(dsn, name="test flush", size=2, settings=SESSION)
    resting = [mock.patch.object(each, "REST_FACTOR", 0) for each in (history_keeper, log_keeper)]
    try:
        for each in resting:
            each.start()
        async with Days(log or PostgresLog(dsn, partitions=1), pool, flush_pool, terms, log_days).running() as days:
            yield days
    finally:
        for each in resting:
            each.stop()
        await flush_pool.close()
        await pool.close()
