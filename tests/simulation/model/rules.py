"""
The rules of the model's schedules: what each says, and the arithmetic by which the checker knows its ticks.

Every rule ticks at the instants `phase_ms` beyond the multiples of `period_ms`, so no evaluator is needed to judge one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from libs.domain.calendar.recorded_rule import rule_of
from libs.domain.calendar.rule import Rule, Spread
from libs.domain.schedule import ScheduleState
from libs.domain.schedules.tick_decision import LATE_MS
from libs.events import RunPolicy, SchedulePolicy, ScheduleRule
from tests.property.calendar.made_zones import HALF, find


class ModelRule(NamedTuple):
    """
    A rule of the model.

    Args:
        record: the rule as `schedule.defined` says it.
        is_plain: `schedule.created` says it.
        policy: what becomes of late ticks.
        runs: what becomes of ticks while a run is under way, and after failures.
    """

    period_ms: int
    phase_ms: int
    record: ScheduleRule
    is_plain: bool = False
    policy: SchedulePolicy | None = None
    runs: RunPolicy | None = None

    @property
    def rule(self) -> Rule:
        """What the API evaluates."""
        rule = rule_of(self.record, find)
        assert rule is not None
        return rule

    def latest(self, at: int) -> int:
        """Return the last tick at or before *at*."""
        return at - (at - self.phase_ms) % self.period_ms

    def fire_at(self, schedule_id: str, tick_at: int) -> int:
        """Return when the call of a tick is made."""
        if self.record.spread_s is None:
            return tick_at
        return tick_at + Spread(seconds=self.record.spread_s).delay_ms(schedule_id, tick_at)

    def latest_due(self, schedule_id: str, at: int) -> int:
        """Return the last tick whose call is due at *at*."""
        tick_at = self.latest(at)
        return tick_at if self.fire_at(schedule_id, tick_at) <= at else tick_at - self.period_ms

    def decided(self, schedule_id: str, oldest: int, at: int, *, is_catching_up: bool) -> tuple[int, bool]:
        """Return which tick is decided at *at*, of those due since *oldest*, and whether it spawns its job."""
        latest = max(oldest, self.latest_due(schedule_id, at)) if oldest < at else oldest
        if self.policy is not None and self.policy.misfire == "fire_all":
            return oldest if is_catching_up else max(
                oldest, latest - (self.policy.catchup_max - 1) * self.period_ms
            ), True
        is_made = self.policy is None or at - self.fire_at(schedule_id, latest) <= LATE_MS
        return latest, is_made


RULES: Final = (
    ModelRule(60_000, 0, ScheduleRule(cron="* * * * *"), is_plain=True),
    ModelRule(120_000, 0, ScheduleRule(cron="*/2 * * * *"), is_plain=True),
    ModelRule(300_000, 0, ScheduleRule(cron="*/5 * * * *"), is_plain=True),
    ModelRule(60_000, 30_000, ScheduleRule(cron="* * * * *", zone=HALF.name)),
    ModelRule(90_000, 0, ScheduleRule(every_s=90)),
    ModelRule(120_000, 90_000, ScheduleRule(cron="*/2 * * * *", zone=HALF.name, spread_s=40)),
    ModelRule(30_000, 0, ScheduleRule(every_s=30), policy=SchedulePolicy(misfire="skip")),
    ModelRule(60_000, 0, ScheduleRule(every_s=60), policy=SchedulePolicy(misfire="fire_all", catchup_max=3)),
    ModelRule(20_000, 0, ScheduleRule(every_s=20), runs=RunPolicy(overlap="skip", pause_after_failures=2)),
    ModelRule(15_000, 0, ScheduleRule(every_s=15), runs=RunPolicy(overlap="buffer_one", grace_s=14)),
    ModelRule(10_000, 0, ScheduleRule(every_s=10), runs=RunPolicy(overlap="buffer_all", buffer_max=2, grace_s=25)),
    ModelRule(25_000, 0, ScheduleRule(every_s=25), runs=RunPolicy(overlap="replace")),
    ModelRule(50_000, 0, ScheduleRule(every_s=50), runs=RunPolicy(pause_after_failures=1)),
)
_BY_RECORD: Final = {rule.record: rule for rule in RULES}
_BY_CRON: Final = {rule.record.cron: rule for rule in RULES if rule.is_plain}


def rule_of_state(state: ScheduleState) -> ModelRule:
    """Return the rule by which *state* ticks."""
    return _BY_CRON[state.cron] if state.more is None else _BY_RECORD[state.more.rule]
