"""
A Fliq whose keepers of history and log always have work, and work only while a file is there:

    python -m tests.bench.costs.busy_keepers all

It is this build. The keepers look every second instead of every minute, and the days for which the log is kept are seconds, so what
lives is carried over again and again, and the records before are deleted. While the file `FLIQ_BENCH_SWITCH` is not there, a keeper
stays in its next rest.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from libs.runtime.clock import Clock
from services.scheduler.history import history_keeper, log_keeper

LOOK_EVERY_MS = 1_000
DAY_MS = 10_000  # of the log
HELD_MS = 50  # between two looks for the file


class HeldClock:
    """A clock whose pauses last until *switch* is there."""

    def __init__(self, clock: Clock, switch: Path) -> None:
        """Tell the time of *clock*."""
        self._clock = clock
        self._switch = switch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    async def beat(self, ms: int) -> float:
        return await self._clock.beat(ms)

    async def pause(self, ms: int) -> None:
        """Return after *ms*, once the file is there."""
        await self._clock.pause(ms)
        while not self._switch.exists():
            await self._clock.pause(HELD_MS)


def hold_keepers(switch: Path) -> None:
    """Change this process into one whose keepers work while *switch* is there."""
    history_keeper.LOOK_EVERY_MS = log_keeper.LOOK_EVERY_MS = LOOK_EVERY_MS  # type: ignore[misc]
    log_keeper.DAY_MS = DAY_MS  # type: ignore[misc]
    for keeper in (history_keeper.HistoryKeeper, log_keeper.LogKeeper):
        _hold(keeper, switch)


def _hold(keeper: Any, switch: Path) -> None:
    make = keeper.__init__

    def make_held(self: Any, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        self._clock = HeldClock(self._clock, switch)

    keeper.__init__ = make_held


if __name__ == "__main__":
    hold_keepers(Path(os.environ["FLIQ_BENCH_SWITCH"]))
    from services.__main__ import main

    sys.exit(main())
