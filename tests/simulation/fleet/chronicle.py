"""
Chronicle: what happened, as lines of virtual time, actor and event; two runs of a seed have the same one, to the letter.

The simulated clock is here, too: virtual milliseconds since `BEGAN_AT`, the true time that targets and clients see.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from libs.runtime.clock import SteadyClock
from tests.simulation.fleet.loop import PROCESS, Process, SimLoop

BEGAN_AT: Final = 1_700_000_030_000  # 10 s before a full minute, in ms since 1970


class Chronicle:
    """The lines of one run."""

    def __init__(self, loop: SimLoop) -> None:
        """Write the times of *loop*."""
        self.lines: list[str] = []
        self._loop = loop

    def now(self) -> int:
        """Return the true instant in whole ms."""
        return BEGAN_AT + int(self._loop.time() * 1000 + 1e-6)

    def now_exact(self) -> float:
        """Return the true instant in ms, with fractions."""
        return BEGAN_AT + self._loop.time() * 1000

    def note(self, what: str) -> None:
        """Write a line; the actor is the process that runs at the moment."""
        self.lines.append(f"{self._loop.time():11.6f} {PROCESS.get() or '-'} {what}")

    def digest(self) -> str:
        """Return what two runs of the same seed have in common: all lines, and which process ran at every step."""
        text = "\n".join(self.lines)
        return blake2b(f"{text}\n{self._loop.step_count} {self._loop.order}".encode(), digest_size=12).hexdigest()


class SimClock(SteadyClock):
    """The wall clock of one process: the product's own, on virtual time, over a machine's clock that may be wrong or be set."""

    def __init__(self, loop: SimLoop, process: Process) -> None:
        """Show *process* the time of *loop*."""
        self._loop = loop
        self._process = process
        super().__init__()

    def _steady_ns(self) -> int:  # type: ignore[override]
        return int(self._loop.time() * 1e9 + 0.5)

    def _read(self) -> tuple[int, int, bool]:  # type: ignore[override]
        return self._steady_ns(), (BEGAN_AT + self._process.skew_ms) * 1_000_000, True

    def steady(self) -> int:
        return int(self._loop.time() * 1000 + 1e-6)
