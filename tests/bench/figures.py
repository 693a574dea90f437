"""Figures: shares of a sorted run, medians, and how they are written."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence


def share(ordered: Sequence[float], part: float) -> float:
    """Return the value below which *part* of *ordered* lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return p50, p99 and max of *values*, at least one."""
    ordered = sorted(values)
    return {"p50": share(ordered, 0.5), "p99": share(ordered, 0.99), "max": ordered[-1]}


def median(values: Iterable[float]) -> float:
    """Return the middle value."""
    return statistics.median(values)


def medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the middle value of every name."""
    return {name: median(run[name] for run in runs) for name in runs[0]}


def range_of(values: Iterable[float], digits: int = 0) -> str:
    """Return `least-most`."""
    ordered = sorted(values)
    return f"{ordered[0]:,.{digits}f}-{ordered[-1]:,.{digits}f}"
