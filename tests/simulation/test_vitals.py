"""Readiness and the gauges behind it: what makes no progress is said within a minute, what is slow or idle is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from libs.events import LogBarrier, encode
from libs.log.measured import MeasuredLog
from libs.log.memory import LOST, Faults, MemoryLog
from libs.log.port import AppendFailed, LogDamaged, LogUnavailable
from libs.runtime.telemetry.metrics import Metrics
from libs.store.errors import StoreUnavailable
from libs.store.health.installation_status import InstallationStatus
from services.process.vitals import OBSERVE_EVERY_MS, Behind, Role, Standing, Vitals
from tests.simulation.dispatcher import harness as dispatcher_harness
from tests.simulation.manual_clock import ManualClock
from tests.simulation.webhooks import harness as webhooks_harness

MINUTE_MS = 60_000


class Reader:
    """A role's reading, as the test wants it, and its leases."""

    def __init__(self) -> None:
        self.at: dict[int, int] = {0: -1}
        self.held: dict[int, object] = {0: "lease"}
        self.is_certain = True

    def positions(self) -> dict[int, int]:
        return self.at

    def halted_count(self) -> int:
        return 0

    def holds(self, partition: int) -> bool:
        return self.is_certain


class Database:
    """What the tables say, or nothing."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.failing = False
        self.hanging = False
        self.position = -1
        self.oldest_due_at: int | None = None

    async def read(self) -> InstallationStatus:
        if self.hanging:
            await asyncio.Event().wait()
        if self.failing:
            raise StoreUnavailable("the test took the database away")
        return InstallationStatus(
            self.clock.now(), {0: self.position}, {"scheduler": 1, "dispatcher": 0}, self.oldest_due_at
        )


class Harness:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.faults = Faults()
        self.metrics = Metrics(version="test")
        self.log = MeasuredLog(MemoryLog(partitions=1, clock=self.clock, faults=self.faults), self.metrics)
        self.reader = Reader()
        self.database = Database(self.clock)
        self.vitals = Vitals(
            log=self.log,
            status=self.database,
            partitions=1,
            roles=[Role("scheduler", self.reader, self.reader)],
            clock=self.clock,
            metrics=self.metrics,
        )

    @property
    def reasons(self) -> list[str]:
        found = (self.vitals.log_reason(), self.vitals.progress_reason(), self.vitals.leases_reason())
        return [reason for reason in found if reason is not None]

    def shown(self, sample: str) -> float:
        for line in self.metrics.exposition().decode().splitlines():
            if line.startswith(sample + " "):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"{sample} is not shown")

    async def write(self) -> None:
        await self.log.append(0, [encode(LogBarrier(at=1, min_version=1))])

    async def pass_(self, ms: int) -> None:
        """Let time pass in looks, so that each has the turns it needs."""
        for _ in range(ms // OBSERVE_EVERY_MS):
            await self.clock.advance(OBSERVE_EVERY_MS)


@asynccontextmanager
async def harness() -> AsyncIterator[Harness]:
    made = Harness()
    await made.log.start()
    await made.vitals.start()
    await made.clock.settle()
    try:
        yield made
    finally:
        await made.vitals.stop()
        await made.log.stop()


async def test_an_idle_fliq_is_ready() -> None:
    """Nothing to do for an hour is progress."""
    async with harness() as w:
        await w.pass_(10 * MINUTE_MS)
        assert w.reasons == []
        assert w.shown("fliq_log_up") == w.shown("fliq_database_up") == 1


async def test_a_log_that_is_gone_is_said_within_a_minute() -> None:
    """The log stopped: unready, and ready again as soon as it answers."""
    async with harness() as w:
        await w.log.stop()
        await w.pass_(MINUTE_MS)
        assert w.reasons[0].startswith("the log has not answered for")
        assert w.shown("fliq_log_up") == 0
        await w.log.start()
        await w.pass_(OBSERVE_EVERY_MS)
        assert w.reasons == []
        assert w.shown("fliq_log_up") == 1


async def test_a_partition_that_does_not_answer_is_not_the_log() -> None:
    """One damaged partition is its readers' trouble: processes that do not read it stay ready."""
    clock = ManualClock()
    log = MemoryLog(partitions=2, clock=clock)
    await log.start()

    class Damaged(StuckLog):
        async def end(self, partition: int) -> int:
            if partition == 1:
                raise LogDamaged("the test damaged it")
            return await log.end(partition)

    vitals = vitals_of(Damaged(log), clock, Role("scheduler", Reader(), Reader()))
    await minute(clock, vitals)
    assert vitals.log_reason() is None
    assert vitals.progress_reason() is None
    await log.stop()


async def test_a_reader_that_stands_is_said_within_a_minute() -> None:
    """A loop that hangs is found by what it does not do, and named with partition and position."""
    async with harness() as w:
        w.reader.at = {0: -1}
        await w.write()
        w.database.position = 0
        await w.pass_(MINUTE_MS)
        assert [reason[:40] for reason in w.reasons] == ["scheduler: partition 0 stands at -1 for "[:40]]
        assert w.shown('fliq_log_lag_records{role="scheduler"}') == 1
        w.reader.at = {0: 0}
        await w.pass_(OBSERVE_EVERY_MS)
        assert w.reasons == []
        assert w.shown('fliq_log_lag_records{role="scheduler"}') == 0


async def test_a_slow_reader_is_ready() -> None:
    """Behind, but going on: a record in each look."""
    async with harness() as w:
        for _ in range(40):
            await w.write()
        for position in range(24):
            w.reader.at = {0: position}
            w.database.position = position
            await w.pass_(OBSERVE_EVERY_MS)
            assert w.reasons == []
        assert w.shown("fliq_projection_lag_seconds") >= 100
        assert w.shown("fliq_fold_lag_records") == 16


async def test_a_reader_that_waits_on_purpose_is_ready() -> None:
    """No room for more work: it shows no positions, and stands not."""
    async with harness() as w:
        await w.write()
        w.database.position = 0
        w.reader.at = {}
        await w.pass_(2 * MINUTE_MS)
        assert w.reasons == []


async def test_tables_that_stand_are_said_within_a_minute() -> None:
    """A flusher that hangs while the owner folds on: the tables of an owned partition do not move."""
    async with harness() as w:
        await w.write()
        w.reader.at = {0: 0}
        await w.pass_(MINUTE_MS)
        assert [reason[:44] for reason in w.reasons] == ["the tables of partition 0 stand at -1 for 55"[:44]]
        assert w.shown("fliq_fold_lag_records") == 1


async def test_tables_of_others_are_not_our_trouble() -> None:
    """A process that owns nothing stays ready when the tables stand."""
    async with harness() as w:
        await w.write()
        w.reader.at = {}
        w.reader.held = {}
        await w.pass_(2 * MINUTE_MS)
        assert w.reasons == []


async def test_leases_that_are_not_renewed_are_said_within_a_minute() -> None:
    """A keeper whose loop hangs holds leases that it cannot rely on."""
    async with harness() as w:
        w.reader.is_certain = False
        await w.pass_(MINUTE_MS)
        assert [reason[:35] for reason in w.reasons] == ["scheduler: the lease of partition 0"]
        w.reader.is_certain = True
        await w.pass_(OBSERVE_EVERY_MS)
        assert w.reasons == []


async def test_a_database_that_is_gone_is_shown() -> None:
    """The gauge says so; `/readyz` asks the database by itself."""
    async with harness() as w:
        w.database.failing = True
        await w.pass_(MINUTE_MS)
        assert w.shown("fliq_database_up") == 0
        w.database.failing = False
        await w.pass_(OBSERVE_EVERY_MS)
        assert w.shown("fliq_database_up") == 1


async def test_looks_that_hang_are_said_within_a_minute() -> None:
    """Who watches the watcher: when nobody has looked, that is the reason."""
    async with harness() as w:
        w.database.hanging = True
        await w.pass_(MINUTE_MS)
        assert w.reasons
        assert w.reasons[-1].startswith("nobody has looked for")


async def test_the_oldest_due_job_and_unserved_partitions_are_shown() -> None:
    """What nobody decides ages in sight of everybody."""
    async with harness() as w:
        w.database.oldest_due_at = w.clock.now()
        await w.pass_(20_000)
        assert w.shown("fliq_oldest_due_age_seconds") == 20
        assert w.shown('fliq_partitions_unassigned{role="scheduler"}') == 1
        assert w.shown('fliq_leases_held{role="scheduler"}') == 1


async def test_appends_are_measured() -> None:
    """Durations of those that succeed; the others are counted by what their caller learns."""
    async with harness() as w:
        await w.write()
        w.faults.plan(LOST)
        with pytest.raises(AppendFailed):
            await w.write()
        w.faults.appends_unavailable = True
        with pytest.raises(LogUnavailable):
            await w.write()
        with pytest.raises(ValueError):
            await w.log.append(0, [])
        assert w.shown("fliq_log_append_seconds_count") == 1
        for kind in ("failed", "unavailable", "refused"):
            assert w.shown(f'fliq_log_append_errors_total{{kind="{kind}"}}') == 1


def test_standing_forgets_what_is_not_shown() -> None:
    """A partition that moved to another process and came back begins anew."""
    standing = Standing()
    standing.observe({0: 5}, {0: 9}, 0)
    standing.observe({0: 5}, {0: 9}, 10)
    assert standing.longest(20) == (20, 0, 5)
    standing.observe({}, {0: 9}, 20)
    assert standing.longest(30) == (0, -1, -1)
    standing.observe({0: 5}, {0: 9}, 30)
    assert standing.longest(40) == (10, 0, 5)


def test_behind_counts_from_the_first_end_not_reached() -> None:
    """Tables that follow at a distance are behind by that distance, not since the beginning."""
    behind = Behind()
    assert behind.observe({0: -1}, {0: 10}, 0) == 0
    assert behind.observe({0: 5}, {0: 20}, 10) == 10
    assert behind.observe({0: 9}, {0: 30}, 20) == 0
    assert behind.observe({0: 9}, {0: 30}, 25) == 5
    assert behind.observe({0: 29}, {0: 30}, 30) == 0


class StuckLog:
    """A log whose reads never return once *is_stuck*, as with a connection that nobody closes."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.is_stuck = False

    async def read(self, *arguments: Any, **options: Any) -> Any:
        if self.is_stuck:
            await asyncio.Event().wait()
        return await self._log.read(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


async def test_a_real_dispatcher_that_hangs_is_said_within_a_minute() -> None:
    """Its loop waits for an answer that never comes; idle before that, it was ready."""
    async with dispatcher_harness.harness() as w:
        await check_hang(w, "dispatcher", lambda: w.owner.schedule(w.clock.now()))


async def test_a_real_webhooks_service_that_hangs_is_said_within_a_minute() -> None:
    """As above."""
    async with webhooks_harness.harness() as w:
        await check_hang(w, "webhooks", w.job)


async def check_hang(w: Any, role: str, write: Callable[[], Awaitable[object]]) -> None:
    """Have the log of *w* hang, and see that it is said."""
    w.log = log = StuckLog(w.log)
    await w.begin_anew()
    vitals = vitals_of(w.log, w.clock, Role(role, w.service, w.keeper))
    await minute(w.clock, vitals)
    assert vitals.progress_reason() is None
    log.is_stuck = True
    await write()  # what is being read already still comes
    await w.settle()
    await write()
    await minute(w.clock, vitals)
    assert str(vitals.progress_reason()).startswith(f"{role}: partition 0 stands at ")


def vitals_of(log: Any, clock: ManualClock, role: Role) -> Vitals:
    """Return vitals that look at one real service; the tables are always up to date."""
    database = Database(clock)
    database.position = 1_000
    return Vitals(log=log, status=database, partitions=1, roles=[role], clock=clock, metrics=Metrics(version="test"))


async def minute(clock: ManualClock, vitals: Vitals) -> None:
    """Let a minute pass, looking as often as vitals do."""
    for _ in range(MINUTE_MS // OBSERVE_EVERY_MS):
        await clock.advance(OBSERVE_EVERY_MS)
        await vitals.observe()
