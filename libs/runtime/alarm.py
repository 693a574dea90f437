"""
Alarm: one wake-up that can be set again, for a task that waits for the earliest of its instants.

It never rings early. The clock's own timers may: then the alarm waits again.
"""

from collections.abc import Callable

from libs.runtime.clock import Clock, Timer


class Alarm:
    """Calls back when the instant set last has come. Setting it again replaces the instant; ringing clears it."""

    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        """Prepare an alarm that is not set."""
        self._clock = clock
        self._callback = callback
        self._at: int | None = None
        self._timer: Timer | None = None

    def set(self, at_ms: int | None) -> None:
        """Ring at *at_ms*; at the loop's next turn when it has passed; never when it is None."""
        if at_ms == self._at and self._timer is not None:
            return
        self.cancel()
        if at_ms is not None:
            self._at = at_ms
            self._timer = self._clock.call_at(at_ms, self._ring)

    def cancel(self) -> None:
        """Do not ring."""
        self._at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        at = self._at
        if at is None:
            return
        if self._clock.now() < at:
            self._timer = self._clock.call_at(at, self._ring)
            return
        self._at = None
        self._callback()
