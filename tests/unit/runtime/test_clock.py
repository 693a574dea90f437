"""The clocks: never back, never early, and in order."""

from __future__ import annotations

import asyncio
import itertools
import os
import time

import pytest

from libs.runtime import clock as clock_module
from libs.runtime.clock import SystemClock, SystemEntropy
from libs.runtime.pace import Pace
from tests.simulation.manual_clock import ManualClock, SeededEntropy


class Readings:
    """Stands in for the operating system's clock."""

    def __init__(self, *readings_ns: int) -> None:
        self.readings_ns = list(readings_ns)

    def time_ns(self) -> int:
        return self.readings_ns.pop(0) if len(self.readings_ns) > 1 else self.readings_ns[0]


def test_the_system_clock_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step back makes it stand still until real time has caught up; a step forward is followed."""
    monkeypatch.setattr(clock_module, "time", Readings(5_000_000, 3_000_000, 4_999_999, 6_500_000))
    clock = SystemClock()
    assert [clock.now() for _ in range(4)] == [5, 5, 5, 6]
    assert clock.now_s() == 0.0065


async def test_the_system_clock_never_wakes_early() -> None:
    """After sleep_until the clock shows the instant or a later one; a past instant returns at once."""
    clock = SystemClock()
    for wait_ms in (-5, 0, 1, 2, 5):
        at_ms = clock.now() + wait_ms
        await clock.sleep_until(at_ms)
        assert clock.now() >= at_ms


class StillClock(SystemClock):
    """A clock whose monotonic time is set, and which notes its pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 70_123
        self.pauses: list[int] = []

    def steady(self) -> int:
        return self.at

    async def pause(self, ms: int) -> None:
        self.pauses.append(ms)
        self.at += ms


async def test_loops_that_began_at_different_moments_share_a_beat() -> None:
    """Each pause is shortened or prolonged a little, so that it ends with a beat; what follows takes as long as was asked for."""
    clock = StillClock()
    began_at = clock.at
    await clock.beat(1_000)
    for late_ms in (3, 120, 200):
        clock.at = began_at + late_ms
        await clock.beat(1_000)
        await clock.beat(250)
    assert clock.pauses == [1_000, 997, 250, 880, 250, 1_050, 250]


async def test_a_beat_says_how_late_it_came() -> None:
    """In seconds, as the loop's delay is measured."""
    clock = StillClock()
    assert await clock.beat(500) == 0.0
    clock.at += 100
    wait = clock.pause

    async def oversleep(ms: int) -> None:
        await wait(ms + 30)

    clock.pause = oversleep  # type: ignore[method-assign]
    assert await clock.beat(500) == 0.03


async def test_sleepers_wake_in_order_of_time_then_of_arrival() -> None:
    """One step over several instants wakes everybody, the earliest first."""
    clock = ManualClock(1_000)
    woken: list[str] = []

    async def sleeper(name: str, at_ms: int) -> None:
        await clock.sleep_until(at_ms)
        woken.append(name)

    async with asyncio.TaskGroup() as group:
        for name, at_ms in (("c", 1_030), ("a", 1_010), ("b1", 1_020), ("b2", 1_020), ("past", 900)):
            group.create_task(sleeper(name, at_ms))
        await clock.settle()
        assert woken == ["past"]
        assert (clock.sleeper_count, clock.next_at()) == (4, 1_010)
        clock.set(1_030)
        await clock.settle()
    assert woken == ["past", "a", "b1", "b2", "c"]


async def test_advance_stops_at_every_instant_on_the_way() -> None:
    """A task that sleeps again and again within one advance sees each of its instants exactly."""
    clock = ManualClock(0)
    seen: list[int] = []

    async def ticker() -> None:
        while len(seen) < 4:
            await clock.sleep_until(clock.now() + 10)
            seen.append(clock.now())

    ticking = asyncio.create_task(ticker())
    await clock.advance(35)
    assert seen == [10, 20, 30]
    await clock.advance(5)
    await ticking
    assert (seen[-1], clock.now(), clock.now_s()) == (40, 40, 0.04)


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    """Cancelling the task that sleeps leaves nobody to wake."""
    clock = ManualClock(0)
    sleeping = asyncio.create_task(clock.sleep_until(10))
    await clock.settle()
    sleeping.cancel()
    await clock.settle()
    assert (clock.next_at(), clock.sleeper_count) == (None, 0)
    clock.set(20)


def test_a_manual_clock_cannot_go_back() -> None:
    """Setting it to the past is refused."""
    with pytest.raises(ValueError, match="cannot go back"):
        ManualClock(10).set(9)


@pytest.mark.parametrize("source", [SystemEntropy(), SeededEntropy(1)])
def test_chance_has_the_promised_shape(source: SystemEntropy | SeededEntropy) -> None:
    """Fractions in [0, 1) and as many bytes as asked for."""
    assert all(0 <= source.jitter() < 1 for _ in range(100))
    assert [len(source.entropy(n)) for n in (0, 1, 16)] == [0, 1, 16]


def test_the_same_seed_gives_the_same_numbers() -> None:
    """A simulation can be replayed."""
    one, other = SeededEntropy(7), SeededEntropy(7)
    assert (one.jitter(), one.entropy(8)) == (other.jitter(), other.entropy(8))
    assert SeededEntropy(8).entropy(8) != SeededEntropy(7).entropy(8)


async def test_a_step_back_of_the_wall_clock_holds_nobody_up_who_only_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """While `now` stands still for an hour, loops go on in their rhythm: only instants wait for the wall clock."""
    clock = SystemClock()
    clock.now()
    behind_ns = time.time_ns() - 3_600_000_000_000
    monkeypatch.setattr(clock_module.time, "time_ns", lambda: behind_ns)
    stood_at, began = clock.now(), clock.steady()
    pace = Pace(clock, 5)
    async with asyncio.timeout(5):
        for _ in range(3):
            await clock.pause(2)
            await pace.turn()
    assert clock.now() == stood_at
    assert clock.steady() - began >= 9  # two of three turns had to wait


def test_no_random_byte_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws of any size come one after the other from what the system gave, across the end of a pool; keys come from the system."""
    counter = itertools.count()
    asked: list[int] = []

    def token_bytes(n: int) -> bytes:
        asked.append(n)
        return b"".join(next(counter).to_bytes(4, "big") for _ in range(0, n, 4))

    monkeypatch.setattr("secrets.token_bytes", token_bytes)
    source = SystemEntropy()
    nonces = [source.entropy(12) for _ in range(1_000)]
    keys = [source.entropy(32) for _ in range(10)]
    assert len(set(nonces)) == 1_000
    assert len(set(keys)) == 10
    assert asked == [4_096] * 3 + [32] * 10


def test_a_forked_process_draws_other_bytes() -> None:
    """What lay in the pool before a fork is used by the parent alone."""
    source = SystemEntropy()
    source.entropy(1)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, source.entropy(16))
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        drawn = pipe.read()
    assert len(drawn) == 16
    assert drawn != source.entropy(16)
