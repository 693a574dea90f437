"""
Round portion: how many calls a service starts in one round of the event loop.

What arrives is read when the loop has ended its round. So if rounds are long, the slot of a call that was answered stands empty.
In each round a service starts a few calls only: first those that follow a call that has ended, in the order in which their slots
became free, then those that wait for a slot.

If other work makes rounds long, a few calls in each would be too little. Then there is one for each millisecond of the last round,
up to `LONG` times as many.

Cost: one callback of the loop for a round in which calls start, and a future for a call that waits for the next round.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from libs.runtime.clock import Clock

LONG: Final = 2


class RoundPortion:
    """The calls that may still start in this round, and those that have a slot and wait for the next one."""

    def __init__(self, per_round: int, clock: Clock, on_round: Callable[[], None]) -> None:
        """Allow *per_round* calls in a short round; *on_round* is called when a round begins in which more may start."""
        self._per_round = per_round
        self._clock = clock
        self._on_round = on_round
        self._size = per_round
        self._used = 0.0
        self._began_at = 0
        self._next: asyncio.Handle | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_used_up(self) -> bool:
        """Whether a call that has no slot yet may not start in this round."""
        return self._used >= self._size or bool(self._waiting)

    def use(self, count: float) -> None:
        """Count so many calls that start."""
        self._used += count
        if self._next is None:
            self._began_at = self._clock.steady()
            self._next = asyncio.get_running_loop().call_soon(self._begin_round)

    def turn(self) -> asyncio.Future[None] | None:
        """Return what the next call that has a slot waits for before it starts; None if it may start in this round."""
        if not self.is_used_up:
            self.use(1)
            return None
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        return turn

    def stop(self) -> None:
        """Let nothing more start."""
        self._size = 0
        if self._next is not None:
            self._next.cancel()

    def _begin_round(self) -> None:
        self._next = None
        took_ms = self._clock.steady() - self._began_at
        self._size = min(max(self._per_round, took_ms), LONG * self._per_round)
        self._used = 0.0
        while self._waiting and self._used < self._size:
            turn = self._waiting.popleft()
            if not turn.done():  # it is if its task was cancelled
                turn.set_result(None)
                self.use(1)
        if not self.is_used_up:
            self._on_round()
