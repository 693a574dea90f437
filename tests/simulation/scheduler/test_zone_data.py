"""Newer zone data under the running scheduler: which owner moves the next run of a schedule, when, and what stays as it was."""

from __future__ import annotations

from libs.domain.calendar.recorded_rule import ZoneLookup, rule_of
from libs.domain.calendar.zones import Zone, zone_of
from libs.domain.schedules.tick_decision import next_run
from libs.events import ScheduleDefined, ScheduleDeleted, ScheduleRealigned, ScheduleRule, ScheduleTicked
from libs.events.ids import new_schedule_id
from tests.fakes import events
from tests.simulation.scheduler.test_scheduler_service import Harness, running

MOVED_MS = 120_000
NOW = 1_800_000_000_000 - 240_000  # four minutes before nine in Berlin, by the old data
NINE = ScheduleRule(cron="0 9 * * *", zone="Europe/Berlin")


def data(version: str, offset_s: int) -> ZoneLookup:
    """Return zone data in which Berlin is always *offset_s* seconds ahead of UTC."""
    offsets = {"UTC": 0, "Europe/Berlin": offset_s}
    made = {name: zone_of(name, version, offset, ()) for name, offset in offsets.items()}

    def find(name: str) -> Zone | None:
        return made.get(name)

    return find


OLD, NEW = data("2026e", 3_600), data("2026f", 3_720)


def at_nine(harness: Harness, zones: ZoneLookup, number: int = 0) -> ScheduleDefined:
    """Return a schedule of every day at nine, asked for now by a process with *zones*."""
    now = harness.clock.now()
    rule = rule_of(NINE, zones)
    assert rule is not None
    schedule_id = new_schedule_id(now, 0, number.to_bytes(8, "big"))
    first = next_run(rule, schedule_id, now)
    return events.defined(schedule_id, now, rule=NINE, next_run_at=first.run_at, zone_data=first.zone_data)


async def found(harness: Harness, kind: type[ScheduleRealigned] | type[ScheduleTicked]) -> list[object]:
    return [event for event in await harness.events() if isinstance(event, kind)]


async def next_owner(harness: Harness, zones: ZoneLookup) -> None:
    """Have a process with *zones* take the partition over."""
    await harness.service.on_lost(0)
    harness.zones = zones
    await harness.keeper.grant()
    await harness.settle()


async def test_an_owner_with_newer_data_realigns_at_its_take_over() -> None:
    """Berlin moves by two minutes: within two seconds so does the next run. It ticks there, not at the old instant."""
    async with running(Harness(now=NOW, zones=OLD)) as harness:
        defined = at_nine(harness, OLD)
        await harness.append(defined, *[at_nine(harness, OLD, number) for number in range(1, 700)])
        await harness.clock.advance(2_000)
        assert await found(harness, ScheduleRealigned) == []

        await next_owner(harness, NEW)
        await harness.clock.advance(2_000)

        realigned = await found(harness, ScheduleRealigned)
        assert len(realigned) == 700
        assert realigned[0] == ScheduleRealigned(
            schedule_id=defined.schedule_id,
            at=realigned[0].at,  # type: ignore[attr-defined]
            was_tick_at=defined.next_run_at,
            was_zone_data="2026e",
            next_run_at=defined.next_run_at - MOVED_MS,
            zone_data="2026f",
            version=1,
        )
        assert harness.metrics.realigned._value.get() == 700
        others = [known for known in harness.store.schedules if known != defined.schedule_id]
        await harness.append(*[ScheduleDeleted(schedule_id=known, at=harness.clock.now()) for known in others])
        await harness.clock.advance(defined.next_run_at + MOVED_MS - harness.clock.now())
        ticks = [event.tick_at for event in await found(harness, ScheduleTicked)]  # type: ignore[attr-defined]
        assert ticks == [defined.next_run_at - MOVED_MS]
        await harness.check()


async def test_an_owner_with_older_data_never_realigns() -> None:
    """It ticks at the instant in the log, whatever its own data says; the next one it computes itself."""
    async with running(Harness(now=NOW, zones=NEW)) as harness:
        defined = at_nine(harness, NEW)
        await harness.append(defined)
        await next_owner(harness, OLD)
        await harness.clock.advance(defined.next_run_at + 1_000 - harness.clock.now())

        assert await found(harness, ScheduleRealigned) == []
        (tick,) = await found(harness, ScheduleTicked)
        assert (tick.tick_at, tick.zone_data) == (defined.next_run_at, "2026e")  # type: ignore[attr-defined]
        await harness.check()


async def test_a_schedule_that_an_older_process_asks_for_later_is_realigned_when_it_is_read() -> None:
    """An API with older data writes while an owner with newer data decides: one record moves it, and no more follow."""
    async with running(Harness(now=NOW, zones=NEW)) as harness:
        defined = at_nine(harness, OLD)
        await harness.append(defined)
        await harness.clock.advance(1_000)

        (realigned,) = await found(harness, ScheduleRealigned)
        assert realigned.next_run_at == defined.next_run_at - MOVED_MS  # type: ignore[attr-defined]
        await next_owner(harness, NEW)
        await harness.clock.advance(2_000)
        assert len(await found(harness, ScheduleRealigned)) == 1
        await harness.check()


async def test_data_that_moves_nothing_writes_nothing() -> None:
    """A newer version with the same clock: no record, and the stamp stays until the next tick."""
    async with running(Harness(now=NOW, zones=OLD)) as harness:
        defined = at_nine(harness, OLD)
        await harness.append(defined)
        count = len(await harness.events())
        await next_owner(harness, data("2026g", 3_600))
        await harness.clock.advance(2_000)

        assert len(await harness.events()) == count + 1  # the claim
        more = harness.store.schedules[defined.schedule_id].more
        assert more is not None
        assert more.zone_data == "2026e"
        await harness.check()


async def test_a_realigned_run_in_the_past_is_a_late_tick() -> None:
    """The new instant has gone by: the schedule makes up for it at once, as its policy says."""
    async with running(Harness(now=NOW, zones=OLD)) as harness:
        defined = at_nine(harness, OLD)
        await harness.append(defined)
        await harness.clock.advance(defined.next_run_at - MOVED_MS // 4 - harness.clock.now())
        await next_owner(harness, NEW)
        await harness.clock.advance(1_000)

        (tick,) = await found(harness, ScheduleTicked)
        assert (tick.tick_at, tick.trigger) == (defined.next_run_at - MOVED_MS, "catchup")  # type: ignore[attr-defined]
        await harness.check()


async def test_a_zone_that_the_build_does_not_know_holds_its_own_schedule_only() -> None:
    """The owner has no such zone: no tick and no decision for its schedule, which stays as it is; another one ticks."""
    async with running(Harness(now=NOW, zones=OLD)) as harness:
        lost = events.defined(
            new_schedule_id(harness.clock.now(), 0, b"lostlost"),
            harness.clock.now(),
            rule=ScheduleRule(cron="* * * * *", zone="Atlantis/Harbour"),
            next_run_at=harness.clock.now() + 60_000,
            zone_data="2030a",
        )
        defined = at_nine(harness, OLD)
        await harness.append(lost, defined)
        await next_owner(harness, OLD)
        await harness.clock.advance(defined.next_run_at + 1_000 - harness.clock.now())

        (tick,) = await found(harness, ScheduleTicked)
        assert tick.schedule_id == defined.schedule_id  # type: ignore[attr-defined]
        assert harness.store.schedules[lost.schedule_id].next_run_at == lost.next_run_at
        assert harness.reasons == []
        await harness.check()
