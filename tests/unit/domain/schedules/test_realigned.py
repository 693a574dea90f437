"""Newer zone data: which schedules run at another instant then, and which stay as they are."""

from __future__ import annotations

import msgspec
import pytest

from libs.domain import schedule as fold
from libs.domain.calendar.recorded_rule import only_utc, zone_data_of
from libs.domain.calendar.zones import Zone, zone_of
from libs.domain.schedule import ScheduleState
from libs.domain.schedules.realign import has_older_zone_data, realigned
from libs.events import ScheduleRealigned, ScheduleRule
from tests.fakes import events
from tests.property.calendar.made_zones import HALF
from tests.unit.domain.schedules.schedule_states import DAY, ID, MINUTE, NOW, decided, defined

HOUR = 60 * MINUTE
DAILY = ScheduleRule(cron="0 12 * * *", zone=HALF.name)
STATE = defined(DAILY)
NEXT = STATE.next_run_at or 0


def newer(offset_s: int, version: str = "2026u") -> Zone:
    """Return the zone as other zone data has it, *offset_s* ahead of UTC; a version stands for one table, here as elsewhere."""
    return zone_of(HALF.name, version, offset_s, ())


def test_a_run_that_moves_is_decided_anew() -> None:
    """The clock of the zone goes an hour ahead: the call is made an hour earlier, and the event says by which data."""
    zone = newer(3_630)

    event = fold.decide(STATE, NOW, 0.0, 30.0, lambda _: zone)
    assert isinstance(event, ScheduleRealigned)
    state = fold.evolve(STATE, event, 1)

    assert (event.was_tick_at, event.was_zone_data, event.zone_data) == (NEXT, "2026t", "2026u")
    assert state.next_run_at == NEXT - HOUR
    assert realigned(state, NOW, lambda _: zone) is None


def test_of_two_that_cross_the_first_counts() -> None:
    """A decision about a run that is not the next one any more changes nothing; that is no breach, if the schedule is known."""
    event = realigned(STATE, NOW, lambda _: newer(3_630))
    assert event is not None
    state = fold.evolve(STATE, event, 1)

    assert fold.evolve(state, event, 2) is state
    assert fold.is_overtaken(event, {ID: state})
    assert not fold.is_overtaken(event, {})


@pytest.mark.parametrize(
    "zone",
    [
        None,  # this build does not know the zone any more
        newer(30, "2026v"),  # newer, and of this zone nothing changed
        newer(3_630, "2026t"),  # of the same version
        newer(3_630, "2026a"),  # older data never decides
    ],
)
def test_what_does_not_move_is_left_alone(zone: Zone | None) -> None:
    """Nothing is written, and the schedule keeps its stamp."""
    assert realigned(STATE, NOW, lambda _: zone) is None


@pytest.mark.parametrize(
    "state",
    [
        fold.create(events.created(ID, NOW), 0),
        defined(ScheduleRule(cron="0 12 * * *")),
        msgspec.structs.replace(STATE, held=True),
        msgspec.structs.replace(STATE, status=fold.ScheduleStatus.PAUSED, next_run_at=None),
        msgspec.structs.replace(STATE, next_run_at=None),
    ],
)
def test_only_an_active_schedule_with_a_zone_and_a_next_run_is_looked_at(state: ScheduleState) -> None:
    """One of the first contract, one in UTC, a held one, a paused one and one that has ended stay as they are."""
    assert not has_older_zone_data(state, lambda _: newer(3_630))
    assert realigned(state, NOW, lambda _: newer(3_630)) is None


def test_a_rule_that_this_build_cannot_read_waits_for_another_build() -> None:
    """The next run that a newer build found stands."""
    assert STATE.more is not None
    rule = ScheduleRule(cron="what is this", zone=HALF.name)
    state = msgspec.structs.replace(STATE, more=msgspec.structs.replace(STATE.more, rule=rule))

    assert has_older_zone_data(state, lambda _: newer(3_630))
    assert realigned(state, NOW, lambda _: newer(3_630)) is None


def test_a_rule_that_would_never_run_again_keeps_its_run() -> None:
    """Newer data may leave no tick before the end of the rule; the run that was promised is made."""
    state = defined(msgspec.structs.replace(DAILY, ends_at=NEXT + 1))

    assert state.next_run_at == NEXT
    assert realigned(state, NOW, lambda _: newer(-3_570, "2026w")) is None


def test_a_slot_that_has_ticked_stays_ticked() -> None:
    """The next tick is looked for after the last one that spawned a job; before there is one, after the request."""
    state = fold.evolve(STATE, decided(STATE, NEXT), 1)
    plain = fold.create(events.created(ID, NOW), 0)

    assert (plain.since_at, STATE.since_at, state.since_at) == (NOW, NOW, NEXT)
    assert state.next_run_at == NEXT + DAY
    event = realigned(state, NEXT, lambda _: newer(3_630))
    assert event is not None
    assert event.next_run_at == NEXT + DAY - HOUR  # that of today would have been before the one that was made


@pytest.mark.parametrize(
    ("cron", "hours"),
    [
        ("0 12 * * *", 24),  # a day later, by the new clock
        ("0 12 * * 1-5", 72),  # over a weekend
        ("0 12,18 * * *", 6),  # and at 18:00 as well
    ],
)
def test_a_wall_minute_that_comes_again_is_not_ticked_for_once_more(cron: str, hours: int) -> None:
    """It ticked at 12:00. By newer data that was 11:00: the next tick is that after 12:00, not 12:00 again."""
    state = defined(ScheduleRule(cron=cron, zone=HALF.name))
    ticked_at = state.next_run_at or 0
    state = fold.evolve(state, decided(state, ticked_at), 1)

    event = realigned(state, ticked_at, lambda _: newer(-3_570, "2026w"))

    assert event is not None
    assert event.next_run_at == ticked_at + HOUR + hours * HOUR


def test_what_comes_every_so_often_goes_on_by_the_new_clock() -> None:
    """A cron that names all hours ticks each hour, whatever they are called."""
    state = defined(ScheduleRule(cron="0 * * * *", zone=HALF.name))
    ticked_at = state.next_run_at or 0
    state = fold.evolve(state, decided(state, ticked_at), 1)

    assert realigned(state, ticked_at, lambda _: newer(-3_570, "2026w")) is None


def test_a_schedule_that_has_not_ticked_takes_the_first_tick() -> None:
    """Nothing can come twice: today's 12:00 is an hour later than it was."""
    event = realigned(STATE, NOW, lambda _: newer(-3_570, "2026w"))

    assert event is not None
    assert event.next_run_at == NEXT + HOUR


def test_a_tick_that_was_skipped_is_not_looked_for_again() -> None:
    """It spawned no job, so the instant is kept beside the last run."""
    skipped = msgspec.structs.replace(decided(STATE, NEXT), action="skipped", missed=(NEXT,), missed_count=1)

    state = fold.evolve(STATE, skipped, 1)

    assert (state.last_run_at, state.since_at) == (None, NEXT)


def test_which_zone_data_is_at_hand() -> None:
    """UTC alone has no version; data without UTC has none either."""
    assert zone_data_of(lambda name: zone_of(name, "2026u", 0, ())) == "2026u"
    assert zone_data_of(only_utc) == ""
    assert zone_data_of(lambda _: None) == ""
