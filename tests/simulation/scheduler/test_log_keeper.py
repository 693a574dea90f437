"""The log's length in a running scheduler: what lives is carried over, the rest is deleted, and nothing that lives is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Final

import msgspec
import pytest

from libs.domain.history.choice import DAY_MS, HistoryTerms
from libs.domain.job import JobStatus
from libs.events import read
from libs.log.memory import LATE, LOST, REPLY_LOST, MemoryLog
from libs.log.port import LogDamaged
from libs.runtime.telemetry.metrics import Metrics
from libs.store.rebuild import older_rows
from libs.store.rebuild.older_rows import Older
from libs.store.rebuild.replay import Replay
from services.scheduler.history import log_keeper
from services.scheduler.history.history_keeper import HistoryKeeper
from services.scheduler.history.history_metrics import HistoryMetrics, LogMetrics
from services.scheduler.history.log_keeper import LOOK_EVERY_MS, LogKeeper
from tests.fakes.control.carried import MemoryCarried
from tests.simulation.scheduler.test_scheduler_service import Harness, running

HOUR_MS: Final = 3_600_000


@asynccontextmanager
async def keeping(harness: Harness, days: int, history_days: int = 0) -> AsyncIterator[Harness]:
    """Run a scheduler, its history and its log's length; events are fanned out as soon as they are folded."""
    metrics = Metrics(version="test")
    history = HistoryKeeper(
        harness.store,
        harness.service.owners,
        harness.clock,
        HistoryTerms(days=history_days, failed_days=history_days),
        HistoryMetrics(metrics),
    )
    keeper = LogKeeper(
        event_log=harness.log,
        carrier=harness.store,
        positions=harness.store,
        owners=harness.service.owners,
        clock=harness.clock,
        days=days,
        metrics=LogMetrics(metrics),
    )
    async with running(harness):
        tasks = [asyncio.create_task(history.run()), asyncio.create_task(keeper.run())]
        yield harness
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pass_time(harness: Harness, ms: int, *, told: bool = True) -> None:
    """Let time pass, all of it at once but for the last looks; the webhooks service keeps up if it *told* all."""
    harness.clock.set(harness.clock.now() + ms)
    await harness.settle()
    for _ in range(2):
        if told:
            harness.store.database.fan_out[0] = harness.store.positions[0]
        await harness.clock.advance(LOOK_EVERY_MS + 5_000)


async def ended(harness: Harness) -> str:
    """Return a job that has just ended."""
    job_id = await harness.job(100)
    await harness.clock.advance(200)
    await harness.finish(job_id, 1, ok=True)
    assert harness.store.jobs[job_id].status is JobStatus.COMPLETED
    return job_id


async def folded(harness: Harness) -> Replay:
    """Return the fold of the log from where it begins."""
    replay = Replay(harness.log, 0, begin=await harness.log.begin(0))
    async for _ in replay.begin_with_carried():
        pass
    while await replay.step(await harness.log.end(0) - 1):
        pass
    return replay


async def check(harness: Harness) -> Replay:
    """The rows are the fold of the log from where it begins, but for those that are older; return that fold."""
    await harness.settle()
    replay = await folded(harness)
    ledger, older = replay.ledger, Older.than(replay.beginning)
    for job_id, row in harness.store.jobs.items():
        assert ledger.states.get(job_id) == row or (job_id not in ledger.states and older.has_state(row))
    for key, execution in harness.store.database.execution_rows.items():
        assert replay.changes.executions.get(key) == execution or (
            key[0] not in ledger.states and older.has_execution(execution)
        )
    for job_id, state in ledger.states.items():
        assert job_id in harness.store.jobs or ledger.floors.forget(state, ledger.states)
    assert harness.metrics.illegal._value.get() == 0
    return replay


async def kinds(harness: Harness) -> list[str]:
    begin = await harness.log.begin(0)
    return [record.envelope.type for record in await harness.log.read(0, begin, max_records=10_000)]


async def until_carried(harness: Harness, count: int) -> None:
    """Wait until the log is half of two days old, and so many records of carried rows are there, and no more."""
    harness.clock.set(harness.clock.now() + DAY_MS - LOOK_EVERY_MS // 2)
    await harness.settle()
    await harness.clock.advance(LOOK_EVERY_MS - 5_000)
    for _ in range(2_000):
        await harness.clock.advance(5)
        if (await kinds(harness)).count("rows.carried") == count:
            return
    raise AssertionError("nothing was carried")


async def test_what_is_old_goes_and_what_lives_stays() -> None:
    """The log is as long as the setting says; a job that waits for longer is called once, as it was asked for."""
    async with keeping(Harness(), days=4) as harness:
        far, old = await harness.job(60 * DAY_MS), await ended(harness)
        for _ in range(12):
            await pass_time(harness, DAY_MS)
            await ended(harness)
        begin = await harness.log.begin(0)
        assert begin > 0
        first = (await harness.log.read(0, begin, max_records=1))[0]
        assert harness.clock.now() - first.at >= 4 * DAY_MS - HOUR_MS
        replay = await check(harness)
        assert far in replay.ledger.states
        assert old not in replay.ledger.states
        assert replay.ledger.states[far] == harness.store.jobs[far]
        harness.clock.set(harness.clock.now() + 50 * DAY_MS)
        await harness.settle()
        dues = [
            item
            for record in await harness.log.read(0, await harness.log.begin(0), max_records=10_000)
            if record.envelope.type == "attempt.due" and (item := read(0, record.envelope)).job_id == far  # type: ignore[union-attr]
        ]
        assert len(dues) == 1
        assert far in harness.store.database.specs_by_id


async def test_the_log_does_not_grow() -> None:
    """Twenty days of the same: after the sixth the log is no longer than then, and neither are the tables."""
    lengths, rows = [], []
    async with keeping(Harness(), days=2, history_days=3) as harness:
        await harness.job(60 * DAY_MS)
        for _ in range(20):
            for _ in range(10):
                await ended(harness)
            await pass_time(harness, DAY_MS)
            lengths.append(await harness.log.end(0) - await harness.log.begin(0))
            rows.append(len(harness.store.jobs))
        await check(harness)
    assert lengths[-1] <= 1.05 * lengths[5]
    assert rows[-1] <= rows[5]


async def test_what_ends_while_hours_are_sealed_is_older(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing may take hours: what began and ended meanwhile is not carried, and is older than a log that begins there."""
    async with keeping(Harness(), days=2) as harness:
        await ended(harness)
        store, began, sealing = harness.store, asyncio.Event(), harness.store.sealing

        async def slow(*wanted: int) -> AsyncIterator[object]:
            began.set()
            await harness.clock.pause(2 * older_rows.SKEW_MS)
            async for each in sealing(*wanted):
                yield each

        monkeypatch.setattr(store, "sealing", slow)
        await pass_time(harness, DAY_MS)
        assert began.is_set()
        await harness.clock.advance(older_rows.SKEW_MS * 3 // 2)
        await ended(harness)
        while not await harness.log.begin(0):
            await pass_time(harness, DAY_MS)
        await check(harness)


async def test_a_young_log_costs_nothing() -> None:
    """What lives is carried for the first time when the log is half as old as it may become, whoever owns the partition then."""
    async with keeping(Harness(), days=8) as harness:
        await ended(harness)
        await harness.job(60 * DAY_MS)
        await pass_time(harness, 4 * DAY_MS - HOUR_MS)
        assert {"rows.carried", "log.carried", "history.forgotten"}.isdisjoint(await kinds(harness))
        await harness.keeper.grant()
        await pass_time(harness, HOUR_MS)
        assert (await kinds(harness)).count("log.carried") == 1
        await pass_time(harness, 4 * DAY_MS - HOUR_MS)
        assert (await kinds(harness)).count("log.carried") == 1
        await check(harness)


async def test_for_ever_is_for_ever() -> None:
    """With 0 nothing is written and nothing is deleted."""
    async with keeping(Harness(), days=0) as harness:
        await ended(harness)
        for _ in range(3):
            await pass_time(harness, 30 * DAY_MS)
        assert await harness.log.begin(0) == 0
        assert {"rows.carried", "log.carried", "history.forgotten"}.isdisjoint(await kinds(harness))


async def test_a_request_that_is_repeated_makes_no_second_job() -> None:
    """Neither of a job that ended a moment before all was carried, nor of one whose records are gone."""
    async with keeping(Harness(), days=2) as harness:
        first = await ended(harness)
        request = (await harness.log.read(0, 1, max_records=1))[0].envelope
        await pass_time(harness, HOUR_MS)
        await harness.log.append(0, [request])
        for _ in range(5):
            await pass_time(harness, DAY_MS)
        assert await harness.log.begin(0) > 0
        await harness.log.append(0, [request])
        await harness.settle()
        assert harness.store.jobs[first].status is JobStatus.COMPLETED
        assert first not in (await check(harness)).ledger.states


async def test_nothing_is_deleted_that_endpoints_are_still_told_of() -> None:
    """The webhooks service reads on from where it was, however late."""
    async with keeping(Harness(), days=2) as harness:
        await ended(harness)
        for _ in range(6):
            await pass_time(harness, DAY_MS, told=False)
        assert await harness.log.begin(0) == 0
        await pass_time(harness, HOUR_MS)
        assert await harness.log.begin(0) > 0
        await check(harness)


async def test_an_owner_that_is_lost_carries_nothing() -> None:
    """The next one begins again; what the first one wrote is passed over."""
    async with keeping(Harness(), days=2) as harness:
        for _ in range(3):
            await ended(harness)
        await harness.job(60 * DAY_MS)
        await until_carried(harness, 1)
        assert "log.carried" not in await kinds(harness)
        await harness.keeper.grant()
        await harness.settle()
        for _ in range(6):
            await pass_time(harness, DAY_MS)
        assert await harness.log.begin(0) > 0
        await check(harness)


async def test_a_log_of_which_half_is_deleted_can_be_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that is lost between two deletions leaves a log that begins anywhere before what is carried; the next goes on."""
    monkeypatch.setattr(log_keeper, "TRIM_STEP", 3)
    async with keeping(Harness(), days=2) as harness:
        for _ in range(5):
            await ended(harness)
        begins: list[int] = []
        halves: list[Replay] = []
        far, trim = await harness.job(60 * DAY_MS), harness.log.trim

        async def trim_and_die(partition: int, before: int) -> None:
            await trim(partition, before)
            if not halves:
                begins.append(before)
                halves.append(await folded(harness))
                await harness.keeper.grant()

        monkeypatch.setattr(harness.log, "trim", trim_and_die)
        for _ in range(6):
            await pass_time(harness, DAY_MS)
        assert begins == [3]
        assert far in halves[0].ledger.states
        assert await harness.log.begin(0) > 3
        assert far in (await check(harness)).ledger.states


async def test_a_long_deletion_gives_way_to_other_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on at the next look, a minute later."""
    monkeypatch.setattr(log_keeper, "TRIM_STEP", 3)
    monkeypatch.setattr(log_keeper, "STEPS_MAX", 2)
    async with keeping(Harness(), days=2) as harness:
        for _ in range(5):
            await ended(harness)
        trim = harness.log.trim
        trimmed_at: list[int] = []

        async def noted(partition: int, before: int) -> None:
            trimmed_at.append(harness.clock.now())
            await trim(partition, before)

        monkeypatch.setattr(harness.log, "trim", noted)
        for _ in range(6):
            await pass_time(harness, DAY_MS)
        rests = [after - before for before, after in pairwise(trimmed_at[:4])]
        assert rests[0] < LOOK_EVERY_MS <= rests[1]
        assert rests[2] < LOOK_EVERY_MS
        await check(harness)


async def test_tables_that_went_back_delete_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they say is needed no more is less than was deleted before: the log stays as it is, and the keeper goes on."""
    async with keeping(Harness(), days=2) as harness:
        await ended(harness)
        while not await harness.log.begin(0):
            await pass_time(harness, DAY_MS)
        opened = harness.store.opened
        trimmed: list[int] = []

        @asynccontextmanager
        async def gone_back(partition: int) -> AsyncIterator[MemoryCarried]:
            async with opened(partition) as tables:
                yield tables._replace(floors=msgspec.structs.replace(tables.floors, trim_to=1))

        async def noted(partition: int, before: int) -> None:
            trimmed.append(before)

        monkeypatch.setattr(harness.store, "opened", gone_back)
        monkeypatch.setattr(harness.log, "trim", noted)
        for _ in range(4):
            await pass_time(harness, DAY_MS)
        carried = (await kinds(harness)).count("log.carried")
        await pass_time(harness, 2 * DAY_MS)
        assert trimmed == []
        assert (await kinds(harness)).count("log.carried") > carried


async def test_rows_that_may_be_lost_are_not_relied_on() -> None:
    """Whatever becomes of an append: the end of the rows is decided only after each of them is known to be in the log."""
    for which, fate in enumerate((LOST, REPLY_LOST, LATE)):
        harness = Harness()
        async with keeping(harness, days=2):
            await ended(harness)
            await harness.job(60 * DAY_MS)
            await until_carried(harness, 1 + which)
            harness.faults.plan(fate)
            for _ in range(6):
                await pass_time(harness, DAY_MS)
            assert await harness.log.begin(0) > 0
            await check(harness)


async def test_a_log_that_begins_anywhere_else_is_not_folded() -> None:
    """A log that somebody else trimmed has no beginning."""
    log = MemoryLog(partitions=1)
    await log.start()
    async with keeping(Harness(log=log), days=2) as harness:
        await ended(harness)
        await log.trim(0, 2)
        replay = Replay(log, 0, begin=2)
        with pytest.raises(LogDamaged, match="does not carry"):
            async for _ in replay.begin_with_carried():
                pass
