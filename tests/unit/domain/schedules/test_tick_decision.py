"""Ticks of schedules with a rule of their own: which is made, when its call leaves, and what follows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from libs.domain import job as job_fold
from libs.domain import schedule as fold
from libs.domain.calendar import recorded_rule
from libs.domain.calendar.recorded_rule import is_plain, only_utc, record_of, rule_of
from libs.domain.calendar.zones import zone_of
from libs.domain.jobs.optional_state import JobMore, inherited
from libs.domain.jobs.status import JobStatus
from libs.domain.schedules.tick_decision import MISSED_COUNT_MAX, tick
from libs.events import (
    AttemptDue,
    ScheduleDefined,
    SchedulePolicy,
    ScheduleRule,
)
from libs.events.codec import encode
from libs.events.ids import new_schedule_id, tick_job_id
from libs.events.owner import OwnerClaimed
from libs.events.retry_policy import JobTerms
from tests.fakes import events
from tests.property.calendar.made_zones import HALF, find
from tests.unit.domain.schedules.schedule_states import DAY, ID, MINUTE, NOW, decided, defined


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


def test_what_a_zone_needs_is_written_in_version_4_and_what_it_does_not_in_version_1() -> None:
    """A schedule of the first contract writes the bytes that it always wrote."""
    claim = OwnerClaimed(epoch=1, nonce="a" * 16, node="n", at=0)
    plain = fold.create(events.created(ID, NOW), 0)
    in_zone = defined(ScheduleRule(cron="* * * * *", zone=HALF.name))
    interval = defined(ScheduleRule(every_s=60, anchor_at=NOW))

    versions = [
        encode(decided(state, NOW + MINUTE), claim).version  # type: ignore[arg-type]
        for state in (plain, interval, in_zone)
    ]

    assert versions == [1, 2, 4]


def test_a_job_knows_its_local_time_and_why_it_was_spawned() -> None:
    """Each of its tries is told: what the wall clock shows at the tick, also at a gap's end, and that the tick was late."""
    state = defined(ScheduleRule(cron="30 2 28 3 *", zone="Europe/Berlin"))
    at = state.next_run_at or 0
    in_time, late = decided(state, at), decided(state, at + 2 * DAY)
    spawned = job_fold.spawn(late, 1, state)
    due = job_fold.decide(spawned, spawned.fire_at, 0.0, 30.0)
    again = job_fold.decide(
        msgspec.structs.replace(spawned, status=JobStatus.RETRYING, attempt=1), spawned.fire_at, 0.0, 30.0
    )

    assert in_time.local_time == "2027-03-28T03:00:00+02:00[Europe/Berlin]"
    assert job_fold.spawn(in_time, 1, state).more == JobMore(local_time=in_time.local_time)
    for each in (due, again):
        assert isinstance(each, AttemptDue)
        assert (each.trigger, each.local_time, each.max_attempts) == ("catchup", in_time.local_time, None)


def test_a_job_in_utc_or_of_an_interval_has_no_local_time() -> None:
    """UTC is no local time, and an interval has no time zone: their jobs are plain, if they are in time."""
    for rule in (ScheduleRule(cron="@daily"), ScheduleRule(every_s=60, anchor_at=NOW)):
        state = defined(rule)
        assert job_fold.spawn(decided(state, state.next_run_at or 0), 1, state).more is None


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
