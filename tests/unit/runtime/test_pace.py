"""The pace of a loop that others wake."""

import asyncio

from libs.runtime.pace import Pace
from tests.simulation.manual_clock import ManualClock


async def turns(pace: Pace, clock: ManualClock, taken: list[int]) -> None:
    while True:
        await pace.turn()
        taken.append(clock.now())


async def test_the_first_turn_is_at_once_and_the_others_keep_their_distance() -> None:
    """One turn in 5 ms, however often the loop comes round."""
    clock, taken = ManualClock(1_000), list[int]()
    loop = asyncio.create_task(turns(Pace(clock, 5), clock, taken))
    await clock.advance(12)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)

    assert taken == [1_000, 1_005, 1_010]


async def test_after_a_pause_a_turn_is_at_once() -> None:
    """Who comes later than the distance waits for nothing."""
    clock = ManualClock(1_000)
    pace = Pace(clock, 5)
    await pace.turn()
    await clock.advance(50)
    await asyncio.wait_for(pace.turn(), 1)

    assert clock.now() == 1_050


async def test_a_skip_lets_the_next_turn_begin_at_once() -> None:
    """There is more than one turn could take."""
    clock = ManualClock(1_000)
    pace = Pace(clock, 5)
    await pace.turn()
    pace.skip()
    await asyncio.wait_for(pace.turn(), 1)

    assert clock.now() == 1_000
