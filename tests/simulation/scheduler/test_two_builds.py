"""Two builds side by side, as in a rolling upgrade: which schedules the first one serves, and which it leaves to a newer one."""

from __future__ import annotations

import pytest

from libs.domain.schedule import create
from libs.domain.schedules.tick_decision import tick
from libs.events import (
    JobRetryScheduled,
    ScheduleDefined,
    SchedulePaused,
    ScheduleResumed,
    ScheduleRule,
    ScheduleTicked,
    read,
)
from libs.events.ids import new_job_id, new_schedule_id
from libs.events.retry_policy import RetryPolicy
from services.scheduler import partition_owner
from services.scheduler.metrics import Reason
from tests.fakes import events
from tests.fakes.leases import LeaseRow
from tests.property.calendar.made_zones import HALF, find
from tests.simulation import first_build
from tests.simulation.scheduler.test_scheduler_service import MINUTE_MS, Harness, running


class Builds:
    """A partition that builds take over from each other."""

    def __init__(self, harness: Harness, patch: pytest.MonkeyPatch) -> None:
        self.harness = harness
        self._patch = patch

    async def first(self) -> None:
        """Have the first build take the partition over, if the tables let it."""
        if self._is_refused():
            return
        self._patch.setattr(partition_owner, "read", first_build.read_as_first)
        self._patch.setattr(self.harness.store, "_answer", lambda: first_build.Tables(self.harness.store.database))
        await self._take_over()

    def _is_refused(self) -> bool:
        database = self.harness.store.database
        database.lease_rows["scheduler", 0] = LeaseRow(self.harness.keeper.epoch)
        nonces = dict(database.nonces)
        found = database.acquire("scheduler", "first", 4.0, 1, (), (), first_build.PROTOCOL)
        database.nonces.update(nonces)
        return not found

    async def newer(self) -> None:
        """Have this build take it over."""
        self._patch.setattr(partition_owner, "read", read)
        self._patch.setattr(self.harness.store, "_answer", lambda: self.harness.store.database)
        await self._take_over()

    async def _take_over(self) -> None:
        await self.harness.service.on_lost(0)
        await self.harness.keeper.grant()
        await self.harness.settle()

    async def go_to(self, at: int) -> None:
        await self.harness.clock.advance(at - self.harness.clock.now())

    async def ticks(self) -> list[int]:
        return [event.tick_at for event in await self.harness.events() if isinstance(event, ScheduleTicked)]


async def test_schedules_of_the_first_contract_never_leave_the_first_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """Created, paused and resumed as this build writes it, and ticked by both in turn: each minute once, and nobody halts."""
    async with running(Harness(zones=find)) as harness:
        builds = Builds(harness, monkeypatch)
        await builds.first()
        now = harness.clock.now()
        first_at = now - now % MINUTE_MS + MINUTE_MS
        created = events.created(new_schedule_id(now, 0, bytes(8)), now, account="a", next_run_at=first_at)
        await harness.append(created)
        await builds.go_to(first_at + 1_000)
        await builds.newer()
        await builds.go_to(first_at + MINUTE_MS + 1_000)
        await harness.append(SchedulePaused(schedule_id=created.schedule_id, at=harness.clock.now()))
        await builds.first()
        again_at = first_at + 3 * MINUTE_MS
        resumed = ScheduleResumed(schedule_id=created.schedule_id, at=harness.clock.now(), next_run_at=again_at)
        await harness.append(resumed)
        await builds.go_to(again_at + MINUTE_MS + 1_000)

        assert await builds.ticks() == [first_at, first_at + MINUTE_MS, again_at, again_at + MINUTE_MS]
        assert harness.store.database.needs == {}
        assert harness.reasons == []
        await harness.check()


async def test_a_schedule_with_a_zone_waits_for_the_newer_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first build stops at its record and ticks nothing; this one takes over and ticks by the zone, never in UTC."""
    async with running(Harness(zones=find)) as harness:
        builds = Builds(harness, monkeypatch)
        await builds.first()
        now = harness.clock.now()
        minute_at = now - now % MINUTE_MS + MINUTE_MS
        defined = every_minute_of_half(now, minute_at + MINUTE_MS // 2)
        await harness.append(defined)
        await builds.go_to(minute_at + MINUTE_MS)
        assert harness.reasons == [Reason.HALTED]
        assert await builds.ticks() == []

        await builds.newer()
        await builds.go_to(minute_at + 3 * MINUTE_MS)

        ticks = await builds.ticks()
        assert ticks == [minute_at + MINUTE_MS // 2 + number * MINUTE_MS for number in range(3)]
        await harness.check()


async def test_a_job_with_a_policy_stays_with_newer_builds_once_it_is_in_the_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    The first build would read the row without its policy, and wait for 30 s as it always did. So it gets no lease of that
    partition, though it would begin behind the record that it does not know.
    """
    async with running(Harness(zones=find)) as harness:
        builds = Builds(harness, monkeypatch)
        await builds.newer()
        now = harness.clock.now()
        asked = events.asked(
            new_job_id(now, 0, bytes(8)),
            now,
            fire_at=now + 1_000,
            max_retries=2,
            retry=RetryPolicy(backoff="fixed", delay_ms=100_000, jitter="none"),
        )
        await harness.append(asked)
        await harness.clock.advance(2_000)
        await builds.first()
        await harness.finish(asked.job_id, 1, ok=False)
        retries = [event for event in await harness.events() if isinstance(event, JobRetryScheduled)]
        assert [event.fire_at - event.at for event in retries] == [100_000]
        assert harness.store.database.needs == {0: 1}
        await harness.check()


async def test_the_first_build_cannot_tick_the_row_of_such_a_schedule() -> None:
    """All that it reads of the row is an empty cron, which is no rule."""
    async with running(Harness(zones=find)) as harness:
        now = harness.clock.now()
        await harness.append(every_minute_of_half(now, now + 10 * MINUTE_MS))
        (state,) = harness.store.schedules.values()
        as_first = events.created(state.schedule_id, now, cron=state.cron, next_run_at=now + 10 * MINUTE_MS)

        assert state.cron == ""
        assert tick(create(as_first, 0), now + 10 * MINUTE_MS, 0.0, 30.0, find) is None


def every_minute_of_half(now: int, next_run_at: int) -> ScheduleDefined:
    """Return a schedule of each minute in a zone whose minutes begin half a minute before those of UTC."""
    rule = ScheduleRule(cron="* * * * *", zone=HALF.name)
    return events.defined(
        new_schedule_id(now, 0, bytes(8)), now, rule=rule, next_run_at=next_run_at, zone_data=HALF.version
    )
