"""Virtual clock: instants stand still until they are moved; pauses and pacing go on in real time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any, Final

from libs.runtime.clock import SteadyClock, Timer
from libs.store.health.clock_check import ClockCheck
from services.scheduler.horizon import LOOK_EVERY_MS

GATHER_MAX_MS: Final = 25  # pauses up to this long only let work gather, which saves nothing here
_SHORT_S: Final = 0.001


class VirtualClock(SteadyClock):
    """
    A clock that stands at an instant until `set` moves it.

    What waits for an instant (`sleep_until`, `call_at`) is woken when the clock gets there. Pauses take real time; but the look of
    a scheduler for timers beyond its horizon comes at once after a jump, since the jump may have gone past the horizon.

    Args:
        at_ms: where it stands at first.
    """

    def __init__(self, at_ms: int) -> None:
        super().__init__()
        self._at_ms = at_ms
        self._order = itertools.count()
        self._timers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._looks: set[asyncio.Future[None]] = set()

    def now(self) -> int:
        return self._at_ms

    def now_s(self) -> float:
        return self._at_ms / 1_000

    def signed_at_s(self) -> int:
        return super().now() // 1_000

    def step_ms(self) -> int:
        return 0

    def adopt(self) -> None:
        return None

    async def sleep_until(self, at_ms: int) -> None:
        if at_ms <= self._at_ms:
            await asyncio.sleep(0)
            return
        await self._waiting(at_ms)

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        if at_ms <= self._at_ms:
            return asyncio.get_running_loop().call_soon(callback)
        future = self._waiting(at_ms)
        future.add_done_callback(lambda done: None if done.cancelled() else callback())
        return future

    async def pause(self, ms: int) -> None:
        if ms <= GATHER_MAX_MS:
            await asyncio.sleep(min(max(ms, 0) / 1_000, _SHORT_S))
        else:
            await super().pause(ms)

    async def beat(self, ms: int) -> float:
        if ms != LOOK_EVERY_MS:
            return await super().beat(ms)
        look = asyncio.get_running_loop().create_future()
        self._looks.add(look)
        try:
            await asyncio.wait((look,), timeout=ms / 1_000)
        finally:
            self._looks.discard(look)
        return 0.0

    def next_at(self) -> int | None:
        """Return the first instant that somebody waits for; None if nobody waits."""
        while self._timers and self._timers[0][2].done():
            heapq.heappop(self._timers)  # taken back
        return self._timers[0][0] if self._timers else None

    def set(self, at_ms: int) -> None:
        """Move to *at_ms*, not back, and wake who waits for an instant up to it; they run when the caller awaits."""
        self._at_ms = max(at_ms, self._at_ms)
        while (first_at := self.next_at()) is not None and first_at <= self._at_ms:
            heapq.heappop(self._timers)[2].set_result(None)
        for look in self._looks:
            if not look.done():
                look.set_result(None)

    def _waiting(self, at_ms: int) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (at_ms, next(self._order), future))
        return future


class NoClockCheck(ClockCheck):
    """The check of a clock that is wrong on purpose."""

    def __init__(self, pool: Any, clock: SteadyClock) -> None:
        super().__init__(pool, clock)
        self._reason = None

    async def compare(self) -> None:
        return None
