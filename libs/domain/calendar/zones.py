"""
Zones: what a clock on the wall shows at an instant, by a table of transitions.

A *transition* is an instant from which another offset from UTC holds. If the offset grows, the wall clock jumps: the wall
minutes between are a *gap* and never exist. If it shrinks, the wall clock shows minutes again: they are a *fold* and exist
twice. The table is data. `libs/runtime/zone_data.py` reads it from the tzdata package; nothing here opens a file.

A *segment* is the time from one transition to the next. Inside it the wall clock runs as UTC does. `high[i]` is how far the
wall clock had come before segment i began. So, where segment i begins with `start = at[i] + offset[i]`:

    high[i] < start   the wall seconds from high[i] to start are a gap
    high[i] > start   the wall seconds from start to high[i] are a fold, and segment i shows them for the second time
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

BEGINNING: Final = -(1 << 40)  # seconds; before every instant that is asked about
OFFSET_MAX_S: Final = 26 * 3_600  # no offset is larger: RFC 8536 allows less than 26 hours

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  a wall clock's, which knows no zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """
    A time zone. Made by :func:`zone_of`.

    Args:
        name: as the zone data spells it.
        version: of the zone data, such as ``2026f``.
        at: UTC second from which each offset holds, rising; the first is `BEGINNING`.
        offset: seconds to add to UTC; neighbours differ.
        high: wall second that the clock had reached before each segment; of the first, its own start.
    """

    name: str
    version: str
    at: tuple[int, ...]
    offset: tuple[int, ...]
    high: tuple[int, ...]

    def segment(self, second: int) -> int:
        """Return the number of the segment that the UTC second lies in."""
        return max(bisect_right(self.at, second) - 1, 0)

    def offset_at(self, second: int) -> int:
        """Return the offset that holds at the UTC second."""
        return self.offset[self.segment(second)]

    def local_text(self, second: int) -> str:
        """Return what a clock on the wall shows at the UTC second, such as ``2026-03-29T03:00:00+02:00[Europe/Berlin]``."""
        offset = self.offset_at(second)
        wall = _EPOCH + timedelta(seconds=second + offset)
        return f"{wall.isoformat()}{_offset_text(offset)}[{self.name}]"

    def instants(self, wall_second: int) -> list[int]:
        """Return the UTC seconds at which the wall clock shows *wall_second*: one, none (gap) or two (fold)."""
        found = []
        first, last = self.segment(wall_second - OFFSET_MAX_S), self.segment(wall_second + OFFSET_MAX_S)
        for index in range(first, last + 1):
            second = wall_second - self.offset[index]
            if self.segment(second) == index:
                found.append(second)
        return found


def zone_of(name: str, version: str, offset: int, changes: Sequence[tuple[int, int]]) -> Zone:
    """
    Return the zone of a table: *offset* seconds at first, then (UTC second, offset from then on), rising.

    Raises:
        ValueError: the instants do not rise, a change changes nothing, or an offset has 26 hours or more.
    """
    at = [BEGINNING, *(second for second, _ in changes)]
    offsets = [offset, *(each for _, each in changes)]
    if any(earlier >= later for earlier, later in pairwise(at)) or any(a == b for a, b in pairwise(offsets)):
        raise ValueError("the transitions of a zone rise, and each changes the offset")
    if any(abs(each) >= OFFSET_MAX_S for each in offsets):
        raise ValueError("an offset has less than 26 hours")
    high = [at[0] + offset]
    for index in range(1, len(at)):
        high.append(max(high[-1], at[index] + offsets[index - 1]))
    return Zone(name=name, version=version, at=tuple(at), offset=tuple(offsets), high=tuple(high))


def _offset_text(offset: int) -> str:
    minutes, seconds = divmod(abs(offset), 60)
    text = f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{seconds:02}" if seconds else text


UTC: Final = zone_of("UTC", "", 0, ())
