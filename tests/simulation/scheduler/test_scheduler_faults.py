"""What may happen to the tables and to memory under a running scheduler, on a manual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from libs.domain.job import JobStatus
from libs.events import (
    AttemptDue,
    Envelope,
    Event,
    JobCancelRequested,
    Spec,
    Unknown,
    Unreadable,
    encode,
    read,
)
from libs.events.ids import new_job_id
from libs.log.memory import MemoryLog
from libs.store.errors import StoreUnavailable
from libs.store.leases.lease_table import Lease
from libs.store.projection.changes import Flush
from tests.fakes import events
from tests.fakes.store import MemoryStore
from tests.simulation.scheduler.test_scheduler_service import MINUTE_MS, Harness, running


async def test_tables_that_went_back_are_brought_up_again_without_a_new_record() -> None:
    """A server that crashed may lose its last flushes. Nobody need write a record for the owner to notice: a second is enough."""
    async with running() as harness:
        database = harness.store.database
        flushes_before = len(database.journal)
        job_id = await harness.job(60 * MINUTE_MS)
        assert job_id in harness.store.jobs
        database.take_back(len(database.journal) - flushes_before)
        assert job_id not in harness.store.jobs

        await harness.clock.advance(2_000)

        assert harness.reasons == ["fenced"]
        assert harness.store.jobs[job_id].status is JobStatus.SCHEDULED
        await harness.check()


async def test_tables_that_do_not_answer_are_not_taken_for_older_ones() -> None:
    """Looking where the tables stand must not cost the partition while they are away."""
    harness = Harness()
    async with running(harness):
        await harness.job(60 * MINUTE_MS)
        harness.store.failing = True
        await harness.clock.advance(5_000)
        harness.store.failing = False
        await harness.clock.advance(2_000)

        assert harness.reasons == []
        await harness.check()


class Unwritable(MemoryStore):
    """Tables that can be read, but not written while *is_full* is set."""

    is_full = False

    async def flush(self, flushes: Sequence[Flush]) -> set[int]:
        if self.is_full:
            raise StoreUnavailable("the disk is full")
        return await super().flush(flushes)


async def test_what_was_folded_while_a_flush_failed_is_saved_without_a_new_record() -> None:
    """A flush is tried again as it is. What came meanwhile must not wait for the next record, which may be a minute away."""
    store = Unwritable()
    async with running(Harness(store=store)) as harness:
        store.is_full = True
        first = await harness.job(60 * MINUTE_MS)
        second = await harness.job(60 * MINUTE_MS)
        store.is_full = False
        await harness.clock.advance(1_000)

        assert first in store.jobs
        assert second in store.jobs


async def test_a_spare_process_is_ready() -> None:
    """With more processes than partitions some hold none: they are ready to take over, and a deploy must not wait for them."""
    harness = Harness()
    harness.keeper.grants = False
    async with running(harness):
        assert harness.service.ready() == "no partition is owned yet"
        harness.keeper.is_spare = True
        assert harness.service.ready() is None


async def test_a_halted_partition_is_told_although_others_are_led() -> None:
    """A record that this build does not understand: not ready, with the reason, until somebody decides for the partition again."""
    harness = Harness()
    harness.log = MemoryLog(partitions=2, clock=harness.clock, faults=harness.faults)
    async with running(harness):
        newer = encode(JobCancelRequested(job_id=await harness.job(60_000), at=0))._replace(type="job.teleported")
        await harness.log.append(0, [newer])
        await harness.settle()
        harness.store.nonces[1] = "nonce of partition one"
        await harness.service.on_gained(Lease(1, "nonce of partition one", 1))
        await harness.settle()
        reason = harness.service.ready()
        assert reason is not None
        assert "partition 0" in reason
        assert "job.teleported" in reason


async def test_a_halted_partition_goes_on_once_its_record_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade: the pause ends, the partition is taken again, and what stood behind the record happens."""
    harness = Harness()
    async with running(harness):
        job_id = await harness.job(60_000)
        newer = encode(JobCancelRequested(job_id=job_id, at=0))._replace(type="job.teleported")
        await harness.log.append(0, [newer])
        await harness.settle()
        assert harness.keeper.given_up == [30.0]

        def newer_read(partition: int, envelope: Envelope) -> Event | Unknown | Unreadable:
            return read(partition, envelope._replace(must_understand=False))

        monkeypatch.setattr("services.scheduler.partition_owner.read", newer_read)
        await harness.keeper.grant()
        await harness.clock.advance(61_000)
        assert harness.service.ready() is None
        assert len(await harness.dues(job_id)) == 1


async def test_an_owner_that_fails_by_a_defect_again_and_again_waits_longer_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each life writes a claim: the pauses grow to half a minute, so that a record which nobody can fold does not fill the log."""
    async with running() as harness:

        def broken(*_: object) -> Event:
            raise RuntimeError("planted")

        monkeypatch.setattr("services.scheduler.partition_owner.read", broken)
        await harness.job(60_000)
        while len(harness.keeper.given_up) < 6:
            await harness.settle()
            if len(harness.keeper.given_up) < 6 and not harness.service.owners:
                await harness.keeper.grant()
        assert harness.keeper.given_up[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]


async def test_a_flusher_that_fails_by_a_defect_goes_on_and_is_told() -> None:
    """Whatever is wrong between owners and tables, the saving of folds must neither end nor look healthy."""
    async with running() as harness:
        owner = harness.service.owners[0]
        take, fails = owner.take_flush, [True]

        def broken() -> Flush | None:
            if fails:
                raise RuntimeError("planted")
            return take()

        owner.take_flush = broken  # type: ignore[method-assign]
        job_id = await harness.job(60_000)
        await harness.clock.advance(500)
        assert harness.service.ready() == "the tables cannot be written"
        fails.clear()
        await harness.clock.advance(1_000)
        assert harness.service.ready() is None
        assert job_id in harness.store.jobs


HOG_JOBS = 400


@pytest.mark.parametrize("spread_ms", [0, 5])
async def test_an_account_with_very_many_due_jobs_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch, spread_ms: int
) -> None:
    """More jobs of one moment than memory holds, whose targets all hang: another account's job fires, and none is lost."""
    small = {"LOAD_MAX": 40, "STATES_MAX": 200, "RECALL_MAX": 60}
    for name, value in small.items():
        monkeypatch.setattr(f"services.scheduler.horizon.{name}", value)
    for name, value in {"QUEUE_LEAST": 10, "QUEUES_MAX": 20}.items():
        monkeypatch.setattr(f"services.scheduler.decider.{name}", value, raising=False)
    harness = Harness()
    async with running(harness):
        now = harness.clock.now()
        at = now + 5 * MINUTE_MS
        spec = Spec(url="http://target.example/")
        ids = [new_job_id(now, 0, n.to_bytes(8, "big")) for n in range(HOG_JOBS + 1)]
        hogs, other = ids[:-1], ids[-1]
        await harness.append(
            *[
                events.asked(job_id, now, account="hog", spec=spec, fire_at=at + n * spread_ms)
                for n, job_id in enumerate(hogs)
            ],
            events.asked(other, now, account="other", spec=spec, fire_at=at + 1_500),
        )
        await harness.clock.advance(at + 3_000 - harness.clock.now())
        assert len(await harness.dues(other)) == 1
        (due,) = await harness.dues(other)
        assert due.at <= at + 1_500 + 1_000
        owner = harness.service.owners[0]
        assert owner._decider.state_count <= small["STATES_MAX"]

        ended: set[str] = set()
        for _ in range(100):
            dues = [event for event in await harness.events() if isinstance(event, AttemptDue)]
            fresh = [event.job_id for event in dues if event.job_id not in ended]
            if not fresh:
                break
            for job_id in fresh:
                await harness.log.append(0, [encode(events.finished(job_id, harness.clock.now(), status_code=200))])
            ended.update(fresh)
            await harness.clock.advance(1_000)
        assert ended == set(ids)
        assert owner._decider.backlog == set()
        await harness.check()


async def test_a_partition_that_goes_to_another_process_is_decided_a_second_ahead() -> None:
    """Balancing is no more noticed than a stop: what is due while nobody owns the partition is written before it is let go."""
    async with running() as harness:
        soon, later = await harness.job(900), await harness.job(5_000)
        handing = asyncio.ensure_future(harness.service.hand_off(0))
        while not handing.done():
            await harness.clock.advance(5)
            await asyncio.sleep(0)
        await harness.service.on_lost(0)
        assert len(await harness.dues(soon)) == 1
        assert await harness.dues(later) == []
        assert harness.store.positions[0][0] == await harness.log.end(0) - 1
        await harness.service.hand_off(0)  # owned no more: nothing to prepare
