"""The daily limit in a running scheduler: what waits, until when, and what it costs when the tables are away."""

from __future__ import annotations

from libs.domain.instants import day_of, next_midnight
from tests.simulation.scheduler.test_scheduler_service import Harness, running


async def fired(harness: Harness, jobs: list[str]) -> int:
    """Return how many of *jobs* have fired."""
    return sum([len(await harness.dues(job)) for job in jobs])


async def test_over_the_limit_jobs_wait_until_midnight() -> None:
    """The oldest go first; at midnight the rest follows, with the instant at which the wait ended."""
    midnight = next_midnight(1_800_000_000_000)
    async with running(Harness(now=midnight - 20_000)) as harness:
        harness.daily_limit = 2
        jobs = [await harness.job(1_000 + n) for n in range(5)]
        await harness.clock.advance(10_000)
        assert [len(await harness.dues(job)) for job in jobs] == [1, 1, 0, 0, 0]
        assert harness.service.asker.refused_count == 1
        await harness.clock.advance(midnight - 1 - harness.clock.now())
        assert await fired(harness, jobs) == 2
        await harness.clock.advance(1_000)
        assert [len(await harness.dues(job)) for job in jobs] == [1, 1, 1, 1, 0]
        (due,) = await harness.dues(jobs[2])
        assert midnight <= due.not_before < midnight + 500
        assert harness.store.database.grants == {
            ("a", day_of(midnight) - 1, 0): (1, 2),
            ("a", day_of(midnight), 0): (1, 2),
        }
        await harness.check()


async def test_a_limit_that_is_raised_or_taken_away_holds_within_seconds() -> None:
    """Nothing is restarted."""
    async with running() as harness:
        harness.daily_limit = 1
        jobs = [await harness.job(100 + n) for n in range(4)]
        await harness.clock.advance(3_000)
        assert await fired(harness, jobs) == 1
        harness.daily_limit = 2
        await harness.clock.advance(3_000)
        assert await fired(harness, jobs) == 2
        harness.daily_limit = 0
        await harness.clock.advance(3_000)
        assert await fired(harness, jobs) == 4
        assert harness.service.asker.refused_count == 0
        await harness.check()


async def test_the_next_owner_goes_on_with_the_same_count() -> None:
    """What was decided before counts, whoever decided it."""
    async with running() as harness:
        harness.daily_limit = 3
        jobs = [await harness.job(100 + n) for n in range(2)]
        await harness.clock.advance(500)
        await harness.keeper.grant()
        jobs += [await harness.job(100 + n) for n in range(3)]
        await harness.clock.advance(3_000)
        assert await fired(harness, jobs) == 3
        await harness.check()


async def test_while_the_tables_are_away_limited_accounts_wait() -> None:
    """They go on once the tables answer."""
    async with running() as harness:
        harness.daily_limit = 3
        job = await harness.job(2_000)
        harness.store.failing = True
        await harness.clock.advance(3_000)
        assert await harness.dues(job) == []
        harness.store.failing = False
        await harness.clock.advance(3_000)
        assert await fired(harness, [job]) == 1
        await harness.check()


async def test_without_a_limit_nothing_is_asked() -> None:
    """The asker sleeps, and no grant is written."""
    async with running() as harness:
        job = await harness.job(100)
        await harness.clock.advance(5_000)
        assert await fired(harness, [job]) == 1
        assert harness.store.database.grants == {}
