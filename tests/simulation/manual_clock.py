"""Time and chance that a test chooses: a clock that stands still until it is moved, and random numbers by seed."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable

from libs.runtime.clock import Timer


class ManualClock:
    """
    A clock that stands still until it is moved; for tests and simulations.

    Sleepers wake in the order of their instants, and of their arrival where these are equal.
    """

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._now_ms

    def now_s(self) -> float:
        return self._now_ms / 1_000

    def signed_at_s(self) -> int:
        return self._now_ms // 1_000

    async def sleep_until(self, at_ms: int) -> None:
        if at_ms <= self._now_ms:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (at_ms, next(self._order), woken))
        await woken

    def steady(self) -> int:
        return self._now_ms

    async def pause(self, ms: int) -> None:
        await self.sleep_until(self._now_ms + ms)

    async def beat(self, ms: int) -> float:
        await self.pause(ms)
        return 0.0

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        loop = asyncio.get_running_loop()
        if at_ms <= self._now_ms:
            return loop.call_soon(callback)
        woken = loop.create_future()
        woken.add_done_callback(lambda done: None if done.cancelled() else callback())
        heapq.heappush(self._sleepers, (at_ms, next(self._order), woken))
        return woken

    @property
    def sleeper_count(self) -> int:
        return sum(not woken.done() for _, _, woken in self._sleepers)

    def next_at(self) -> int | None:
        """The instant of the first sleeper, for simulations that jump from event to event; None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)  # its task was cancelled
        return self._sleepers[0][0] if self._sleepers else None

    def set(self, at_ms: int) -> None:
        """
        Move to *at_ms* and release everybody who waited for an instant up to it; they run when the caller awaits.

        Raises:
            ValueError: *at_ms* lies before now; a clock never goes back.
        """
        if at_ms < self._now_ms:
            raise ValueError(f"the clock stands at {self._now_ms} and cannot go back to {at_ms}")
        while (first_at := self.next_at()) is not None and first_at <= at_ms:
            _, _, woken = heapq.heappop(self._sleepers)
            woken.set_result(None)
        self._now_ms = at_ms

    async def advance(self, ms: int) -> None:
        """
        Let *ms* milliseconds pass, stopping at every instant somebody waits for, so that a task which sleeps again
        within the span wakes at the right moments. Between two stops the ready tasks run until they wait again.
        """
        until_at = self._now_ms + ms
        await self.settle()
        while (first_at := self.next_at()) is not None and first_at <= until_at:
            self.set(first_at)
            await self.settle()
        self.set(until_at)
        await self.settle()

    async def settle(self, turns: int = 20) -> None:
        """Give the other tasks *turns* turns of the loop: enough for chains of that many hand-overs without I/O."""
        for _ in range(turns):
            await asyncio.sleep(0)


class SeededEntropy:
    """The same numbers for the same seed; for tests and simulations, never for real secrets."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def jitter(self) -> float:
        return self._random.random()

    def entropy(self, n: int) -> bytes:
        return self._random.randbytes(n)
