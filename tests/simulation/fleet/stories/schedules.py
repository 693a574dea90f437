"""Schedules as their users want them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.api.contract.instants import parse_instant
from tests.property.calendar.made_zones import HALF
from tests.property.cron_oracle import Oracle, instant

RULES: Final[tuple[Mapping[str, Any], ...]] = (
    {"cron": "* * * * *"},
    {"cron": "* * * * *"},
    {"cron": "*/2 * * * *"},
    {"cron": "*/3 * * * *"},
    {"cron": "* * * * *", "timezone": HALF.name},
    {"cron": "*/2 * * * *", "timezone": HALF.name},
    {"every": {"seconds": 45, "anchor": "2020-01-01T00:00:07Z"}},
    {"every": {"seconds": 5, "anchor": "2020-01-01T00:00:02Z"}, "overlap": "skip"},
    # Fliq gives such a call up after 3 s, and its target works on: the grace keeps the next run from it.
    {
        "every": {"seconds": 4, "anchor": "2020-01-01T00:00:01Z"},
        "overlap": "buffer_one",
        "overlap_grace_seconds": 5,
        "timeout_seconds": 3,
    },
    {"every": {"seconds": 4, "anchor": "2020-01-01T00:00:00Z"}, "overlap": "buffer_all", "buffer_max": 2},
    {"every": {"seconds": 5, "anchor": "2020-01-01T00:00:03Z"}, "overlap": "replace"},
    {"every": {"seconds": 6, "anchor": "2020-01-01T00:00:00Z"}},
)
MOVING: Final = RULES[
    -1
]  # its user changes it from each six seconds to each three, and back; every other tick is one of both
MOVES_MAX: Final = 20
OFTENER: Final = {"every": {"seconds": 3, "anchor": "2020-01-01T00:00:00Z"}}
RESUMES: Final = ("resume", "catch_up")
RUN_MS: Final = 7_000  # how long the target of a schedule with such an overlap works


@dataclass(kw_only=True)
class ScheduleOp:
    """A change of a schedule that was asked for; *outcome* as in `Operation`, *asked* what the request said."""

    kind: str
    invoked_at: float
    returned_at: float
    outcome: str
    asked: Mapping[str, Any] | None = None


@dataclass(kw_only=True)
class ScheduleStory:
    """A schedule as its user wanted it."""

    name: str
    rule: Mapping[str, Any]  # the fields of the request that say when it ticks
    ops: list[ScheduleOp] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    max_retries: int = 0  # as the last PATCH that was answered with 200 has it
    max_runs: int | None = None  # the same, of the one that was sent beside it


def instants_of(story: ScheduleStory, ended_at: float, skew_ms: float) -> list[float]:
    """
    Return the ticks that its rule names from its creation on until two minutes after *ended_at*; of one that moves, all.

    The clock of the API that created it may have been wrong by *skew_ms*.
    """
    since, until = int(story.ops[0].invoked_at - skew_ms), int(ended_at + 120_000)
    rule = OFTENER if story.rule is MOVING else story.rule
    if "every" in rule:
        period_ms, anchor_at = rule["every"]["seconds"] * 1_000, parse_instant(rule["every"]["anchor"]) or 0
        first = since + (anchor_at - since) % period_ms
        return [float(tick_at) for tick_at in range(first, until, period_ms)]
    ahead_ms = HALF.offset[0] * 1_000 if "timezone" in story.rule else 0
    found = []
    for wall_at in Oracle(story.rule["cron"]).walk(instant(since + ahead_ms), 1):
        if wall_at - ahead_ms > until:
            break
        found.append(float(wall_at - ahead_ms))
    return found


def is_of_an_old_rule(story: ScheduleStory, tick_at: float, early_ms: float) -> bool:
    """Whether it is certain that the rule that names *tick_at* was changed before it was decided: *early_ms* ahead at most."""
    if story.rule is not MOVING or tick_at % 6_000 == 0:
        return False  # a tick of both
    moves = [op for op in story.ops if op.kind == "move" and op.outcome != "fail"]
    return not any(
        op.asked is OFTENER
        and op.invoked_at - early_ms <= tick_at
        and not any(
            later.outcome == "ok" and later.asked is not OFTENER and later.returned_at + early_ms < tick_at
            for later in moves[index + 1 :]
        )
        for index, op in enumerate(moves)
    )


def before_a_tick_of_both_s(now: float, draw: random.Random) -> float:
    """
    Return how long it is until a moment just before the next tick of both rules of `MOVING`.

    An owner decides a tick 75 ms ahead, or by another lead of a scenario: mostly the change comes at that moment.
    """
    ahead_s = draw.choice((0.075, 0.075, 0.02, 0.3)) + draw.uniform(-0.004, 0.02)
    return (6.0 - now / 1000 - ahead_s) % 6.0
