"""
Time and chance, as ports: the one place where Fliq reads the clock or draws random bytes.

Instants are milliseconds since the Unix epoch, UTC. Nothing else calls time.time, datetime.now or random: everything
that depends on the moment or on chance is given a Clock or an Entropy, so that tests and simulations can choose both.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from collections.abc import Callable
from typing import Protocol

_STEP_NS = 50_000_000  # more than this between two readings is no drift, nor a correction of drift, but a step
_FOLLOW = 10  # drift is followed by at most one part in so many; a clock that runs away faster soon differs by a step
_LOOK_NS = 1_000_000  # so often the machine's clock is looked at; between two looks it can hardly have moved
_READING_NS = 1_000_000  # a reading that takes longer was interrupted, and says nothing about steps
_READINGS_MAX = 10
_POOL_BYTES = 4_096
_POOLED_MAX_BYTES = 16
BEAT_MS = 250  # of the common beat
_SLEEP_SLICE_MS = 10_000  # the longest single wait: after it the wall clock is read again, in case it was set


class Clock(Protocol):
    """What time it is, and waiting for an instant."""

    def now(self) -> int:
        """The present instant in whole milliseconds; within a process it never goes back."""

    def now_s(self) -> float:
        """The same in seconds, with the precision that the system has."""

    def signed_at_s(self) -> int:
        """The second that a signature carries: real time also if `now` is not, since who checks it has a clock of his own."""

    async def sleep_until(self, at_ms: int) -> None:
        """Return at *at_ms* or just after, never before; at once, but after other tasks ran, when it has passed."""

    def steady(self) -> int:
        """
        Milliseconds from some beginning, which go on with real time even if the wall clock is set.

        For pauses and pacing: while the wall clock is behind, `now` stands still, and a process that waited for it would too.
        """

    async def pause(self, ms: int) -> None:
        """Return after *ms* of real time; at once, but after other tasks ran, when it is not positive."""

    async def beat(self, ms: int) -> float:
        """
        Return after about *ms* of real time, *ms* >= `BEAT_MS`, together with the other loops of this process that wait so.

        Returns by how many seconds that was later than it should have been. For loops that look at something now and then: what
        costs most is waking the process, so they share the wake-ups.
        """

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        """
        Call *callback* once, from the loop, at *at_ms* or soon after.

        The system's clock may call a moment early (the loop counts monotonic time), or after ten seconds of a longer wait: a caller
        that must not be early checks `now` and asks again. It is cheaper than a task that sleeps.
        """


class Timer(Protocol):
    """A call that was asked for with `Clock.call_at`."""

    def cancel(self) -> object:
        """Take it back; nothing happens when it was made already."""


class Entropy(Protocol):
    """Where random numbers come from."""

    def jitter(self) -> float:
        """A fraction in [0, 1), for spreading retries; not for secrets."""

    def entropy(self, n: int) -> bytes:
        """*n* bytes that nobody can guess, for ids, tokens and secrets."""


class SystemClock:
    """
    The machine's clock, kept from going back.

    A step back (an operator, NTP) makes now() stand still until real time has caught up: what was due stays due, and
    no event carries an instant before its predecessor's. A step forward is followed at once. Pauses go by real time.
    """

    def __init__(self) -> None:
        self._latest_ns = 0
        self._beat_from_ms: int | None = None

    def _now_ns(self) -> int:
        now_ns = time.time_ns()
        if now_ns < self._latest_ns:
            return self._latest_ns
        self._latest_ns = now_ns
        return now_ns

    def now(self) -> int:
        return self._now_ns() // 1_000_000

    def now_s(self) -> float:
        return self._now_ns() / 1_000_000_000

    def signed_at_s(self) -> int:
        return self.now() // 1_000

    async def sleep_until(self, at_ms: int) -> None:
        at_ns = at_ms * 1_000_000
        remaining_ns = at_ns - self._now_ns()
        if remaining_ns <= 0:
            await asyncio.sleep(0)
            return
        while remaining_ns > 0:
            # The loop's timer runs on the monotonic clock and may end a moment early by the wall clock: look again.
            await asyncio.sleep(min(remaining_ns / 1_000_000_000, _SLEEP_SLICE_MS / 1_000))
            remaining_ns = at_ns - self._now_ns()

    def steady(self) -> int:
        return time.monotonic_ns() // 1_000_000

    async def pause(self, ms: int) -> None:
        await asyncio.sleep(max(ms, 0) / 1_000)

    async def beat(self, ms: int) -> float:
        now = self.steady()
        if self._beat_from_ms is None:
            # Not the same in all processes of a machine: those that wake together wait for each other's cores.
            self._beat_from_ms = now
        ends_at = self._beat_from_ms + round((now - self._beat_from_ms + ms) / BEAT_MS) * BEAT_MS
        await self.pause(ends_at - now)
        return max(self.steady() - ends_at, 0) / 1_000

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        wait_s = (at_ms * 1_000_000 - self._now_ns()) / 1_000_000_000
        return asyncio.get_running_loop().call_later(max(0.0, min(wait_s, _SLEEP_SLICE_MS / 1_000)), callback)


class SteadyClock(SystemClock):
    """
    The machine's clock as it was at the start, carried on by the monotonic one: steps of the machine's clock are not followed.

    A process whose clock is set forward must not fire early, and one whose clock is set back must not stand still. After a step,
    libs/store/health/clock_check.py finds out which of the two clocks is right. If it is the machine's, `adopt` takes it over, and
    only then may now() go back. Drift is followed as it comes, small steps bit by bit.
    """

    def __init__(self) -> None:
        super().__init__()
        self._followed_at_ns, self._offset_ns = self._read_clean()

    @staticmethod
    def _steady_ns() -> int:
        return time.monotonic_ns()

    @staticmethod
    def _read() -> tuple[int, int, bool]:
        """Return the monotonic time, how far the machine's clock is from it, and whether that was read in one go."""
        before = time.monotonic_ns()
        machine = time.time_ns()
        after = time.monotonic_ns()
        return after, machine - after, after - before < _READING_NS

    def _read_clean(self) -> tuple[int, int]:
        """Return the first two values of a reading made in one go, or, after some tries, of any; its error is corrected slowly."""
        for _ in range(_READINGS_MAX):
            steady_ns, offset_ns, is_clean = self._read()
            if is_clean:
                break
        return steady_ns, offset_ns

    def _now_ns(self) -> int:
        steady_ns = self._steady_ns()
        if steady_ns - self._followed_at_ns >= _LOOK_NS:
            steady_ns = self._follow()
        now_ns = steady_ns + self._offset_ns
        if now_ns < self._latest_ns:
            return self._latest_ns
        self._latest_ns = now_ns
        return now_ns

    def _follow(self) -> int:
        """Follow the drift of the machine's clock, and return the monotonic time."""
        steady_ns, offset_ns, is_clean = self._read()
        if is_clean:
            moved_ns = offset_ns - self._offset_ns
            if moved_ns and abs(moved_ns) <= _STEP_NS:
                most_ns = (steady_ns - self._followed_at_ns) // _FOLLOW
                self._offset_ns += max(-most_ns, min(moved_ns, most_ns))
            self._followed_at_ns = steady_ns
        return steady_ns

    def step_ms(self) -> int:
        """Return how far the machine's clock is ahead of this one; 0 while it was not stepped."""
        _, offset_ns, _ = self._read()
        moved_ns = offset_ns - self._offset_ns
        return 0 if abs(moved_ns) <= _STEP_NS else moved_ns // 1_000_000

    def adopt(self) -> None:
        """Go by the machine's clock as it is now, forward or back."""
        self._followed_at_ns, self._offset_ns = self._read_clean()
        self._latest_ns = 0


class SystemEntropy:
    """
    The machine's randomness.

    A call to the system costs more than sealing a small spec. So short draws (ids, nonces) are cut from a pool, each byte once;
    keys and tokens come from the system at once, and never lie in a pool. A forked process begins with an empty one.
    """

    def __init__(self) -> None:
        self._pool = b""
        self._taken = 0
        os.register_at_fork(after_in_child=self._forget)

    def jitter(self) -> float:
        return random.random()

    def entropy(self, n: int) -> bytes:
        if n > _POOLED_MAX_BYTES:
            return secrets.token_bytes(n)
        begin = self._taken
        end = begin + n
        if end > len(self._pool):
            self._pool = secrets.token_bytes(_POOL_BYTES)
            begin, end = 0, n
        self._taken = end
        return self._pool[begin:end]

    def _forget(self) -> None:
        self._pool, self._taken = b"", 0
