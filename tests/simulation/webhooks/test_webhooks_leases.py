"""What the webhooks service does with its posts when a lease comes, goes or is handed over."""

import asyncio

from libs.following.calls import LEASE_RECHECK_MS
from tests.fakes.startstop import stress
from tests.simulation.webhooks.harness import HOST, harness


async def test_stopping_lets_posts_end_and_then_gives_the_lease_back() -> None:
    """Nothing is repeated by the next life."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        await here.ended_job()
        await here.settle()
        keeper = here.keeper
        stopping = asyncio.create_task(here.service.stop())
        await here.settle()
        assert keeper.released_at_stop is None
        here.egress.answer(HOST)
        await stopping

        assert keeper.released_at_stop == {0}
        assert len(await here.told()) == 1


async def test_a_lost_lease_drops_what_waits_and_a_regained_one_takes_it_up() -> None:
    """What was under way meanwhile is not sent again by the same process."""
    async with harness(per_lane=1) as here:
        await here.begin()
        here.egress.hang(HOST)
        jobs = [await here.job() for _ in range(3)]
        for job in jobs:
            await here.owner.finish(job)
        await here.settle()
        await here.keeper.take_away()
        await here.keeper.give()
        await here.settle()
        here.egress.answer(HOST)
        await here.settle()

        assert here.posted == [job.job_id for job in jobs]


async def test_a_partition_is_handed_over_without_telling_an_end_twice() -> None:
    """Asked whether it may give a partition back, the service takes nothing new of it and says no until its POSTs are recorded."""
    async with harness() as here:
        await here.begin()
        here.egress.hang(HOST)
        slow = await here.ended_job()
        await here.settle()

        assert not here.service.may_release(0)
        later = await here.ended_job()
        await here.clock.advance(2_000)
        assert here.posted == [slow.job_id]
        here.egress.answer(HOST)
        await here.clock.advance(100)
        assert here.service.may_release(0)

        await here.keeper.take_away()
        await here.keeper.give()
        await here.clock.advance(100)
        assert here.posted == [slow.job_id, later.job_id]
        assert [event.job_id for event in await here.told()] == [slow.job_id, later.job_id]


async def test_nothing_is_sent_under_a_lease_that_may_be_anothers() -> None:
    """After a stall the POST waits until the lease is sure."""
    async with harness() as here:
        await here.begin()
        here.keeper.is_certain = False
        await here.ended_job()
        await here.clock.advance(5_000)
        assert here.posted == []

        here.keeper.is_certain = True
        await here.clock.advance(250)
        assert len(here.posted) == 1


async def test_what_waits_for_a_lease_costs_little() -> None:
    """The lease is asked for once for each webhook that waits, and then once a look: else thousands of them would fill the loop."""
    async with harness() as here:
        await here.begin()
        here.keeper.is_certain = False
        for _ in range(40):
            await here.ended_job()
        await here.clock.advance(1_000)
        before = here.keeper.asked_count
        await here.clock.advance(1_000)
        assert here.keeper.asked_count - before <= 1_000 // LEASE_RECHECK_MS
        assert here.posted == []

        here.keeper.is_certain = True
        await here.clock.advance(2_000)
        assert len(here.posted) == len(set(here.posted)) == 40


async def test_start_and_stop_hold_their_contract() -> None:
    """From many tasks at once, and it works afterwards."""
    async with harness() as here:
        await stress(here.service)
        await here.begin()
        await here.ended_job()
        await here.settle()

        assert len(here.posted) == 1
