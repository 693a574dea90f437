"""The database away for minutes, and a log that lost records, under a running scheduler on a manual clock."""

from __future__ import annotations

import pytest

from libs.events import OwnerClaimed, encode
from libs.log.memory import MemoryLog
from libs.log.port import LogDamaged, Record
from services.scheduler import partition_owner
from tests.fakes import events
from tests.simulation.scheduler.test_scheduler_service import MINUTE_MS, Harness, running


async def test_an_owner_goes_on_for_as_long_as_the_database_is_away() -> None:
    """What is in memory is decided at its instant, five minutes into an outage too; what is not, when the tables are back."""
    async with running() as harness:
        near = [await harness.job(seconds * 1_000) for seconds in (1, 30, 100)]
        far = await harness.job(4 * MINUTE_MS)
        harness.store.failing = True
        for job_id in near:
            await harness.clock.advance(100_000 if job_id is near[-1] else 15_000)
            (due,) = await harness.dues(job_id)
            assert due.at < due.not_before
        await harness.clock.advance(3 * MINUTE_MS)
        assert await harness.dues(far) == []
        harness.store.failing = False
        await harness.clock.advance(2_000)
        assert len(await harness.dues(far)) == 1
        assert harness.reasons == []
        await harness.check()


async def test_what_waits_for_the_database_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the log is not read on, and so nothing more gathers in memory; afterwards everything is made up for."""
    monkeypatch.setattr(partition_owner, "UNSAVED_MAX", 20)
    monkeypatch.setattr(partition_owner, "READ_MAX", 5)
    async with running() as harness:
        jobs = [await harness.job(1_000) for _ in range(60)]
        harness.store.failing = True
        await harness.clock.advance(2_000)
        now = harness.clock.now()
        for job_id in jobs:
            await harness.log.append(0, [encode(events.finished(job_id, now))])
        await harness.clock.advance(60_000)
        owner = harness.service.owners[0]
        assert len(owner._unsaved) <= 20 + 5
        assert owner.position < await harness.log.end(0) - 1
        assert max([len(await harness.dues(job_id)) for job_id in jobs]) <= 1
        harness.store.failing = False
        await harness.clock.advance(5_000)
        assert {len(await harness.dues(job_id)) for job_id in jobs} == {1}
        assert harness.reasons == []
        await harness.check()


async def test_a_newer_claim_ends_an_owner_that_cannot_reach_the_database() -> None:
    """Safety is in the log: who has taken over is seen there, and what the old owner wrote after that is void for everybody."""
    async with running() as harness:
        job_id = await harness.job(10_000)
        harness.store.failing = True
        await harness.clock.advance(1_000)
        harness.keeper.epoch = 20  # no new lease
        await harness.append(OwnerClaimed(epoch=9, nonce="another0000000000", node="b", at=harness.clock.now()))
        await harness.clock.advance(10_000)
        assert harness.reasons == ["superseded"]
        assert await harness.dues(job_id) == []
        harness.store.failing = False


class Damaged(MemoryLog):
    """A log in which a record is missing, once *is_damaged* is set."""

    is_damaged = False

    async def read(self, partition: int, position: int, *, max_records: int = 500, wait_s: float = 0.0) -> list[Record]:
        records = await super().read(partition, position, max_records=max_records, wait_s=wait_s)
        if self.is_damaged:
            raise LogDamaged(f"the log is damaged: partition {partition} has no record at {position}")
        return records


async def test_a_log_that_lost_a_record_halts_its_partition() -> None:
    """Nobody guesses what stood there: the partition is given up for a while, counted as halted, and the process is not ready."""
    harness = Harness()
    log = harness.log = Damaged(partitions=1, clock=harness.clock, faults=harness.faults)
    async with running(harness):
        log.is_damaged = True
        await harness.job(60_000)
        assert harness.reasons == ["halted"]
        assert harness.keeper.given_up == [30.0]
        assert harness.service.halted_count() == 1
        reason = harness.service.ready()
        assert reason is not None
        assert "the log is damaged: partition 0 has no record at" in reason
        log.is_damaged = False
