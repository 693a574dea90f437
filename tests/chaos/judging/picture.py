"""Picture: lateness over time as SVG, the faults as bands behind it. The scale is logarithmic: 1 ms and a minute both show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

WIDTH, HEIGHT = 1_200, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 40
LEAST_MS, MOST_MS = 0.5, 120_000.0
POINTS_MAX: Final = 8_000  # enough to see, and small enough to open
_LINES: Final = ((1, "1 ms"), (10, "10 ms"), (100, "100 ms"), (1_000, "1 s"), (10_000, "10 s"), (60_000, "1 min"))


def draw(points: Sequence[tuple[float, float]], faults: Sequence[tuple[str, float, float]], *, title: str) -> str:
    """
    Return the picture.

    Args:
        points: (s since the start, ms late) of each job's first call.
        faults: (kind, from s, until s).
    """
    length_s = max([1.0, *[at for at, _ in points], *[until for *_, until in faults]])

    def x(at_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * max(0.0, min(1.0, at_s / length_s))

    def y(late_ms: float) -> float:
        within = min(MOST_MS, max(LEAST_MS, late_ms))
        share = math.log(within / LEAST_MS) / math.log(MOST_MS / LEAST_MS)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">Lateness of first calls: {escape(title)}</text>',
    ]
    for kind, at_s, until_s in faults:
        width = max(1.0, x(until_s) - x(at_s))
        parts.append(
            f'<rect x="{x(at_s):.1f}" y="{TOP}" width="{width:.1f}" height="{HEIGHT - TOP - BOTTOM}" '
            f'fill="#d9534f" fill-opacity="0.15"><title>{escape(kind)}, {at_s:.0f} s to {until_s:.0f} s</title></rect>'
        )
    for late_ms, said in _LINES:
        parts.append(f'<path d="M{LEFT} {y(late_ms):.1f}H{WIDTH - RIGHT}" stroke="#cccccc"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(late_ms) + 4:.1f}" text-anchor="end">{said}</text>')
    step_s = next(
        each for each in (5, 10, 30, 60, 120, 300, 600, 3_600, 86_400) if length_s / each <= 14 or each == 86_400
    )
    for number in range(int(length_s // step_s) + 1):
        at_s = number * step_s
        parts.append(f'<text x="{x(at_s):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{at_s} s</text>')
    every = max(1, len(points) // POINTS_MAX)
    late_first = sorted(points, key=lambda each: -each[1])
    shown = [*late_first[: POINTS_MAX // 4], *late_first[POINTS_MAX // 4 :: every]]  # what is late is never left out
    dots = "".join(f"M{x(at_s):.1f} {y(late_ms):.1f}h.1" for at_s, late_ms in shown)
    parts.append(f'<path d="{dots}" stroke="#1f6fb2" stroke-width="2.4" stroke-linecap="round" stroke-opacity="0.5"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
