"""Two builds side by side, as in a rolling upgrade: which schedules the first one serves, and which it leaves to a newer one."""

from __future__ import annotations

import pytest

from libs.domain.schedule import create
from libs.domain.schedule_ticks import tick
from libs.events import (
    Envelope,
    Event,
    ScheduleDefined,
    SchedulePaused,
    ScheduleResumed,
    ScheduleRule,
    ScheduleTicked,
    Unknown,
    Unreadable,
    read,
)
from libs.events.codec import KINDS
from libs.events.ids import new_schedule_id
from services.scheduler import partition_owner
from services.scheduler.metrics import Reason
from tests.fakes import events
from tests.property.calendar.made_zones import HALF, find
from tests.simulation.scheduler.test_scheduler_service import MINUTE_MS, Harness, running

FIRST_NAMES = {
    *(
        "owner.claimed",
        "job.scheduled",
        "job.cancel_requested",
        "attempt.due",
        "attempt.finished",
        "job.retry_scheduled",
    ),
    *("job.cancelled", "job.finished", "webhook.finished"),
    *("schedule.created", "schedule.paused", "schedule.resumed", "schedule.deleted", "schedule.ticked"),
}
FIRST_VERSIONS = {kind.name: kind.oldest_written for kind in KINDS if kind.name in FIRST_NAMES}


def read_as_first(partition: int, envelope: Envelope) -> Event | Unknown | Unreadable:
    """Read a record as the build of the first contract does."""
    if envelope.version > FIRST_VERSIONS.get(envelope.type, 0):
        return Unknown(envelope.type, envelope.version, envelope.must_understand)
    return read(partition, envelope)


class Builds:
    """A partition that builds take over from each other."""

    def __init__(self, harness: Harness, patch: pytest.MonkeyPatch) -> None:
        self.harness = harness
        self._patch = patch

    async def first(self) -> None:
        """Have the first build take the partition over."""
        self._patch.setattr(partition_owner, "read", read_as_first)
        await self._take_over()

    async def newer(self) -> None:
        """Have this build take it over."""
        self._patch.setattr(partition_owner, "read", read)
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
