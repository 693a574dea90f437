"""Schedules over a long time: what is decided, tick by tick, is what the preview said beforehand."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

import msgspec
import pytest

from libs.domain import job as job_fold
from libs.domain import schedule as fold
from libs.domain.calendar.preview import PREVIEW_COUNT_MAX, preview
from libs.domain.calendar.recorded_rule import rule_of
from libs.domain.schedule import ScheduleState
from libs.events import AttemptDue, ScheduleRule, ScheduleTicked
from tests.property.calendar.made_zones import find
from tests.unit.domain.schedules.schedule_states import DAY, NOW, decided, defined

LEAD_MS = 75
ZONES = ["America/New_York", "Europe/Dublin", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia"]
HOUR_MS = 3_600_000


def ticks(state: ScheduleState, until: int, lateness: Iterator[int]) -> Iterator[tuple[ScheduleTicked, AttemptDue]]:
    """Decide tick after tick, *lateness* ms after the lead before each, and the call of each; the state goes through its bytes."""
    position = 0
    while (run_at := state.next_run_at) is not None and run_at < until:
        event = decided(state, run_at - LEAD_MS + next(lateness))
        position += 1
        due = job_fold.decide(job_fold.spawn(event, position, state), event.at, 0.0, 30.0)
        assert isinstance(due, AttemptDue)
        yield event, due
        following = fold.evolve(state, event, position)
        assert following is not state
        state = msgspec.json.decode(msgspec.json.encode(following), type=ScheduleState)


@pytest.mark.parametrize(("zone", "gap", "fold_choice"), [*product(ZONES, ("shift", "skip"), ("first", "both"))])
def test_a_year_of_half_past_two_is_what_the_preview_said(zone: str, gap: str, fold_choice: str) -> None:
    """Each call leaves at the instant, and tells the local time, that the preview of the new schedule showed."""
    record = ScheduleRule(cron="30 2 * * *", zone=zone, gap=gap, fold=fold_choice)  # type: ignore[arg-type]
    rule = rule_of(record, find)
    assert rule is not None
    shown = preview(rule, NOW, PREVIEW_COUNT_MAX)
    while shown[-1].at < NOW + 366 * DAY:
        shown += preview(rule, shown[-1].at, PREVIEW_COUNT_MAX)

    made = list(ticks(defined(record), NOW + 366 * DAY, iter(lambda: 0, 1)))

    assert 364 <= len(made) <= 368
    assert [(due.not_before, event.local_time) for event, due in made] == [
        (each.at, each.local) for each in shown[: len(made)]
    ]
    assert shown[len(made)].at >= NOW + 366 * DAY


def test_every_second_of_an_hour_has_one_job() -> None:
    """3,600 jobs, none early, whatever the owner's lateness within a second and however often the state is read anew."""
    rng = random.Random(3_600)
    state = defined(ScheduleRule(every_s=1, anchor_at=NOW))
    lateness = iter(lambda: rng.randrange(LEAD_MS + 900), -1)

    made = list(ticks(state, NOW + HOUR_MS + 1_000, lateness))

    assert [event.tick_at for event, _ in made] == [NOW + 1_000 * number for number in range(1, 3_601)]
    assert len({event.job_id for event, _ in made}) == 3_600
    assert all(due.not_before == event.tick_at for event, due in made)
