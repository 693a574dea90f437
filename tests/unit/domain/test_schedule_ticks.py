"""Ticks of schedules with a rule of their own: which is made, when its call leaves, and what follows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from libs.domain import schedule as fold
from libs.domain.calendar import recorded_rule
from libs.domain.calendar.recorded_rule import is_plain, only_utc, record_of, rule_of
from libs.domain.calendar.zones import zone_of
from libs.domain.job import spawn
from libs.domain.jobs.more import inherited
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.domain.schedule_ticks import MISSED_COUNT_MAX, next_run, tick
from libs.events import (
    ScheduleChanged,
    ScheduleDefined,
    SchedulePaused,
    SchedulePolicy,
    ScheduleResumed,
    ScheduleRule,
    ScheduleTicked,
    Spec,
)
from libs.events.codec import encode
from libs.events.ids import changed_spec_id, new_schedule_id, tick_job_id
from libs.events.owner import OwnerClaimed
from libs.events.retry_policy import JobTerms
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


def calls_of(work: Callable[[], object]) -> int:
    """Return how many Python functions *work* calls: its cost, whatever else the machine does."""
    calls = 0

    def count(_frame: Any, what: str, _arg: Any) -> None:
        nonlocal calls
        calls += what == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


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
    assert event.missed == tuple(NOW + number * MINUTE for number in range(1, 11))
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


OUTAGE_MS = 3 * 3_600_000  # 18 ticks of ten minutes


def after_outage(policy: SchedulePolicy | None, late_ms: int = 0) -> tuple[list[int], list[int], list[int]]:
    """Return the minutes of the ticks that spawned a job and of those that were missed, and when the calls leave."""
    state = defined(ScheduleRule(every_s=600, anchor_at=NOW), policy=policy)
    now = NOW + OUTAGE_MS + late_ms
    made, missed, calls = [], [], []
    while (state.next_run_at or 0) <= now:
        event = decided(state, now)
        state = fold.evolve(state, event, 1)
        missed += [(at - NOW) // MINUTE for at in event.missed]
        assert event.missed_count == len(event.missed)
        if event.action == "spawned":
            made.append((event.tick_at - NOW) // MINUTE)
            calls.append((event.fire_at or event.tick_at) - now)
    assert state.more is not None
    assert (state.more.run_count, state.more.missed_count, state.more.is_catching_up) == (len(made), len(missed), False)
    return made, missed, calls


ALL = list(range(10, 181, 10))


@pytest.mark.parametrize(
    ("policy", "late_ms", "made", "missed"),
    [
        (None, 0, ALL[-1:], ALL[:-1]),
        (None, 120_000, ALL[-1:], ALL[:-1]),
        (SchedulePolicy(misfire="fire_once", window_s=60), 120_000, [], ALL),
        (SchedulePolicy(misfire="skip"), 59_000, ALL[-1:], ALL[:-1]),
        (SchedulePolicy(misfire="skip"), 61_000, [], ALL),
        (SchedulePolicy(misfire="fire_all"), 0, ALL, []),
        (SchedulePolicy(misfire="fire_all", catchup_max=5), 120_000, ALL[-5:], ALL[:-5]),
        (SchedulePolicy(misfire="fire_all", window_s=3_600), 0, ALL[-7:], ALL[:-7]),
        (SchedulePolicy(misfire="fire_all", window_s=3_600, catchup_max=1), 0, ALL[-1:], ALL[:-1]),
    ],
)
def test_what_becomes_of_late_ticks(
    policy: SchedulePolicy | None, late_ms: int, made: list[int], missed: list[int]
) -> None:
    """Down for three hours, every ten minutes: the policy says which are made up for, oldest first; the rest is missed."""
    found_made, found_missed, calls = after_outage(policy, late_ms)

    assert (found_made, found_missed) == (made, missed)
    assert calls == sorted(calls)
    assert all(-60_000 <= call < 30_000 for call in calls)


def test_a_herd_that_is_made_up_for_is_spread() -> None:
    """A thousand schedules after an outage: no second of the half minute has more than three times the mean."""
    rule = rule_of(ScheduleRule(every_s=600, anchor_at=NOW), find)
    assert rule is not None
    seconds = []
    for number in range(1_000):
        other = new_schedule_id(NOW, 0, number.to_bytes(8, "big"))
        event = events.defined(other, NOW, rule=ScheduleRule(every_s=600, anchor_at=NOW), next_run_at=NOW + 600_000)
        made = decided(fold.create(event, 0), NOW + OUTAGE_MS + 90_000)
        assert made.trigger == "catchup"
        seconds.append(((made.fire_at or 0) - made.at) // 1_000)

    assert max(seconds.count(second) for second in range(30)) <= 3 * 1_000 / 30


def test_the_beginning_of_a_catch_up_costs_an_owner_a_bounded_number_of_steps() -> None:
    """500 ticks of every minute of half a year, in a zone: some microseconds for each, not the whole half year."""
    policy = SchedulePolicy(misfire="fire_all", catchup_max=500)
    state = defined(ScheduleRule(cron="*/1 * * * *", zone="Europe/Berlin"), policy=policy)

    assert calls_of(lambda: decided(state, NOW + 180 * DAY)) < 20 * 500


def changed(state: ScheduleState, **changes: Any) -> ScheduleChanged:
    """Return a change that makes the next version of *state*, and nothing else."""
    fields = {"schedule_id": ID, "at": NOW, "version": state.version + 1, "change_id": "c", "rule": state.rule}
    return ScheduleChanged(**(fields | changes))


def test_a_change_makes_the_next_version_or_nothing() -> None:
    """Of two changes of the same version the first counts; the row keeps the ids of the last eight."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    for number in range(10):
        state = fold.evolve(state, changed(state, change_id=str(number), max_retries=number), number)
    late = changed(state, change_id="late", version=state.version)

    assert fold.evolve(state, late, 11) is state
    assert state.more is not None
    assert (state.version, state.max_retries, state.more.change_ids) == (11, 9, tuple("23456789"))
    assert state.next_run_at == NOW + MINUTE


def test_a_change_of_a_schedule_of_the_first_contract_takes_it_from_older_builds() -> None:
    """It gets a version, and its cron is kept where they do not read it."""
    plain = fold.create(events.created(ID, NOW), 0)

    state = fold.evolve(plain, changed(plain, max_retries=3), 1)

    assert (plain.version, state.version, state.cron, state.rule.cron) == (0, 1, "", "* * * * *")
    assert decided(state, NOW + MINUTE).version == 1


def test_a_new_rule_is_void_if_a_tick_came_between() -> None:
    """Else the tick that was made could be made once more: the one who changes reads again."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    rule = ScheduleRule(every_s=30, anchor_at=NOW)
    change = changed(state, rule=rule, after_at=NOW + 59_000, next_run_at=NOW + MINUTE)
    ticked = fold.evolve(state, decided(state, NOW + MINUTE), 1)

    assert fold.evolve(ticked, change, 2) is ticked
    assert fold.evolve(state, change, 1).next_run_at == NOW + MINUTE


def test_jobs_keep_the_spec_that_they_were_spawned_with() -> None:
    """A changed spec has an id of its own, which jobs name from the next tick on."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    before = spawn(decided(state, NOW + MINUTE), 1, state)
    spec = Spec(url="https://example.com/new", timeout_ms=5_000, webhook_url="https://example.com/hook")
    state = fold.evolve(state, changed(state, spec=spec), 2)
    after = spawn(decided(state, NOW + MINUTE), 3, state)

    assert before.spec_id == ID
    assert after.spec_id == state.spec_id == changed_spec_id(ID, 2)
    assert (after.timeout_ms, after.has_webhook) == (5_000, True)


def test_a_pause_with_an_end_goes_on_by_itself() -> None:
    """The schedule waits for the first run from the end on; its tick ends the pause; a tick of before is void."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    overtaken = decided(state, NOW + MINUTE)
    until = NOW + 5 * MINUTE
    pause = SchedulePaused(schedule_id=ID, at=NOW, note="closed", until=until, next_run_at=until, version=1)

    state = fold.evolve(state, pause, 1)

    assert state.is_paused_at(NOW)
    assert not state.is_paused_at(until)
    assert fold.owed_at(state, 0) == until
    assert fold.evolve(state, overtaken, 2) is state
    ticked = fold.evolve(state, decided(state, until), 2)
    assert ticked.more is not None
    assert (ticked.more.paused_until, ticked.more.note) == (None, None)


def test_a_pause_with_an_end_can_be_ended_before_and_made_endless() -> None:
    """A resume goes on at once; a pause without an end takes its place."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    pause = SchedulePaused(schedule_id=ID, at=NOW, until=NOW + DAY, next_run_at=NOW + DAY, version=1)
    paused = fold.evolve(state, pause, 1)
    resume = ScheduleResumed(schedule_id=ID, at=NOW, next_run_at=NOW + MINUTE, version=1)

    assert fold.evolve(paused, resume, 2).next_run_at == NOW + MINUTE
    assert fold.evolve(state, resume, 2) is state  # it is not paused
    endless = fold.evolve(paused, SchedulePaused(schedule_id=ID, at=NOW, note="for good", version=1), 2)
    assert (endless.status, endless.next_run_at, endless.more and endless.more.note) == (
        ScheduleStatus.PAUSED,
        None,
        "for good",
    )


def test_a_pause_that_says_nothing_new_changes_nothing() -> None:
    """With a note or without: of two that are the same the first counts."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    for pause in (
        SchedulePaused(schedule_id=ID, at=NOW),
        SchedulePaused(schedule_id=ID, at=NOW, note="closed", version=1),
    ):
        paused = fold.evolve(state, pause, 1)
        assert paused.status == ScheduleStatus.PAUSED
        assert fold.evolve(paused, pause, 2) is paused


def test_a_pause_with_an_end_is_void_if_the_rule_was_changed() -> None:
    """Its next run is none of the new rule."""
    state = defined(ScheduleRule(every_s=60, anchor_at=NOW))
    pause = SchedulePaused(schedule_id=ID, at=NOW, until=NOW + DAY, next_run_at=NOW + DAY, version=state.version + 1)
    assert fold.evolve(state, pause, 1) is state


def test_rules_are_made_anew_when_too_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rules there are, the memory for them is bounded, and each ticks as it should."""
    monkeypatch.setattr(recorded_rule, "CACHE_COUNT_MAX", 3)
    for seconds in range(60, 70):
        state = defined(ScheduleRule(every_s=seconds, anchor_at=NOW))
        assert state.next_run_at == NOW + seconds * 1_000


def test_a_job_inherits_the_terms_of_its_schedule() -> None:
    """Its time is counted from the tick; terms that say nothing make a plain job."""
    expires = inherited(JobTerms(expires_in_ms=5_000), NOW)
    assert expires is not None
    assert expires.expires_at == NOW + 5_000
    assert inherited(JobTerms(), NOW) is None
    assert inherited(None, NOW) is None


def test_a_resume_by_a_rule_that_was_changed_is_void() -> None:
    """Its next run is none of the new rule."""
    paused = fold.evolve(defined(ScheduleRule(every_s=60)), SchedulePaused(schedule_id=ID, at=NOW), 1)
    state = fold.evolve(paused, changed(paused, rule=ScheduleRule(every_s=7)), 2)
    resume = ScheduleResumed(schedule_id=ID, at=NOW, next_run_at=NOW + MINUTE, version=1)

    assert fold.evolve(state, resume, 3) is state
    assert state.next_run_at is None


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


def test_no_rule_costs_an_owner_more_than_some_thousand_calls() -> None:
    """366 excluded dates, a zone with a hundred changes, 29 February on a Sunday, missed for a century."""
    changes = [(NOW // 1_000 + number * 5 * 86_400, 3_600 * (number % 2)) for number in range(1, 101)]
    torn = zone_of("Test/Torn", "1", 0, [(at, offset or 7_200) for at, offset in changes])
    days = tuple(f"{2027 + number // 28}-02-{number % 28 + 1:02}" for number in range(366))
    rule = ScheduleRule(cron="0 0 29 2 */7", zone="Test/Torn", exclude=days, spread_s=86_400, spread_by="run")
    state = fold.create(ScheduleDefined(**_asked(rule)), 0)

    assert calls_of(lambda: tick(state, NOW + 36_500 * DAY, 0.0, 30.0, lambda _: torn)) < 10_000


def _asked(rule: ScheduleRule) -> dict[str, Any]:
    event = events.defined(ID, NOW, rule=rule, next_run_at=NOW + DAY)
    return {name: getattr(event, name) for name in event.__struct_fields__}
