"""Activity picture: how the jobs of the last 24 hours ended, an hour a bar. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

HEIGHT: Final = 96  # of the highest bar, in the units of the picture
WIDTH: Final = 16  # of a bar
STEP: Final = 20  # from one bar to the next
ENDS: Final = ("success", "cancelled", "failed")  # from below


class Part(NamedTuple):
    """The jobs of an hour that ended alike."""

    end: str
    jobs: int
    y: float
    height: float


class Bar(NamedTuple):
    """An hour."""

    at: str
    x: int
    parts: tuple[Part, ...]
    total: int


def bars_of(hours: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Return a bar for each of *hours*; the highest is `HEIGHT` high, and what happened at all is seen."""
    most = max((sum(hour[end] for end in ENDS) for hour in hours), default=0)
    bars = []
    for number, hour in enumerate(hours):
        parts, top = [], float(HEIGHT)
        for end in ENDS:
            if hour[end]:
                height = max(HEIGHT * hour[end] / most, 2.0)
                top -= height
                parts.append(Part(end, hour[end], round(top, 1), round(height, 1)))
        bars.append(Bar(hour["at"], number * STEP, tuple(parts), sum(hour[end] for end in ENDS)))
    return bars
