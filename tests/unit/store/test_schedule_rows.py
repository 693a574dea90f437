"""Schedule rows: what is read of many schedules with few rules takes the memory of few rules."""

from __future__ import annotations

import msgspec
import pytest

from libs.domain.schedules.optional_state import ScheduleMore
from libs.events import ScheduleRule
from libs.store.projection import schedule_rows
from libs.store.projection.schedule_rows import read_more

RULE = ScheduleRule(cron="30 2 * * *", zone="Europe/Berlin")


def stored(**changes: object) -> bytes:
    return msgspec.json.encode(ScheduleMore(**({"rule": RULE, "zone_data": "2026f"} | changes)))  # type: ignore[arg-type]


def test_what_is_read_is_what_was_stored() -> None:
    """Sharing changes no value."""
    for number in range(3):
        assert read_more(stored(run_count=number)) == ScheduleMore(rule=RULE, zone_data="2026f", run_count=number)


def test_schedules_share_what_they_have_in_common() -> None:
    """Those that differ in their counters share rule and zone data, those that do not differ share all."""
    first, other = read_more(stored(run_count=1)), read_more(stored(run_count=2))

    assert first.rule is other.rule
    assert first.zone_data is other.zone_data
    assert read_more(stored(run_count=1)) is first


def test_the_memory_for_shared_rules_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rules there are, and each is still read as it was stored."""
    monkeypatch.setattr(schedule_rows, "RULES_KEPT_MAX", 3)
    monkeypatch.setattr(schedule_rows, "_rules", {})
    for minute in range(10):
        rule = ScheduleRule(cron=f"{minute} 5 * * *")
        assert read_more(stored(rule=rule)).rule == rule
        assert len(schedule_rows._rules) <= 3
