"""Schedules under the running scheduler, on a manual clock: when a tick is decided, and what pauses, outages and stops change."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from libs.events import (
    AttemptDue,
    Event,
    ScheduleDeleted,
    SchedulePaused,
    SchedulePolicy,
    ScheduleResumed,
    ScheduleRule,
    ScheduleTicked,
    encode,
)
from libs.events.ids import new_schedule_id
from tests.fakes import events
from tests.simulation.scheduler.test_scheduler_service import MINUTE_MS, Harness, running

LEAD_MS = 75


async def every_minute(harness: Harness) -> tuple[str, int]:
    """Append a schedule that runs every minute; return its id and the instant of its first tick."""
    now = harness.clock.now()
    first_at = now - now % MINUTE_MS + MINUTE_MS
    created = events.created(new_schedule_id(now, 0, bytes(8)), now, account="a", next_run_at=first_at)
    await harness.append(created)
    return created.schedule_id, first_at


async def go_to(harness: Harness, at: int) -> None:
    await harness.clock.advance(at - harness.clock.now())


async def ticks(harness: Harness) -> list[int]:
    """Return the instants of the ticks in the log."""
    return [event.tick_at for event in await harness.events() if isinstance(event, ScheduleTicked)]


async def calls(harness: Harness) -> list[int]:
    """Return the instants at which calls are to leave."""
    return [event.not_before for event in await harness.events() if isinstance(event, AttemptDue)]


@pytest.mark.parametrize("stop", [SchedulePaused, ScheduleDeleted])
@pytest.mark.parametrize("ahead_ms", [1_500, LEAD_MS + 51])
async def test_case_14_a_stop_before_the_lead_stops_the_tick(stop: type[Event], ahead_ms: int) -> None:
    """Answered before the tick is decided, a pause or deletion leaves no tick and no call; 50 ms is how long the answer takes."""
    async with running() as harness:
        schedule_id, first_at = await every_minute(harness)
        await go_to(harness, first_at - ahead_ms)
        await harness.append(stop(schedule_id=schedule_id, at=harness.clock.now()))
        assert not harness.store.schedules[schedule_id].is_active
        await go_to(harness, first_at + 10 * MINUTE_MS)

        assert await ticks(harness) == []
        await harness.check()


async def test_case_14_a_resume_before_the_instant_keeps_the_tick() -> None:
    """Paused and resumed within the second before its tick, the schedule ticks as if nothing had been."""
    async with running() as harness:
        schedule_id, first_at = await every_minute(harness)
        await go_to(harness, first_at - 900)
        now = harness.clock.now()
        await harness.append(SchedulePaused(schedule_id=schedule_id, at=now))
        await harness.append(ScheduleResumed(schedule_id=schedule_id, at=now, next_run_at=first_at))
        await go_to(harness, first_at)

        assert await ticks(harness) == await calls(harness) == [first_at]
        await harness.check()


async def test_case_14_an_outage_over_two_ticks_makes_up_for_one() -> None:
    """The owner dies a second before the first tick, the next one comes after the second: one call, for the second tick."""
    async with running() as harness:
        _, first_at = await every_minute(harness)
        await go_to(harness, first_at - 1_000)
        await harness.service.on_lost(0)
        await go_to(harness, first_at + MINUTE_MS + 30_000)
        await harness.keeper.grant()
        await harness.settle()

        assert await ticks(harness) == await calls(harness) == [first_at + MINUTE_MS]
        await harness.check()


async def test_after_an_outage_a_schedule_fires_its_latest_missed_tick_once() -> None:
    """Ten minutes without an owner: one job, for the latest tick, and then every minute again."""
    harness = Harness()
    await harness.log.start()
    now = harness.clock.now()
    schedule_id = new_schedule_id(now, 0, bytes(8))
    await harness.log.append(0, [encode(events.created(schedule_id, now, account="a"))])
    harness.clock.set(now + 10 * MINUTE_MS + 30_000)
    async with running(harness) as harness:
        assert await ticks(harness) == [harness.clock.now() // MINUTE_MS * MINUTE_MS]
        await harness.clock.advance(2 * MINUTE_MS)
        await harness.check()
        assert len(harness.store.jobs) == 3


@pytest.mark.parametrize(
    ("policy", "called", "missed"),
    [
        (SchedulePolicy(misfire="skip"), [], range(10, 190, 10)),
        (None, [180], range(10, 180, 10)),
        (SchedulePolicy(misfire="fire_all"), range(10, 190, 10), []),
        (SchedulePolicy(misfire="fire_all", catchup_max=5), range(140, 190, 10), range(10, 140, 10)),
    ],
)
async def test_three_hours_without_an_owner(
    policy: SchedulePolicy | None, called: Sequence[int], missed: Sequence[int]
) -> None:
    """A schedule of every ten minutes: which calls are made up for, in their order, and what log and metric say was missed."""
    harness = Harness()
    await harness.log.start()
    now = harness.clock.now()
    rule = ScheduleRule(every_s=600, anchor_at=now)
    schedule_id = new_schedule_id(now, 0, bytes(8))
    asked = events.defined(schedule_id, now, rule=rule, next_run_at=now + 10 * MINUTE_MS, policy=policy)
    await harness.log.append(0, [encode(asked)])
    harness.clock.set(now + 182 * MINUTE_MS)
    async with running(harness) as harness:
        await harness.clock.advance(MINUTE_MS)

        said = await harness.events()
        jobs = [(each.scheduled_at - now) // MINUTE_MS for each in said if isinstance(each, AttemptDue)]
        passed = [at for each in said if isinstance(each, ScheduleTicked) for at in each.missed]
        assert (jobs, [(at - now) // MINUTE_MS for at in passed]) == (list(called), list(missed))
        assert harness.metrics.missed_ticks._value.get() == len(missed)
        await harness.check()


async def test_a_tick_and_its_due_event_are_written_within_the_lead() -> None:
    """75 ms ahead the tick is decided, and the due event of its job as soon as the tick is read back."""
    async with running() as harness:
        _, first_at = await every_minute(harness)
        await go_to(harness, first_at - LEAD_MS - 1)
        assert await ticks(harness) == []

        await go_to(harness, first_at - LEAD_MS + 20)
        assert await ticks(harness) == await calls(harness) == [first_at]


async def test_handing_over_writes_the_next_tick_early_and_its_due_event() -> None:
    """A stop leaves no gap for schedules either: the tick of the next second and its due event are written, with their instants."""
    async with running() as harness:
        _, first_at = await every_minute(harness)
        await go_to(harness, first_at - 900)

    assert await ticks(harness) == await calls(harness) == [first_at]
