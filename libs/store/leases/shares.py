"""
Shares: how many partitions one member should hold. Some members may have been started before the log grew.

Each partition is divided equally among the members that know it. The share of a member is the sum of its parts, rounded up. So the
shares cover all partitions, and members that know more partitions take those that the others cannot. Partitions that some member
does not know are taken first and handed back last. Otherwise they could stay without an owner: the only members with room would be
old ones that do not know them.

While some member knows fewer partitions, the shares together can be more than all partitions. Then the last member may find none.
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
        known_by_others: how many each of the others knows; members that did not report it may be missing.
    """
    behind = _behind(partitions, members, known_by_others)
    if not behind:
        return math.ceil(partitions / members)
    parts = (1 / (members - sum(known <= part for known in behind)) for part in range(partitions))
    return math.ceil(sum(parts) - _ROUNDING)


def may_hold_none(partitions: int, members: int, known_by_others: Sequence[int]) -> bool:
    """Say whether the others may rightly hold all: there are more members than partitions, or the shares overlap (`share`)."""
    return members > partitions or bool(_behind(partitions, members, known_by_others))


def known_by_all(partitions: int, members: int, known_by_others: Sequence[int]) -> int:
    """Return how many of the *partitions* every member knows."""
    return min(_behind(partitions, members, known_by_others), default=partitions)


def _behind(partitions: int, members: int, known_by_others: Sequence[int]) -> list[int]:
    return [known for known in known_by_others if known < partitions][: members - 1]
