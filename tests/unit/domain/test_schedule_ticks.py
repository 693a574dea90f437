"""Ticks of schedules with a rule of their own: which is made, when its call leaves, and what follows."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from libs.domain import schedule as fold
from libs.domain.calendar.recorded_rule import is_plain, only_utc, record_of, rule_of
from libs.domain.calendar.zones import zone_of
from libs.domain.schedule import ScheduleState
from libs.domain.schedule_ticks import MISSED_COUNT_MAX, next_run, tick
from libs.events import ScheduleDefined, ScheduleRule, ScheduleTicked
from libs.events.codec import encode
from libs.events.ids import new_schedule_id, tick_job_id
from libs.events.owner import OwnerClaimed
from tests.fakes import events
from tests.property.calendar.made_zones import HALF, find

NOW = 1_800_000_000_000  # 2027-01-15T08:00:00Z
MINUTE = 60_000
DAY = 86_400_000
ID = new_schedule_id(NOW, 0, bytes(8))


def defined(rule: ScheduleRule, at: int = NOW, **changes: Any) -> ScheduleState:
    """Return a schedule of *rule* that was asked for at *at*."""
    made = rule_of(rule, find)
    assert made is not None
    first = next_run(made, ID, at)
    event = events.defined(
        ID, at, rule=rule, next_run_at=first.run_at, next_tick_at=first.tick_at, zone_data=first.zone_data, **changes
    )
    return fold.create(event, 0)


def decided(state: ScheduleState, now: int) -> ScheduleTicked:
    """Return the tick of *state* at *now*."""
    event = tick(state, now, 0.0, 30.0, find)
    assert event is not None
    return event


def test_a_tick_is_that_of_the_wall_clock() -> None:
    """At 02:30 in Berlin, which is 01:30 UTC in winter; the zone data that said so stands in the event."""
    state = defined(ScheduleRule(cron="30 2 * * *", zone="Europe/Berlin"))

    event = decided(state, state.next_run_at or 0)

    assert event.tick_at == 1_800_063_000_000  # 2027-01-16T01:30:00Z
    assert event.next_run_at == event.tick_at + DAY
    assert event.zone_data == find("Europe/Berlin").version  # type: ignore[union-attr]
    assert fold.evolve(state, event, 1).next_run_at == event.next_run_at


def test_what_a_zone_needs_is_written_in_version_2_and_what_it_does_not_in_version_1() -> None:
    """A schedule of the first contract writes the bytes that it always wrote."""
    claim = OwnerClaimed(epoch=1, nonce="a" * 16, node="n", at=0)
    plain = fold.create(events.created(ID, NOW), 0)
    in_zone = defined(ScheduleRule(cron="* * * * *", zone=HALF.name))

    versions = [
        encode(decided(state, NOW + MINUTE), claim).version  # type: ignore[arg-type]
        for state in (plain, in_zone)
    ]

    assert versions == [1, 2]


def test_a_spread_delays_the_call_and_not_the_tick() -> None:
    """The job is that of the tick; its call, and the next run, are later by the same delay."""
    state = defined(ScheduleRule(every_s=600, anchor_at=NOW, spread_s=300))
    delay_ms = (state.next_run_at or 0) - (NOW + 600_000)
    assert 0 < delay_ms < 300_000

    event = decided(state, state.next_run_at or 0)

    assert (event.tick_at, event.fire_at) == (NOW + 600_000, state.next_run_at)
    assert event.job_id == tick_job_id(ID, event.tick_at)
    assert (event.next_tick_at, event.next_run_at) == (NOW + 1_200_000, NOW + 1_200_000 + delay_ms)


def test_a_call_that_is_still_to_come_is_not_lost_to_the_tick_before_it() -> None:
    """A moment after the next tick, whose call is later: the tick that is due is made, and nothing counts as missed."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW, spread_s=50))
    assert (state.next_run_at or 0) > NOW + MINUTE + 1_000

    event = decided(state, NOW + 2 * MINUTE + 1)

    assert (event.tick_at, event.missed_count) == (NOW + MINUTE, 0)


def test_with_the_last_of_max_runs_it_is_finished() -> None:
    """Two ticks, then no next run; counters say how many there were."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW), max_runs=2)
    for number in (1, 2):
        state = fold.evolve(state, decided(state, NOW + number * MINUTE), number)

    assert state.more is not None
    assert (state.next_run_at, state.more.run_count, state.is_active) == (None, 2, True)
    assert fold.owed_at(state, 75) is None


def test_ends_at_is_the_last_instant() -> None:
    """A tick at the very end is made, and none follows."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW, ends_at=NOW + MINUTE))

    assert decided(state, NOW + MINUTE).next_run_at is None


def test_missed_ticks_are_counted() -> None:
    """Of those of an outage the latest is made; the count stops at its bound, the state adds them up."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))

    event = decided(state, NOW + 11 * MINUTE)
    years_later = decided(state, NOW + 3_650 * DAY)

    assert (event.tick_at, event.missed_count) == (NOW + 11 * MINUTE, 10)
    assert years_later.missed_count == MISSED_COUNT_MAX
    after = fold.evolve(state, event, 1).more
    assert after is not None
    assert (after.run_count, after.missed_count) == (1, 10)


@pytest.mark.parametrize("field", ["version", "tick_at"])
def test_a_tick_of_another_version_or_of_an_earlier_slot_is_void(field: str) -> None:
    """What was decided before a change is not applied after it."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    event = decided(state, NOW + MINUTE)
    wrong = msgspec.structs.replace(event, **{field: {"version": 2, "tick_at": NOW}[field]})

    assert fold.evolve(state, wrong, 1) is state
    assert fold.evolve(state, event, 1) is not state


def test_a_zone_that_is_not_known_gets_no_tick() -> None:
    """Such a schedule waits for a build with other zone data; it never ticks in UTC instead."""
    state = defined(ScheduleRule(cron="* * * * *", zone=HALF.name))

    assert tick(state, NOW + MINUTE, 0.0, 30.0, only_utc) is None
    assert state.cron == ""  # all that an older build would read


RULES = [
    ScheduleRule(cron="30 2 * * *", zone="Europe/Berlin", gap="skip", fold="both"),
    ScheduleRule(cron="0 0 L * *", exclude=("2026-12-24/2026-12-26", "2027-01-01"), spread_s=5, spread_by="run"),
    ScheduleRule(every_s=90, anchor_at=NOW, starts_at=NOW, ends_at=NOW + DAY),
    ScheduleRule(cron="* * * * *"),
]


@pytest.mark.parametrize("record", RULES)
def test_a_record_comes_back_as_it_was(record: ScheduleRule) -> None:
    """A rule made of a record gives that record."""
    rule = rule_of(record, find)

    assert rule is not None
    assert record_of(rule) == record
    assert is_plain(record) == (record is RULES[-1])


@pytest.mark.parametrize("record", [ScheduleRule(cron="* * *"), ScheduleRule(), ScheduleRule(cron="@daily x")])
def test_a_record_that_cannot_be_read_is_none(record: ScheduleRule) -> None:
    """It stops its own schedule only."""
    assert rule_of(record, find) is None


def test_no_rule_costs_an_owner_more_than_5_ms() -> None:
    """366 excluded dates, a zone with a hundred changes, 29 February on a Sunday, missed for a century."""
    changes = [(NOW // 1_000 + number * 5 * 86_400, 3_600 * (number % 2)) for number in range(1, 101)]
    torn = zone_of("Test/Torn", "1", 0, [(at, offset or 7_200) for at, offset in changes])
    days = tuple(f"{2027 + number // 28}-02-{number % 28 + 1:02}" for number in range(366))
    rule = ScheduleRule(cron="0 0 29 2 */7", zone="Test/Torn", exclude=days, spread_s=86_400, spread_by="run")
    state = fold.create(ScheduleDefined(**_asked(rule)), 0)
    spent = []
    for _ in range(3):
        began_s = time.thread_time()
        tick(state, NOW + 36_500 * DAY, 0.0, 30.0, lambda _: torn)
        spent.append(time.thread_time() - began_s)

    assert min(spent) < 0.005


def _asked(rule: ScheduleRule) -> dict[str, Any]:
    event = events.defined(ID, NOW, rule=rule, next_run_at=NOW + DAY)
    return {name: getattr(event, name) for name in event.__struct_fields__}
