"""How many calls start in one round of the loop."""

from __future__ import annotations

import asyncio

from libs.following.round_portion import LONG, RoundPortion
from tests.simulation.manual_clock import ManualClock

PER_ROUND = 3


class Rounds:
    """A portion, calls that wait for slots, and what has started."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.portion = RoundPortion(PER_ROUND, self.clock, self.start_waiting)
        self.waiting = 0
        self.started: list[str] = []

    def start_waiting(self) -> None:
        while self.waiting and not self.portion.is_used_up:
            self.portion.use(1)
            self.waiting -= 1
            asyncio.get_running_loop().call_soon(self.started.append, "waited")  # as a task begins

    def follow(self, name: str) -> asyncio.Future[None] | None:
        """Start a call that has its slot, as soon as it may."""
        turn = self.portion.turn()
        if turn is None:
            self.started.append(name)
        else:
            turn.add_done_callback(lambda done: done.cancelled() or self.started.append(name))
        return turn

    async def watch(self, rounds: int) -> list[int]:
        """Return how many calls started in each of the next *rounds*."""
        counts = []
        for _ in range(rounds):
            before = len(self.started)
            await asyncio.sleep(0)
            counts.append(len(self.started) - before)
        return counts


async def test_no_more_than_a_portion_starts_in_a_round() -> None:
    """The others go on in the next rounds, without anybody asking."""
    here = Rounds()
    here.waiting = 10
    here.start_waiting()
    counts = await here.watch(20)

    assert max(counts) == PER_ROUND
    assert sum(counts) == 10


async def test_calls_with_a_slot_come_before_those_that_wait_for_one() -> None:
    """They start in the order in which they asked, a portion in each round."""
    here = Rounds()
    for number in range(8):
        here.follow(f"{number}")
    here.waiting = 6
    here.start_waiting()
    assert len(here.started) == PER_ROUND
    assert max(await here.watch(20)) <= PER_ROUND

    assert here.started == [*"01234567", *["waited"] * 6]


async def test_a_long_round_is_followed_by_a_larger_portion() -> None:
    """One for each millisecond, up to a bound: so a loop that is busy with other work starts calls all the same."""
    here = Rounds()
    for took_ms, count in ((1, PER_ROUND), (PER_ROUND + 1, PER_ROUND + 1), (1_000, LONG * PER_ROUND)):
        here.portion.use(1)
        here.clock.set(here.clock.now() + took_ms)
        await here.watch(1)
        here.waiting = 100
        here.start_waiting()
        assert 100 - here.waiting == count
        here.waiting = 0
        await here.watch(2)


async def test_a_call_that_is_cancelled_takes_nothing() -> None:
    """Its turn goes to the next one."""
    here = Rounds()
    turns = [here.follow(f"{number}") for number in range(2 * PER_ROUND + 1)]
    cancelled = turns[PER_ROUND]
    assert cancelled is not None
    cancelled.cancel()

    assert await here.watch(2) == [0, PER_ROUND]
    assert here.started == [*"012", *"456"]


async def test_after_a_stop_nothing_starts() -> None:
    """Not even what a round had left."""
    here = Rounds()
    here.portion.use(1)
    here.waiting = 5
    here.portion.stop()
    here.start_waiting()
    await here.watch(5)

    assert here.started == []
