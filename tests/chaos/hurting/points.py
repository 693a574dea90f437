"""
The crash points, and how to reach each: the table that the chaos tests walk through.

A test holds its names against those used in the code, both ways. `when` says what a life must go through to pass the point:
`start` it passes it before it is ready · `load` under the usual load · `tick` when a schedule ticks · `stop` when told to stop.
`passes` are the bounds of the pass at which the process dies, drawn from the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple


class Point(NamedTuple):
    """How to reach a crash point."""

    when: Literal["start", "load", "tick", "stop"]
    passes: tuple[int, int]


_START: Final = Point("start", (1, 4))  # four partitions
_OFTEN: Final = Point("load", (3, 30))
_SELDOM: Final = Point("load", (1, 5))

POINTS: Final[Mapping[str, Point]] = {
    "api.before_reserve": _SELDOM,
    "api.after_reserve": _SELDOM,
    "api.before_append": _OFTEN,
    "api.after_append": _OFTEN,
    "api.before_reply": _OFTEN,
    "api.before_cancel_append": _SELDOM,
    "api.after_cancel_append": _SELDOM,
    "api.after_cancel_decision": _SELDOM,
    "dispatcher.after_snapshot": _START,
    "dispatcher.before_send": _OFTEN,
    "dispatcher.after_send": _OFTEN,
    "dispatcher.after_append": _OFTEN,
    "log.before_commit": Point("load", (5, 60)),
    "log.after_commit": Point("load", (5, 60)),
    "scheduler.before_claim": _START,
    "scheduler.after_claim": _START,
    "scheduler.deciding": _START,
    "scheduler.after_read": Point("load", (5, 60)),
    "scheduler.before_due": _OFTEN,
    "scheduler.after_due": _OFTEN,
    "scheduler.before_retry": _SELDOM,
    "scheduler.after_retry": _SELDOM,
    "scheduler.before_finish": _OFTEN,
    "scheduler.after_finish": _OFTEN,
    "scheduler.before_cancel": _SELDOM,
    "scheduler.after_cancel": _SELDOM,
    "scheduler.before_tick": Point("tick", (1, 1)),
    "scheduler.after_tick": Point("tick", (1, 1)),
    "scheduler.before_hand_off": Point("stop", (1, 4)),
    "scheduler.after_hand_off": Point("stop", (1, 1)),
    "store.before_flush": Point("load", (5, 60)),
    "store.after_flush": Point("load", (5, 60)),
    "webhooks.before_send": _SELDOM,
    "webhooks.after_send": _SELDOM,
    "webhooks.after_append": _SELDOM,
    "webhooks.after_fan_out": _SELDOM,
    "webhooks.before_fan_out_save": _SELDOM,
    "webhooks.after_snapshot": _START,
}

# One database and one chain of lives each: every life recovers from the crash before it and dies at a point of its own.
GROUPS: Final = ("api", "dispatcher", "log", "scheduler", "store", "webhooks")


def of(group: str) -> list[str]:
    """Return the names of a group's points."""
    return [name for name in POINTS if name.startswith(group + ".")]
