"""The scheduler service as it runs: real owners and flusher, memory log, tables in memory, a manual clock, faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.domain.calendar.recorded_rule import ZoneLookup, only_utc
from libs.domain.job import JobState, JobStatus
from libs.domain.ledger import Ledger
from libs.domain.schedule import ScheduleState
from libs.events import (
    AttemptDue,
    Event,
    JobCancelRequested,
    OwnerClaimed,
    Spec,
    Unknown,
    Unreadable,
    encode,
    read,
)
from libs.events.ids import new_job_id
from libs.log.memory import LOST, REPLY_LOST, Fate, Faults, MemoryLog
from libs.runtime.telemetry.metrics import Metrics
from libs.store.leases.lease_table import Lease
from services.scheduler.daily.grant_asker import GrantAsker
from services.scheduler.flusher import Flusher
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.partition_owner import PartitionOwner
from services.scheduler.service import SchedulerService
from tests.fakes import events
from tests.fakes.store import MemoryStore
from tests.simulation.manual_clock import ManualClock, SeededEntropy

MINUTE_MS = 60_000


class Keeper:
    """Gives the scheduler one partition, and a new lease whenever it gives one up."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.epoch = 0
        self.given_up: list[float] = []
        self.grants = True
        self.is_spare = False

    async def start(self) -> None:
        if self.grants:
            await self.grant()

    async def stop(self) -> None:
        pass

    async def grant(self) -> None:
        self.epoch += 1
        lease = Lease(0, f"nonce{self.epoch:011d}", self.epoch)
        self.harness.store.nonces[0] = lease.nonce
        await self.harness.service.on_gained(lease)

    async def give_up(self, partition: int, *, pause_s: float = 0.0) -> None:
        self.given_up.append(pause_s)
        if pause_s < 5 and self.epoch < 20:
            await self.grant()


class Harness:
    """A scheduler, its log, its tables and its clock."""

    def __init__(
        self,
        *,
        store: MemoryStore | None = None,
        log: MemoryLog | None = None,
        now: int = 1_800_000_000_000,
        zones: ZoneLookup = only_utc,
    ) -> None:
        self.clock = ManualClock(now)
        self.faults = Faults()
        self.log = log or MemoryLog(partitions=1, clock=self.clock, faults=self.faults)
        self.store = store or MemoryStore()
        self.metrics = SchedulerMetrics(Metrics(version="test"))
        self.reasons: list[str] = []
        self.daily_limit = 0
        self.zones = zones
        self.keeper = Keeper(self)
        self.service = SchedulerService(
            make_owner=lambda lease, wake_flusher, wake_asker: PartitionOwner(
                lease,
                node="test",
                event_log=self.log,
                tables=self.store,
                clock=self.clock,
                entropy=SeededEntropy(1),
                metrics=self.metrics,
                lead_ms=75,
                retry_base_s=30.0,
                concurrency=100,
                zones=lambda name: self.zones(name),
                wake_flusher=wake_flusher,
                daily_limit=lambda account: self.daily_limit,
                wake_asker=wake_asker,
            ),
            make_flusher=lambda owners: Flusher(self.store, owners, self.clock, self.metrics),
            make_asker=lambda owners: GrantAsker(self.store, owners, self.clock),
            make_keeper=lambda _: self.keeper,
            resigned=self.reasons.append,
        )
        self._made = 0

    async def append(self, *events: Event) -> None:
        await self.log.append(0, [encode(event) for event in events])
        await self.settle()

    async def job(self, in_ms: int, **fields: int) -> str:
        """Append a job that is due in so many ms; returns its id."""
        self._made += 1
        now = self.clock.now()
        job_id = new_job_id(now, 0, self._made.to_bytes(8, "big"))
        spec = Spec(url="http://target.example/")
        await self.append(events.asked(job_id, now, account="a", spec=spec, fire_at=now + in_ms, **fields))
        return job_id

    async def finish(self, job_id: str, attempt: int, *, ok: bool) -> None:
        now = self.clock.now()
        await self.append(events.finished(job_id, now, attempt, ok=ok, status_code=200 if ok else 500))

    async def settle(self) -> None:
        """Let everything happen that needs no time but the flusher's pauses."""
        await self.clock.advance(50)

    async def events(self) -> list[Event | Unknown | Unreadable]:
        return [read(0, record.envelope) for record in await self.log.read(0, 0, max_records=10_000)]

    async def dues(self, job_id: str) -> list[AttemptDue]:
        return [event for event in await self.events() if isinstance(event, AttemptDue) and event.job_id == job_id]

    async def check(self) -> None:
        """The tables are the fold of the log, and no admitted decision was illegal."""
        await self.settle()
        ledger = Ledger(0)
        for record in await self.log.read(0, 0, max_records=100_000):
            ledger.apply(record.position, read(0, record.envelope), record.envelope.claim)
        assert self.store.positions[0] == (ledger.position, ledger.claim)
        assert self.store.jobs == ledger.states.of(JobState)
        assert self.store.schedules == ledger.states.of(ScheduleState)
        assert self.metrics.illegal._value.get() == 0


@asynccontextmanager
async def running(harness: Harness | None = None) -> AsyncIterator[Harness]:
    harness = harness or Harness()
    await harness.log.start()
    await harness.service.start()
    await harness.settle()
    try:
        yield harness
    finally:
        stopping = asyncio.ensure_future(harness.service.stop())
        while not stopping.done():
            await harness.clock.advance(5)
            await asyncio.sleep(0)
        await stopping


async def test_it_decides_only_after_its_claim_was_read_back() -> None:
    """The first record of a fresh partition is the claim; the service is ready once it may decide."""
    async with running() as harness:
        assert harness.service.ready() is None
        assert isinstance((await harness.events())[0], OwnerClaimed)


async def test_a_due_event_is_written_one_lead_ahead_and_not_before() -> None:
    """75 ms ahead of its instant the job is due; 76 ms ahead it is not."""
    async with running() as harness:
        job_id = await harness.job(10_000)
        due_at = (await harness.events())[-1].fire_at - 75  # type: ignore[union-attr]

        await harness.clock.advance(due_at - 1 - harness.clock.now())
        assert await harness.dues(job_id) == []

        await harness.clock.advance(1)
        (due,) = await harness.dues(job_id)
        assert due.at == due_at
        await harness.check()


async def test_a_failed_job_is_retried_until_its_tries_are_used_up() -> None:
    """Two retries make three attempts, and then the job has failed."""
    async with running() as harness:
        job_id = await harness.job(100, max_retries=2)
        for attempt in (1, 2, 3):
            await harness.clock.advance(4 * MINUTE_MS)
            assert len(await harness.dues(job_id)) == attempt
            await harness.finish(job_id, attempt, ok=False)
        await harness.check()
        assert harness.store.jobs[job_id].status is JobStatus.FAILED
        assert sum(harness.store.usage.values()) == 3


async def test_a_cancel_before_the_due_event_is_final() -> None:
    """After job.cancelled nothing is ever due."""
    async with running() as harness:
        job_id = await harness.job(5_000)
        await harness.append(JobCancelRequested(job_id=job_id, at=harness.clock.now()))
        assert harness.store.jobs[job_id].status is JobStatus.CANCELLED
        await harness.clock.advance(10 * MINUTE_MS)
        assert await harness.dues(job_id) == []
        await harness.check()


async def test_a_job_beyond_the_horizon_waits_in_the_tables_and_fires_at_its_instant() -> None:
    """An hour ahead there is no timer in memory; an hour later the call is due, once."""
    async with running() as harness:
        job_id = await harness.job(60 * MINUTE_MS)
        assert harness.service.owners[0].timer_count == 0
        await harness.clock.advance(61 * MINUTE_MS)
        assert len(await harness.dues(job_id)) == 1
        await harness.check()


async def test_an_append_of_unknown_fate_makes_the_owner_resign_and_fires_once() -> None:
    """Whether the due event was written or not: after the next claim there is exactly one that counts."""
    for fate in (LOST, REPLY_LOST, Fate(end="late", late_after=1)):
        async with running() as harness:
            job_id = await harness.job(1_000)
            harness.faults.plan(fate)
            await harness.clock.advance(5_000)
            harness.faults.heal()
            await harness.finish(job_id, 1, ok=True)
            await harness.check()
            assert harness.reasons == ["append failed"]
            assert harness.store.jobs[job_id].status is JobStatus.COMPLETED
            assert harness.store.jobs[job_id].attempt == 1


async def test_tables_that_go_away_lose_nothing() -> None:
    """While the tables are gone the owner goes on deciding; when they are back they catch up."""
    async with running() as harness:
        job_id = await harness.job(1_000)
        harness.store.failing = True
        await harness.clock.advance(3_000)
        assert len(await harness.dues(job_id)) == 1
        assert harness.service.ready() is not None
        harness.store.failing = False
        await harness.clock.advance(3_000)
        assert harness.service.ready() is None
        await harness.check()


async def test_a_fence_that_does_not_hold_ends_the_owner() -> None:
    """Another lease in the tables: the owner resigns without having written."""
    async with running() as harness:
        harness.store.nonces[0] = "another0000000000"
        await harness.job(60_000)
        await harness.settle()
        assert harness.reasons == ["fenced"]
        await harness.check()


async def test_a_record_that_must_be_understood_halts_the_partition_and_nothing_else() -> None:
    """An unknown type from a newer build: the owner gives the partition up for a while instead of looping."""
    async with running() as harness:
        newer = encode(JobCancelRequested(job_id=await harness.job(60_000), at=0))._replace(type="job.teleported")
        await harness.log.append(0, [newer])
        await harness.settle()
        assert harness.reasons == ["halted"]
        assert harness.keeper.given_up == [30.0]


async def test_a_record_that_may_be_skipped_is_counted_and_passed_over() -> None:
    """An unknown type, or a version to come, that its writer marked so: one count each, and what stands behind it goes on."""
    async with running() as harness:
        newer = encode(JobCancelRequested(job_id=await harness.job(60_000), at=0))._replace(must_understand=False)
        await harness.log.append(0, [newer._replace(type="job.teleported"), newer._replace(version=9)])
        job = await harness.job(100)
        await harness.clock.advance(200)
        assert harness.reasons == []
        assert harness.metrics.skipped._value.get() == 2
        assert len(await harness.dues(job)) == 1
        await harness.check()


async def test_handing_over_writes_the_next_second_early_and_saves_everything() -> None:
    """A stop leaves no gap: what is due within a second is decided, with its own instant in not_before."""
    async with running() as harness:
        soon = await harness.job(900)
        later = await harness.job(5_000)
    (due,) = await harness.dues(soon)
    assert due.not_before > harness.clock.now() - 1_000
    assert await harness.dues(later) == []
    ledger_end = await harness.log.end(0) - 1
    assert harness.store.positions[0][0] == ledger_end
