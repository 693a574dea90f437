"""A clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
import time

from services.dev.server.virtual_clock import VirtualClock
from services.scheduler.horizon import LOOK_EVERY_MS


async def test_what_waits_is_woken_when_the_clock_gets_there() -> None:
    """In the order of the instants, and none before its own; what was taken back is not."""
    clock, rung = VirtualClock(1_000), list[int]()
    for at in (3_000, 2_000, 4_000):
        clock.call_at(at, lambda at=at: rung.append(at))
    clock.call_at(2_500, lambda: rung.append(2_500)).cancel()
    sleeper = asyncio.create_task(clock.sleep_until(2_000))
    await asyncio.sleep(0)
    assert (clock.now(), clock.next_at(), rung) == (1_000, 2_000, [])
    clock.set(3_000)
    await sleeper
    await asyncio.sleep(0)
    assert (clock.now(), clock.next_at(), rung) == (3_000, 4_000, [2_000, 3_000])
    clock.set(1)
    assert clock.now() == 3_000


async def test_what_has_passed_does_not_wait() -> None:
    """A sleep ends, and a call is made in the loop's next turn."""
    clock, rung = VirtualClock(1_000), list[int]()
    await clock.sleep_until(1_000)
    clock.call_at(999, lambda: rung.append(1))
    await asyncio.sleep(0)
    assert rung == [1]


async def test_a_jump_ends_the_wait_for_the_next_look() -> None:
    """The look of the scheduler for timers beyond its horizon comes at once; a pause takes its real time."""
    clock = VirtualClock(1_000)
    look = asyncio.create_task(clock.beat(LOOK_EVERY_MS))
    pause = asyncio.create_task(clock.pause(LOOK_EVERY_MS + 1))
    await asyncio.sleep(0)
    clock.set(10**12)
    await asyncio.wait_for(look, LOOK_EVERY_MS / 2_000)
    assert not pause.done()
    pause.cancel()


def test_signatures_carry_the_real_time() -> None:
    """Receivers have clocks of their own; nothing is ever a step of this one."""
    clock = VirtualClock(0)
    assert abs(clock.signed_at_s() - time.time()) < 5
    assert clock.step_ms() == 0
