"""
Clock check: whether this process's clock can be trusted, by the database's, which all processes share.

A process whose clock is ahead would fire early, and one whose clock is behind would fire late. So each compares its clock with the
database's every second, and stands aside while the two are further apart than `SKEW_MS`: it gives its leases back and takes none,
and says that it is not ready. When the machine's clock was stepped, the database says whether it was wrong before or is wrong now.

An answer that took long proves little: the truth is anywhere within half of that time. So it neither makes a trusted clock wrong
nor a doubted one right, and a stepped clock is not followed on its word, unless what it says holds at both ends. While the database
does not answer, the last comparison holds; a clock that goes on steadily (libs/runtime/clock.py) is as right or wrong as it was.

Not seen: a database whose own clock is wrong. Then all stand aside whose clocks are right, and say why.
"""

import asyncio
from typing import Any, Final, Protocol

import structlog

from libs.store.errors import StoreUnavailable, translated

EVERY_S: Final = 1.0
TIMEOUT_S: Final = 2.0
SKEW_MS: Final = 250
_DATABASE_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8"

log = structlog.get_logger("clock")


class SteppedClock(Protocol):
    """A clock that goes on steadily while the machine's is stepped."""

    def now(self) -> int:
        """Return ms since 1970."""

    def steady(self) -> int:
        """Return ms from some beginning."""

    def step_ms(self) -> int:
        """Return how far the machine's clock is ahead of this one."""

    def adopt(self) -> None:
        """Go by the machine's clock."""


class ClockCheck:
    """Compares *clock* with the database's."""

    def __init__(self, pool: Any, clock: SteppedClock) -> None:
        """Ask through *pool*."""
        self._pool = pool
        self._clock = clock
        self._reason: str | None = "the clock was not compared with the database's yet"
        self._is_stepped = False
        self.skew_ms = 0

    def reason(self) -> str | None:
        """Return None while the clock can be trusted, else why not."""
        return self._reason

    async def run(self) -> None:
        """Compare again and again."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.compare()
            except StoreUnavailable:
                continue  # who needs the database says so

    async def compare(self) -> None:
        """
        Compare once.

        Raises:
            StoreUnavailable: the database did not answer in time; the last comparison holds.
        """
        clock = self._clock
        # In this order: whatever comes between them counts as time that the answer took.
        began, sent_at = clock.steady(), clock.now()
        with translated():
            async with asyncio.timeout(TIMEOUT_S):
                theirs: int = await self._pool.fetchval(_DATABASE_NOW)
        took_ms = clock.steady() - began
        self._judge(sent_at + took_ms // 2 - theirs, unsure_ms=took_ms // 2)

    def _judge(self, skew_ms: int, *, unsure_ms: int) -> None:
        step_ms = self._clock.step_ms()
        # One of the two is believed when it is nearer whatever the answer's delay hides; until then all goes on as before.
        machine_ms, ours_ms = abs(skew_ms + step_ms), abs(skew_ms)
        is_decided = abs(machine_ms - ours_ms) > 2 * unsure_ms
        if step_ms and is_decided and machine_ms < ours_ms:
            self._clock.adopt()
            log.warning("clock_step_followed", reason="the machine's clock was wrong before", step_ms=step_ms)
            skew_ms, step_ms = skew_ms + step_ms, 0
        elif step_ms and is_decided and not self._is_stepped:
            log.warning("clock_step_not_followed", reason="the machine's clock was right before", step_ms=step_ms)
        self._is_stepped = bool(step_ms) and (is_decided or self._is_stepped)
        self.skew_ms = skew_ms
        reason = None
        if abs(skew_ms) > SKEW_MS + unsure_ms:
            side = "ahead of" if skew_ms > 0 else "behind"
            reason = f"the clock is {abs(skew_ms)} ms {side} the database's"
        elif self._reason is not None and abs(skew_ms) > SKEW_MS - unsure_ms:
            reason = f"the database took {2 * unsure_ms} ms to say what time it is: too long to tell whether the clock is right"
        if (reason is None) != (self._reason is None):
            if reason is None:
                log.info("clock_trusted", skew_ms=skew_ms)
            else:
                log.warning("clock_not_trusted", reason=reason)
        self._reason = reason
