"""Schedules as their users want them."""

from __future__ import annotations

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
    {"every": {"seconds": 4, "anchor": "2020-01-01T00:00:01Z"}, "overlap": "buffer_one"},
    {"every": {"seconds": 4, "anchor": "2020-01-01T00:00:00Z"}, "overlap": "buffer_all", "buffer_max": 2},
)
RESUMES: Final = ("resume", "catch_up")
RUN_MS: Final = 7_000  # how long the target of a schedule with such an overlap works


@dataclass(kw_only=True)
class ScheduleOp:
    """A change of a schedule that was asked for; *outcome* as in `Operation`."""

    kind: str
    invoked_at: float
    returned_at: float
    outcome: str


@dataclass(kw_only=True)
class ScheduleStory:
    """A schedule as its user wanted it."""

    name: str
    rule: Mapping[str, Any]  # the fields of the request that say when it ticks
    ops: list[ScheduleOp] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    max_retries: int = 0  # as the last PATCH that was answered with 200 has it
    max_runs: int | None = None  # the same, of the one that was sent beside it


def instants_of(story: ScheduleStory, ended_at: float) -> list[float]:
    """Return the ticks that its rule names from its creation on until two minutes after *ended_at*."""
    since, until = int(story.ops[0].invoked_at), int(ended_at + 120_000)
    if "every" in story.rule:
        period_ms, anchor_at = story.rule["every"]["seconds"] * 1_000, parse_instant(story.rule["every"]["anchor"]) or 0
        first = since + (anchor_at - since) % period_ms
        return [float(tick_at) for tick_at in range(first, until, period_ms)]
    ahead_ms = HALF.offset[0] * 1_000 if "timezone" in story.rule else 0
    found = []
    for wall_at in Oracle(story.rule["cron"]).walk(instant(since + ahead_ms), 1):
        if wall_at - ahead_ms > until:
            break
        found.append(float(wall_at - ahead_ms))
    return found
