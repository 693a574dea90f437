"""Preview: the coming ticks of a rule, as the wall clock shows them, and what clock changes do to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from libs.domain.calendar.rule import Interval, Rule
from libs.domain.calendar.ticks import Tick, next_tick
from libs.domain.calendar.zones import Zone

PREVIEW_COUNT_MAX: Final = 100

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  a wall clock's, which knows no zone


@dataclass(frozen=True, slots=True, kw_only=True)
class ComingTick:
    """
    One line of a preview.

    Args:
        at: the tick, in milliseconds since 1970.
        local: what the wall clock shows then, such as ``2026-03-29T03:00:00+02:00[Europe/Berlin]``.
        nominal_local: the wall minute that the cron names, such as ``2026-03-29T02:30``; of an interval, that of the tick.
        note: ``gap``: the wall clock never shows that minute; ``fold``: it shows it twice; else None.
    """

    at: int
    local: str
    nominal_local: str
    note: Literal["gap", "fold"] | None


def preview(rule: Rule, at: int, count: int) -> list[ComingTick]:
    """
    Return the next ticks of *rule* after *at*, at most *count* (1 to 100); fewer if there are no more.

    Raises:
        ValueError: *count* is out of range, or *at* is not an instant in 1970-2199.
    """
    if not 1 <= count <= PREVIEW_COUNT_MAX:
        raise ValueError(f"a preview has 1 to {PREVIEW_COUNT_MAX} ticks")
    found: list[ComingTick] = []
    while len(found) < count and (tick_at := rule.next_after(at)) is not None:
        found.append(_coming(rule, tick_at))
        at = tick_at
    return found


def _coming(rule: Rule, at: int) -> ComingTick:
    if isinstance(rule.when, Interval):
        wall = _EPOCH + timedelta(milliseconds=at)
        text = wall.isoformat(timespec="milliseconds" if at % 1_000 else "seconds")
        return ComingTick(at=at, local=f"{text}+00:00[UTC]", nominal_local=text, note=None)
    zone, second = rule.when.zone, at // 1_000
    tick = next_tick(rule.when, second, second)
    assert tick is not None  # noqa: S101  it was found a moment ago
    return ComingTick(
        at=at,
        local=zone.local_text(second),
        nominal_local=(_EPOCH + timedelta(minutes=tick.minute)).isoformat(timespec="minutes"),
        note=_note(zone, tick),
    )


def _note(zone: Zone, tick: Tick) -> Literal["gap", "fold"] | None:
    if tick.second + zone.offset_at(tick.second) != tick.minute * 60:
        return "gap"
    return "fold" if len(zone.instants(tick.minute * 60)) > 1 else None
