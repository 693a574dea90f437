"""
ClockCheck: compares this process's clock with the database's clock, which all processes share.

If its clock is ahead, a process makes calls too early; if it is behind, too late. So every process compares its clock with the
database's every second. While they differ by more than `SKEW_MS`, the process stands aside: it gives its leases back, takes none,
and reports that it is not ready. If the machine's clock was set, the comparison tells whether it was wrong before or is wrong now.

The longer an answer takes, the less it proves: the true difference may be off by half of that time in each direction. The result
changes only if it would be the same at both ends of that range: otherwise a trusted clock stays trusted, a doubted one stays
doubted, and a clock that was set is not followed. While the database does not answer, the last comparison holds, because the
process's clock runs steadily (libs/runtime/clock.py).

Not detected: a wrong clock of the database. Then the processes with right clocks stand aside, and log the difference.
"""

import asyncio
from typing import Any, Final

import structlog

from libs.runtime.clock import SteadyClock
from libs.store.errors import StoreUnavailable, translated

EVERY_MS: Final = 1_000
TIMEOUT_S: Final = 2.0
SKEW_MS: Final = 250
_DATABASE_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8"

_log = structlog.get_logger("clock")


class ClockCheck:
    """Compares *clock* with the database's clock."""

    def __init__(self, pool: Any, clock: SteadyClock) -> None:
        """Ask through *pool*."""
        self._pool = pool
        self._clock = clock
        self._reason: str | None = "the clock was not compared with the database's yet"
        self._is_stepped = False
        self.skew_ms = 0

    def reason(self) -> str | None:
        """Return None if the clock can be trusted, else why not."""
        return self._reason

    async def run(self) -> None:
        """Compare every `EVERY_MS`, for ever."""
        while True:
            await self._clock.beat(EVERY_MS)
            try:
                await self.compare()
            except StoreUnavailable:
                continue  # the callers that need the database report it

    async def compare(self) -> None:
        """
        Compare once.

        Raises:
            StoreUnavailable: the database did not answer in time; the last comparison holds.
        """
        clock = self._clock
        # In this order, so that time between the two lines counts as time that the answer took.
        began, sent_at = clock.steady(), clock.now()
        with translated():
            async with asyncio.timeout(TIMEOUT_S):
                theirs: int = await self._pool.fetchval(_DATABASE_NOW)
        took_ms = clock.steady() - began
        self._judge(sent_at + took_ms // 2 - theirs, unsure_ms=took_ms // 2)

    def _judge(self, skew_ms: int, *, unsure_ms: int) -> None:
        step_ms = self._clock.step_ms()
        # Decide between the two clocks only if one is nearer to the database's at both ends of the range of uncertainty.
        machine_ms, ours_ms = abs(skew_ms + step_ms), abs(skew_ms)
        is_decided = abs(machine_ms - ours_ms) > 2 * unsure_ms
        if step_ms and is_decided and machine_ms < ours_ms:
            self._clock.adopt()
            _log.warning("clock_step_followed", reason="the machine's clock was wrong before", step_ms=step_ms)
            skew_ms, step_ms = skew_ms + step_ms, 0
        elif step_ms and is_decided and not self._is_stepped:
            _log.warning("clock_step_not_followed", reason="the machine's clock was right before", step_ms=step_ms)
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
                _log.info("clock_trusted", skew_ms=skew_ms)
            else:
                _log.warning("clock_not_trusted", reason=reason)
        self._reason = reason
