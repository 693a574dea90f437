"""The scheduler service as it runs: real owners and flusher, memory log, tables in memory, a manual clock, faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.domain.job import JobStatus
from libs.domain.ledger import Ledger
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Event,
    JobCancelRequested,
    JobScheduled,
    OwnerClaimed,
    ScheduleCreated,
    Spec,
    Unknown,
    Unreadable,
    encode,
    read,
)
from libs.events.ids import execution_id, new_job_id, new_schedule_id
from libs.log.memory import LOST, REPLY_LOST, Fate, Faults, MemoryLog
from libs.runtime.clock import ManualClock, SeededEntropy
from libs.runtime.telemetry.metrics import Metrics
from libs.store.leases.lease_table import Lease
from services.scheduler.flusher import Flusher
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.partition_owner import PartitionOwner
from services.scheduler.service import SchedulerService
from tests.fakes.store import MemoryStore

MINUTE_MS = 60_000


class Keeper:
    """Gives the scheduler one partition, and a new lease whenever it gives one up."""

    def __init__(self, world: World) -> None:
        self.world = world
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
        self.world.store.nonces[0] = lease.nonce
        await self.world.service.on_gained(lease)

    async def give_up(self, partition: int, *, pause_s: float = 0.0) -> None:
        self.given_up.append(pause_s)
        if pause_s < 5 and self.epoch < 20:
            await self.grant()


class World:
    """A scheduler, its log, its tables and its clock."""

    def __init__(self, *, store: MemoryStore | None = None, log: MemoryLog | None = None) -> None:
        self.clock = ManualClock(1_800_000_000_000)
        self.faults = Faults()
        self.log = log or MemoryLog(partitions=1, clock=self.clock, faults=self.faults)
        self.store = store or MemoryStore()
        self.metrics = SchedulerMetrics(Metrics(version="test"))
        self.reasons: list[str] = []
        self.service = SchedulerService(
            make_owner=lambda lease, wake: PartitionOwner(
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
                wake_flusher=wake,
            ),
            make_flusher=lambda owners: Flusher(self.store, owners, self.clock, self.metrics),
            resigned=self.reasons.append,
        )
        self.keeper = Keeper(self)
        self.service.keeper = self.keeper
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
        await self.append(JobScheduled(job_id=job_id, account="a", at=now, spec=spec, fire_at=now + in_ms, **fields))
        return job_id

    async def finish(self, job_id: str, attempt: int, *, ok: bool) -> None:
        now = self.clock.now()
        await self.append(
            AttemptFinished(
                job_id=job_id,
                at=now,
                attempt=attempt,
                execution_id=execution_id(job_id, attempt),
                ok=ok,
                started_at=now,
                duration_ms=1,
                status_code=200 if ok else 500,
            )
        )

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
        assert self.store.jobs == ledger.jobs
        assert self.store.schedules == ledger.schedules
        assert self.metrics.illegal._value.get() == 0


@asynccontextmanager
async def running(world: World | None = None) -> AsyncIterator[World]:
    world = world or World()
    await world.log.start()
    await world.service.start()
    await world.settle()
    try:
        yield world
    finally:
        stopping = asyncio.ensure_future(world.service.stop())
        while not stopping.done():
            await world.clock.advance(5)
            await asyncio.sleep(0)
        await stopping


async def test_it_decides_only_after_its_claim_was_read_back() -> None:
    """The first record of a fresh partition is the claim; the service is ready once it may decide."""
    async with running() as world:
        assert world.service.ready() is None
        assert isinstance((await world.events())[0], OwnerClaimed)


async def test_a_due_event_is_written_one_lead_ahead_and_not_before() -> None:
    """75 ms ahead of its instant the job is due; 76 ms ahead it is not."""
    async with running() as world:
        job_id = await world.job(10_000)
        due_at = (await world.events())[-1].fire_at - 75  # type: ignore[union-attr]

        await world.clock.advance(due_at - 1 - world.clock.now())
        assert await world.dues(job_id) == []

        await world.clock.advance(1)
        (due,) = await world.dues(job_id)
        assert due.at == due_at
        await world.check()


async def test_a_failed_job_is_retried_until_its_tries_are_used_up() -> None:
    """Two retries make three attempts, and then the job has failed."""
    async with running() as world:
        job_id = await world.job(100, max_retries=2)
        for attempt in (1, 2, 3):
            await world.clock.advance(4 * MINUTE_MS)
            assert len(await world.dues(job_id)) == attempt
            await world.finish(job_id, attempt, ok=False)
        await world.check()
        assert world.store.jobs[job_id].status is JobStatus.FAILED
        assert sum(world.store.usage.values()) == 3


async def test_a_cancel_before_the_due_event_is_final() -> None:
    """After job.cancelled nothing is ever due."""
    async with running() as world:
        job_id = await world.job(5_000)
        await world.append(JobCancelRequested(job_id=job_id, at=world.clock.now()))
        assert world.store.jobs[job_id].status is JobStatus.CANCELLED
        await world.clock.advance(10 * MINUTE_MS)
        assert await world.dues(job_id) == []
        await world.check()


async def test_a_job_beyond_the_horizon_waits_in_the_tables_and_fires_at_its_instant() -> None:
    """An hour ahead there is no timer in memory; an hour later the call is due, once."""
    async with running() as world:
        job_id = await world.job(60 * MINUTE_MS)
        assert world.service.owners[0].timer_count == 0
        await world.clock.advance(61 * MINUTE_MS)
        assert len(await world.dues(job_id)) == 1
        await world.check()


async def test_an_append_of_unknown_fate_makes_the_owner_resign_and_fires_once() -> None:
    """Whether the due event was written or not: after the next claim there is exactly one that counts."""
    for fate in (LOST, REPLY_LOST, Fate(end="late", late_after=1)):
        async with running() as world:
            job_id = await world.job(1_000)
            world.faults.plan(fate)
            await world.clock.advance(5_000)
            world.faults.heal()
            await world.finish(job_id, 1, ok=True)
            await world.check()
            assert world.reasons == ["append failed"]
            assert world.store.jobs[job_id].status is JobStatus.COMPLETED
            assert world.store.jobs[job_id].attempt == 1


async def test_tables_that_go_away_lose_nothing() -> None:
    """While the tables are gone the owner goes on deciding; when they are back they catch up."""
    async with running() as world:
        job_id = await world.job(1_000)
        world.store.failing = True
        await world.clock.advance(3_000)
        assert len(await world.dues(job_id)) == 1
        assert world.service.ready() is not None
        world.store.failing = False
        await world.clock.advance(3_000)
        assert world.service.ready() is None
        await world.check()


async def test_a_fence_that_does_not_hold_ends_the_owner() -> None:
    """Another lease in the tables: the owner resigns without having written."""
    async with running() as world:
        world.store.nonces[0] = "another0000000000"
        await world.job(60_000)
        await world.settle()
        assert world.reasons == ["fenced"]
        await world.check()


async def test_a_record_that_must_be_understood_halts_the_partition_and_nothing_else() -> None:
    """An unknown type from a newer build: the owner gives the partition up for a while instead of looping."""
    async with running() as world:
        newer = encode(JobCancelRequested(job_id=await world.job(60_000), at=0))._replace(type="job.teleported")
        await world.log.append(0, [newer])
        await world.settle()
        assert world.reasons == ["halted"]
        assert world.keeper.given_up == [30.0]


async def test_a_record_that_may_be_skipped_is_counted_and_passed_over() -> None:
    """An unknown type, or a version to come, that its writer marked so: one count each, and what stands behind it goes on."""
    async with running() as world:
        newer = encode(JobCancelRequested(job_id=await world.job(60_000), at=0))._replace(must_understand=False)
        await world.log.append(0, [newer._replace(type="job.teleported"), newer._replace(version=9)])
        job = await world.job(100)
        await world.clock.advance(200)
        assert world.reasons == []
        assert world.metrics.skipped._value.get() == 2
        assert len(await world.dues(job)) == 1
        await world.check()


async def test_after_an_outage_a_schedule_fires_its_latest_missed_tick_once() -> None:
    """Ten minutes without an owner: one job, for the latest tick, and then every minute again."""
    world = World()
    await world.log.start()
    now = world.clock.now()
    schedule_id = new_schedule_id(now, 0, bytes(8))
    created = ScheduleCreated(
        schedule_id=schedule_id,
        account="a",
        at=now,
        spec=Spec(url="http://target.example/"),
        cron="* * * * *",
        next_run_at=now + MINUTE_MS - now % MINUTE_MS,
    )
    await world.log.append(0, [encode(created)])
    world.clock.set(now + 10 * MINUTE_MS + 30_000)
    async with running(world) as world:
        ticks = [event for event in await world.events() if type(event).__name__ == "ScheduleTicked"]
        assert len(ticks) == 1
        assert ticks[0].tick_at == world.clock.now() // MINUTE_MS * MINUTE_MS  # type: ignore[union-attr]
        await world.clock.advance(2 * MINUTE_MS)
        await world.check()
        assert len(world.store.jobs) == 3


async def test_handing_over_writes_the_next_second_early_and_saves_everything() -> None:
    """A stop leaves no gap: what is due within a second is decided, with its own instant in not_before."""
    async with running() as world:
        soon = await world.job(900)
        later = await world.job(5_000)
    (due,) = await world.dues(soon)
    assert due.not_before > world.clock.now() - 1_000
    assert await world.dues(later) == []
    ledger_end = await world.log.end(0) - 1
    assert world.store.positions[0][0] == ledger_end
