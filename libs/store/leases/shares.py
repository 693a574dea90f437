"""
Shares: how many partitions are one member's to hold, also while some were started before the log grew.

Each partition is divided among the members that know it; a share is the sum of the parts, rounded up. So the shares of all make up
for all partitions, and whoever knows more takes what the others cannot. Partitions that somebody does not know are taken first and
handed back last; otherwise they could be left over, with room only where nobody knows them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_ROUNDING: Final = 1e-9  # of a sum of fractions


def share(partitions: int, members: int, known_by_others: Sequence[int]) -> int:
    """
    Return how many partitions a member should hold.

    Args:
        partitions: how many it knows.
        members: how many share them, it included.
        known_by_others: how many each of the others knows; those that did not say may be missing.
    """
    behind = _behind(partitions, members, known_by_others)
    if not behind:
        return math.ceil(partitions / members)
    parts = (1 / (members - sum(known <= part for known in behind)) for part in range(partitions))
    return math.ceil(sum(parts) - _ROUNDING)


def known_by_all(partitions: int, members: int, known_by_others: Sequence[int]) -> int:
    """Return how many of the *partitions* every member knows."""
    return min(_behind(partitions, members, known_by_others), default=partitions)


def _behind(partitions: int, members: int, known_by_others: Sequence[int]) -> list[int]:
    return [known for known in known_by_others if known < partitions][: members - 1]
