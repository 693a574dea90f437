"""
Pace: the least time between two rounds of a loop that other tasks wake.

Waking an idle process costs several times what a small piece of work costs once it runs (measured: 50 µs alone, 15 µs among
others). A loop with one round for every record would spend most of its time being woken. So it takes all that has gathered: the
first round after a pause begins at once, the next one not before *every_ms* have passed.
"""

from libs.runtime.clock import Clock


class Pace:
    """Holds a loop back to one turn in *every_ms*; loops that share it and wait at the same time take that turn together."""

    __slots__ = ("_clock", "_every_ms", "_next_at")

    def __init__(self, clock: Clock, every_ms: int) -> None:
        self._clock = clock
        self._every_ms = every_ms
        self._next_at = 0

    async def turn(self) -> None:
        """Return when the next turn may begin. It always lets other tasks run before."""
        await self._clock.pause(max(self._next_at - self._clock.steady(), 0))
        self._next_at = self._clock.steady() + self._every_ms

    def skip(self) -> None:
        """Let the next turn begin at once: there is more than one turn can take."""
        self._next_at = 0
