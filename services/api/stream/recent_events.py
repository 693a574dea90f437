"""
Recent events: what the tail has told of one partition lately, kept for the streams. Pure.

        begin                     position
          |                          |
    ......[ ][x][ ][ ][x][x][ ][ ][ ]      every record up to `position` was judged; of those behind `begin` the events are kept

Events are kept of the accounts that somebody listens to; of each from the position on at which its first stream came.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from libs.events import Claim
from services.api.stream.place import Place
from services.api.stream.told_events import Told


class Placed(NamedTuple):
    """An event, and the place that a stream has reached with it."""

    place: Place
    told: Told


class RecentEvents:
    """The recent events of one partition, at most *most*."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: deque[Placed] = deque()
        self._from: dict[str, int] = {}  # account -> the position behind which its events are kept
        self.begin = -1
        self.position = -1
        self.claim: Claim | None = None
        self.has_begun = False  # the tail has said where it is
        self.judged_to = -1  # the end of what is being judged; an account that comes meanwhile may be left out of it

    @property
    def place(self) -> Place:
        """How far the tail is."""
        return self.position, self.claim

    def start(self, place: Place) -> None:
        """Note where the tail begins, or that it begins again there."""
        if not self.has_begun:
            self.position, self.claim = place
            self.begin = self.position
            self.has_begun = True

    def add(self, found: list[Placed], place: Place) -> None:
        """Keep the events *found*; all records up to *place* are judged."""
        kept = self._kept
        kept += found
        while len(kept) > self._most:
            self.begin = kept.popleft().place[0]
        self.position, self.claim = place

    def listen(self, account: str) -> None:
        """Keep events of *account* from here on."""
        self._from[account] = max(self.position, self.judged_to)

    def forget(self, account: str) -> None:
        """Keep no events of *account* any more."""
        self._from.pop(account, None)

    def kept_from(self, account: str) -> int:
        """Return the position behind which all events of *account* are kept, up to `position`."""
        return max(self.begin, self._from.get(account, self.position))

    def behind(self, position: int, account: str) -> list[Placed]:
        """Return the events of *account* behind *position*, the oldest first."""
        found: list[Placed] = []
        for each in reversed(self._kept):
            if each.place[0] <= position:
                break
            if each.told.facts.account == account:
                found.append(each)
        return found[::-1]
