"""History in a running scheduler: owners forget what is old, the rows go, and nothing else changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.domain.history.choice import DAY_MS, HistoryTerms
from libs.domain.job import JobState, JobStatus
from libs.domain.ledger import Ledger
from libs.events import HistoryForgotten, JobCancelRequested, read
from libs.runtime.telemetry.metrics import Metrics
from services.scheduler.history.history_keeper import LOOK_EVERY_MS, HistoryKeeper
from services.scheduler.history.history_metrics import HistoryMetrics
from tests.fakes.store import MemoryStore
from tests.simulation.scheduler.test_scheduler_service import Harness, running

HOUR_MS = 3_600_000


class Room:
    """Whether the disk is short of room."""

    is_short = False


@asynccontextmanager
async def keeping(harness: Harness, terms: HistoryTerms, room: Room | None = None) -> AsyncIterator[Harness]:
    """Run a scheduler and its history; events are fanned out as soon as they are folded, unless a test says where that stands."""
    room = room or Room()
    keeper = HistoryKeeper(
        harness.store,
        harness.service.owners,
        harness.clock,
        terms,
        HistoryMetrics(Metrics(version="test")),
        is_disk_short=lambda: room.is_short,
    )
    async with running(harness):
        task = asyncio.create_task(keeper.run())
        yield harness
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ended(harness: Harness, *, ok: bool = True) -> str:
    """Return a job that has just ended."""
    job_id = await harness.job(100)
    await harness.clock.advance(200)
    await harness.finish(job_id, 1, ok=ok)
    assert harness.store.jobs[job_id].status is (JobStatus.COMPLETED if ok else JobStatus.FAILED)
    return job_id


async def pass_time(harness: Harness, ms: int) -> None:
    """Let time pass, all of it at once but for the last two looks; the webhooks service keeps up."""
    harness.clock.set(harness.clock.now() + ms)
    await harness.settle()
    for _ in range(3):
        harness.store.database.fan_out[0] = harness.store.positions[0]
        await harness.clock.advance(LOOK_EVERY_MS + 50)


async def decisions(harness: Harness) -> list[HistoryForgotten]:
    return [each for each in await harness.events() if isinstance(each, HistoryForgotten)]


async def check(harness: Harness) -> None:
    """The rows are the fold, without what is forgotten."""
    await harness.settle()
    ledger = Ledger(0)
    for record in await harness.log.read(0, 0, max_records=100_000):
        ledger.apply(record.position, read(0, record.envelope), record.envelope.claim)
    kept = {key: each for key, each in ledger.states.items() if not ledger.floors.forget(each, ledger.states)}
    assert harness.store.jobs == {key: each for key, each in kept.items() if isinstance(each, JobState)}
    assert harness.metrics.illegal._value.get() == 0


async def test_jobs_are_forgotten_by_their_age() -> None:
    """Those that ended well after three days, failures after five; what waits stays, and fires."""
    async with keeping(Harness(), HistoryTerms(days=3, failed_days=5)) as harness:
        good, bad = await ended(harness), await ended(harness, ok=False)
        far = await harness.job(9 * DAY_MS)
        await pass_time(harness, 3 * DAY_MS - HOUR_MS)
        assert set(harness.store.jobs) == {good, bad, far}
        await pass_time(harness, 6 * HOUR_MS)
        assert set(harness.store.jobs) == {bad, far}
        await pass_time(harness, 2 * DAY_MS)
        assert set(harness.store.jobs) == {far}
        await check(harness)
        await pass_time(harness, 5 * DAY_MS)
        assert len(await harness.dues(far)) == 1


async def test_a_forgotten_job_does_not_come_back() -> None:
    """Neither by the request, repeated by a slow network, nor by what comes after it."""
    async with keeping(Harness(), HistoryTerms(days=1, failed_days=1)) as harness:
        job_id = await ended(harness)
        first = (await harness.log.read(0, 1, max_records=1))[0].envelope
        await pass_time(harness, 2 * DAY_MS)
        assert harness.store.jobs == {}
        await harness.log.append(0, [first])
        await harness.append(JobCancelRequested(job_id=job_id, at=harness.clock.now()))
        await pass_time(harness, HOUR_MS)
        assert harness.store.jobs == {}
        assert len(await harness.dues(job_id)) == 1
        await check(harness)


async def test_nothing_is_written_if_nothing_is_forgotten() -> None:
    """A partition in which nothing ends gets no record; nor does one that keeps its jobs for ever."""
    async with keeping(Harness(), HistoryTerms(days=0, failed_days=0)) as harness:
        job_id = await ended(harness)
        await harness.job(30 * DAY_MS)
        await pass_time(harness, 5 * DAY_MS)
        assert await decisions(harness) == []
        assert job_id in harness.store.jobs


async def test_while_endpoints_are_not_told_nothing_is_forgotten() -> None:
    """The webhooks service reads the rows of jobs whose ends it tells, however late it comes to that."""
    async with keeping(Harness(), HistoryTerms(days=1, failed_days=1)) as harness:
        job_id = await ended(harness)
        harness.clock.set(harness.clock.now() + 2 * DAY_MS)
        await harness.clock.advance(4 * LOOK_EVERY_MS)
        assert job_id in harness.store.jobs
        await pass_time(harness, 6 * HOUR_MS)
        assert harness.store.jobs == {}
        await check(harness)


async def test_the_next_owner_knows_what_is_forgotten() -> None:
    """It stands in the tables; so a repeat that comes after the change of owner is void, too."""
    async with keeping(Harness(), HistoryTerms(days=1, failed_days=1)) as harness:
        await ended(harness)
        first = (await harness.log.read(0, 1, max_records=1))[0].envelope
        await pass_time(harness, 2 * DAY_MS)
        await harness.keeper.grant()
        await harness.settle()
        await harness.log.append(0, [first])
        await harness.settle()
        assert harness.store.jobs == {}
        await check(harness)


async def test_with_too_little_room_the_oldest_go_first_and_the_last_day_stays() -> None:
    """Whatever the settings say; what waits is kept."""
    room = Room()
    async with keeping(Harness(), HistoryTerms(days=0, failed_days=0), room) as harness:
        old, waiting = await ended(harness), await harness.job(9 * DAY_MS)
        await pass_time(harness, 2 * DAY_MS)
        young = await ended(harness)
        assert old in harness.store.jobs
        room.is_short = True
        for _ in range(10):
            await pass_time(harness, HOUR_MS)
        assert set(harness.store.jobs) == {young, waiting}
        await check(harness)


async def test_with_too_many_rows_the_history_is_shortened() -> None:
    """FLIQ_HISTORY_MAX_ROWS holds as disk space does."""
    async with keeping(Harness(), HistoryTerms(days=0, failed_days=0, rows_max=1)) as harness:
        old = await ended(harness)
        await pass_time(harness, 2 * DAY_MS)
        assert old in harness.store.jobs
        young = await ended(harness)
        for _ in range(2):
            await pass_time(harness, HOUR_MS)
        assert set(harness.store.jobs) == {young}


async def test_tables_that_are_away_are_asked_again() -> None:
    """A look that fails is left out."""
    async with keeping(Harness(store=MemoryStore()), HistoryTerms(days=1, failed_days=1)) as harness:
        await ended(harness)
        harness.store.failing = True
        await harness.clock.advance(2 * LOOK_EVERY_MS)
        harness.store.failing = False
        await pass_time(harness, DAY_MS + HOUR_MS)
        assert harness.store.jobs == {}
