"""What may happen to the tables and to memory under a running scheduler, on a manual clock."""

from __future__ import annotations

import copy

import pytest

from libs.domain.job import JobStatus
from libs.events import Envelope, Event, JobCancelRequested, Unknown, Unreadable, encode, read
from libs.log.memory import MemoryLog
from libs.store.changes import Flush
from libs.store.leases import Lease
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


async def test_a_spare_process_is_ready() -> None:
    """With more processes than partitions some hold none: they are ready to take over, and a deploy must not wait for them."""
    world = World()
    world.keeper.grants = False
    async with running(world):
        assert world.service.ready() == "no partition is owned yet"
        world.keeper.is_spare = True
        assert world.service.ready() is None


async def test_a_halted_partition_is_told_although_others_are_led() -> None:
    """A record that this build does not understand: not ready, with the reason, until the partition is led again."""
    world = World()
    world.log = MemoryLog(partitions=2, clock=world.clock, faults=world.faults)
    async with running(world):
        newer = encode(JobCancelRequested(job_id=await world.job(60_000), at=0))._replace(type="job.teleported")
        await world.log.append(0, [newer])
        await world.settle()
        world.store.nonces[1] = "nonce of partition one"
        await world.service.on_gained(Lease(1, "nonce of partition one", 1))
        await world.settle()
        reason = world.service.ready()
        assert reason is not None
        assert "partition 0" in reason
        assert "job.teleported" in reason


async def test_a_halted_partition_goes_on_once_its_record_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade: the pause ends, the partition is taken again, and what stood behind the record happens."""
    world = World()
    async with running(world):
        job_id = await world.job(60_000)
        newer = encode(JobCancelRequested(job_id=job_id, at=0))._replace(type="job.teleported")
        await world.log.append(0, [newer])
        await world.settle()
        assert world.keeper.given_up == [30.0]

        def newer_read(partition: int, envelope: Envelope) -> Event | Unknown | Unreadable:
            return read(partition, envelope._replace(must_understand=False))

        monkeypatch.setattr("services.scheduler.partition_owner.read", newer_read)
        await world.keeper.grant()
        await world.clock.advance(61_000)
        assert world.service.ready() is None
        assert len(await world.dues(job_id)) == 1


async def test_a_flusher_that_fails_by_a_defect_goes_on_and_is_told() -> None:
    """Whatever is wrong between owners and tables, the saving of folds must neither end nor look healthy."""
    async with running() as world:
        owner = world.service.owners[0]
        take, fails = owner.take_flush, [True]

        def broken() -> Flush | None:
            if fails:
                raise RuntimeError("planted")
            return take()

        owner.take_flush = broken  # type: ignore[method-assign]
        job_id = await world.job(60_000)
        await world.clock.advance(500)
        assert world.service.ready() == "the tables cannot be written"
        fails.clear()
        await world.clock.advance(1_000)
        assert world.service.ready() is None
        assert job_id in world.store.jobs
