"""What may happen to the tables and to memory under a running scheduler, on a manual clock."""

from __future__ import annotations

import copy

from libs.domain.job import JobStatus
from tests.fakes.store import MemoryStore
from tests.simulation.test_scheduler_service import MINUTE_MS, World, running


def remember(store: MemoryStore) -> dict[str, object]:
    """Return what the tables hold, without the leases."""
    return copy.deepcopy({name: value for name, value in vars(store).items() if name != "nonces"})


async def test_tables_that_went_back_are_brought_up_again_without_a_new_record() -> None:
    """A server that crashed may lose its last flushes. Nobody need write a record for the owner to notice: a second is enough."""
    async with running() as world:
        before = remember(world.store)
        job_id = await world.job(60 * MINUTE_MS)
        assert job_id in world.store.jobs
        vars(world.store).update(before)

        await world.clock.advance(2_000)

        assert world.reasons == ["fenced"]
        assert world.store.jobs[job_id].status is JobStatus.SCHEDULED
        await world.check()


async def test_tables_that_do_not_answer_are_not_taken_for_older_ones() -> None:
    """Looking where the tables stand must not cost the partition while they are away."""
    world = World()
    async with running(world):
        await world.job(60 * MINUTE_MS)
        world.store.failing = True
        await world.clock.advance(5_000)
        world.store.failing = False
        await world.clock.advance(2_000)

        assert world.reasons == []
        await world.check()
