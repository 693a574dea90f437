"""Schedules as their users want them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.property.calendar.made_zones import HALF

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
