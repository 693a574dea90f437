"""
Shown positions: how far a role has read, told to the log's own tools about once a second.

For people and autoscalers only. Nothing is ever read back, so a log that does not take it costs a line in ours, once.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import structlog

from libs.log.port import LogError
from libs.runtime.lifecycle import StartStop

EVERY_MS: Final = 1_000
AGAIN_EVERY: Final = (
    60  # rounds after which even what did not change is told: logs forget groups that are silent for days
)

_log = structlog.get_logger("fliq.log")

Show = Callable[[str, Mapping[int, int]], Awaitable[None]]


class Clock(Protocol):
    """What waits for the next round (libs/runtime/clock.py)."""

    async def pause(self, ms: int, /) -> None:
        """Return after *ms*."""


class ShownPositions(StartStop):
    """Tells the positions of one role for as long as it is started."""

    def __init__(self, group: str, positions: Callable[[], Mapping[int, int]], show: Show, *, clock: Clock) -> None:
        """Tell *show*, under the name *group*, what *positions* says: the last position read, by partition."""
        super().__init__()
        self._group = group
        self._positions = positions
        self._show = show
        self._clock = clock
        self._shown: dict[int, int] = {}
        self._is_failing = False

    async def on_start(self) -> None:
        self.spawn(self._run(), name=f"shown positions {self._group}")

    async def _run(self) -> None:
        rounds = 0
        while True:
            await self._clock.pause(EVERY_MS)
            rounds += 1
            await self.tell(everything=rounds % AGAIN_EVERY == 0)

    async def tell(self, *, everything: bool = False) -> None:
        """Tell what changed since the last time, or *everything*; a failure is logged once, until it works again."""
        positions = self._positions()
        news = {part: at for part, at in positions.items() if everything or self._shown.get(part) != at}
        if not news:
            return
        try:
            await self._show(self._group, news)
        except LogError as error:
            if not self._is_failing:
                self._is_failing = True
                _log.warning("log.positions_not_shown", group=self._group, reason=str(error))
            return
        self._is_failing = False
        self._shown = dict(positions)
