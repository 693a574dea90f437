"""
Schedules with rules of their own: a row for each kind, which says what is asked for and what its user does with it.

They tick every few seconds, so that every fault meets ticks. A story ends when `load.is_over` says so.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.judging.history import SchedulePlan

if TYPE_CHECKING:
    from tests.chaos.load import Load

Story = Callable[["Load", str, str, random.Random], Coroutine[Any, Any, None]]
PHASES: Final = ("2020-01-01T00:00:00Z", "2020-01-01T00:00:01Z", "2020-01-01T00:00:02Z", "2020-01-01T00:00:03Z")
LOOK_S: Final = 1.0
# Of a target whose runs meet. A partition that goes to another dispatcher waits for the calls under way: longer ones make others
# late.
LONG_MS: Final = 1_400
LONG: Final = f"slow/{LONG_MS}"


async def left_alone(load: Load, name: str, schedule_id: str, draw: random.Random) -> None:
    """Let it tick."""


async def moved(load: Load, name: str, schedule_id: str, draw: random.Random) -> None:
    """Change when it ticks, at random instants and so around its ticks; somebody else changes another field at the same time."""
    turn = 0
    while not load.is_over():
        await asyncio.sleep(draw.uniform(0.5, 4.0))
        turn += 1
        rule = {"every": {"seconds": 4, "anchor": PHASES[turn % len(PHASES)]}}
        path = f"/v1/schedules/{schedule_id}"
        await asyncio.gather(
            load.change_schedule(name, schedule_id, rule),
            load.surely(
                "change_schedule", name, "PATCH", path, {"max_retries": turn % 20}, job_id=schedule_id,
                asked={"max_retries": turn % 20},
            ),
        )  # fmt: skip


def paused(*, catch_up: bool) -> Story:
    """Pause it just before a tick or at any time, and resume it."""

    async def pauses(load: Load, name: str, schedule_id: str, draw: random.Random) -> None:
        path = f"/v1/schedules/{schedule_id}"
        while not load.is_over():
            until_full_s = -time.time() % 3
            await asyncio.sleep(draw.choice((until_full_s + 3 - draw.uniform(0, 0.2), draw.uniform(1, 5))))
            await load.surely("pause", name, "POST", f"{path}/pause", {}, job_id=schedule_id)
            await asyncio.sleep(draw.uniform(0.5, 6))
            fields = {"catch_up": catch_up}
            await load.surely("resume", name, "POST", f"{path}/resume", fields, job_id=schedule_id, asked=fields)

    return pauses


async def resumed(load: Load, name: str, schedule_id: str, draw: random.Random) -> None:
    """Resume it whenever it has paused itself."""
    path = f"/v1/schedules/{schedule_id}"
    while not load.is_over():
        await asyncio.sleep(LOOK_S)
        if (await load.show_schedule(name, schedule_id)).get("status") == "paused":
            await load.surely("resume", name, "POST", f"{path}/resume", {}, job_id=schedule_id, asked={})


async def run_by_hand(load: Load, name: str, schedule_id: str, draw: random.Random) -> None:
    """Have it run now, and make up for all its ticks so far: each of them has a job already, or gets one."""
    path, began_at = f"/v1/schedules/{schedule_id}", load.instant_in(0)
    while not load.is_over():
        await asyncio.sleep(draw.uniform(1, 6))
        await load.do("run_schedule", name, "POST", f"{path}/run", {})
        span = {"since": load.text_of(began_at), "before": load.text_of(load.instant_in(-2)), "pace_seconds": 0.1}
        await load.do("backfill", name, "POST", f"{path}/backfill", span, job_id=schedule_id)


@dataclass(frozen=True, kw_only=True)
class ScheduleKind:
    """
    A kind of schedules.

    Args:
        fields: of the request, besides what to call.
        target, run_ms: the path at the sink, and how long it works.
    """

    fields: Mapping[str, Any]
    target: str = "ok"
    run_ms: int = 0
    story: Story = left_alone


def _every(seconds: int, **fields: Any) -> dict[str, Any]:
    return {"every": {"seconds": seconds, "anchor": PHASES[0]}, **fields}


_AGAIN: Final = {"max_retries": 1, "backoff": "fixed", "delay_seconds": 0.3, "jitter": "none"}
_ALL: Final = {"misfire": "fire_all", "catchup_window_seconds": 3_600, "catchup_max": 500}

SCHEDULE_KINDS: Final[dict[str, ScheduleKind]] = {
    "every-minute": ScheduleKind(fields={"cron": "* * * * *"}),
    "zoned": ScheduleKind(fields={"cron": "*/2 * * * *", "timezone": "Asia/Kathmandu"}),  # +05:45: odd minutes of UTC
    "latest": ScheduleKind(fields=_every(5)),
    "only-in-time": ScheduleKind(fields=_every(6, misfire="skip")),
    "all": ScheduleKind(fields=_every(4, **_ALL)),
    "all-of-a-pause": ScheduleKind(fields=_every(3, **_ALL), story=paused(catch_up=True)),
    "pauses": ScheduleKind(fields=_every(3), story=paused(catch_up=False)),
    "moves": ScheduleKind(fields=_every(4), story=moved),
    "by-hand": ScheduleKind(fields=_every(5), story=run_by_hand),
    "five-times": ScheduleKind(fields=_every(3, max_runs=5)),
    "spread": ScheduleKind(fields=_every(8, spread={"seconds": 3, "by": "run"})),
    "skips": ScheduleKind(fields=_every(1, overlap="skip"), target=LONG, run_ms=LONG_MS),
    # Fliq gives such a call up after a second, and its target works on: the grace keeps the next run from it.
    "outlasts": ScheduleKind(
        fields=_every(1, overlap="skip", overlap_grace_seconds=1, timeout_seconds=1), target=LONG, run_ms=LONG_MS
    ),
    "keeps-one": ScheduleKind(fields=_every(1, overlap="buffer_one"), target=LONG, run_ms=LONG_MS),
    "keeps-all": ScheduleKind(fields=_every(1, overlap="buffer_all", buffer_max=2), target=LONG, run_ms=LONG_MS),
    "takes-over": ScheduleKind(fields=_every(1, overlap="replace"), target=LONG, run_ms=LONG_MS),
    "gives-up": ScheduleKind(
        fields=_every(2, overlap="skip", pause_after_failures=2, retry=_AGAIN), target="status/500", story=resumed
    ),
}


async def tell(load: Load, name: str, kind: ScheduleKind, draw: random.Random) -> None:
    """Make a schedule of *kind* and live its life."""
    load.schedules[name] = SchedulePlan(name=name, fields=kind.fields, run_ms=kind.run_ms)
    body = {"url": f"{load.sink_url}/{kind.target}/{name}", "body": name, **kind.fields}
    created = await load.do("create_schedule", name, "POST", "/v1/schedules", body)
    if created.id is not None:
        await kind.story(load, name, created.id, draw)
