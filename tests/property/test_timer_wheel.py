"""Timer wheel: against a sorted list, and the claims of its theory of operation."""

from __future__ import annotations

import gc
import random
import tracemalloc

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.scheduler.timer_wheel import HEAP_SLACK_COUNT, TimerWheel

keys = st.integers(min_value=0, max_value=30)
# Few instants, close together: keys share instants and slots, and "now" cuts slots in the middle.
instants = st.integers(min_value=-20, max_value=100)
distances = st.integers(min_value=-2, max_value=2)


class WheelAgainstSortedList(RuleBasedStateMachine):
    """The model is a dict key -> (at, order of scheduling); sorting its items gives every answer."""

    def __init__(self) -> None:
        super().__init__()
        self.wheel: TimerWheel[int] = TimerWheel()
        self.model: dict[int, tuple[int, int]] = {}
        self.order = 0

    def remove_where(self, first_at: float, last_at: float) -> list[int]:
        """Take out of the model what lies in [*first_at*, *last_at*], in order."""
        taken = sorted((at_order, key) for key, at_order in self.model.items() if first_at <= at_order[0] <= last_at)
        for _, key in taken:
            del self.model[key]
        return [key for _, key in taken]

    def least(self) -> int | None:
        return min(self.model.values())[0] if self.model else None

    def near(self, rank: int, distance: int) -> int:
        """Return an instant close to that of a timer, by its rank: others would drain all or nothing, mostly."""
        held = sorted(at for at, _ in self.model.values()) or [0]
        return held[rank % len(held)] + distance

    def schedule(self, key: int, at: int) -> None:
        self.order += 1
        self.model[key] = (at, self.order)
        self.wheel.schedule(key, at)

    @initialize(timers=st.lists(st.tuples(keys, instants), min_size=10, max_size=40))
    def start_full(self, timers: list[tuple[int, int]]) -> None:
        # Runs in which no rule schedules would otherwise try an empty wheel only.
        for key, at in timers:
            self.schedule(key, at)

    @rule(timers=st.lists(st.tuples(keys, instants), min_size=1, max_size=12))
    def schedule_more(self, timers: list[tuple[int, int]]) -> None:
        for key, at in timers:
            self.schedule(key, at)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def schedule_again_where_it_is(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        self.schedule(key, self.model[key][0])

    @rule(key=keys)
    def cancel(self, key: int) -> None:
        assert self.wheel.cancel(key) == (self.model.pop(key, None) is not None)

    @rule(rank=st.integers(min_value=0, max_value=8), distance=distances)
    def advance(self, rank: int, distance: int) -> None:
        now = self.near(rank, distance)
        due, next_at = self.wheel.advance(now)

        assert due == self.remove_where(float("-inf"), now)
        assert next_at == self.least()

    @rule(rank=st.integers(min_value=-8, max_value=-1), distance=distances)
    def evict_after(self, rank: int, distance: int) -> None:
        at = self.near(rank, distance)
        assert self.wheel.evict_after(at) == self.remove_where(at + 1, float("inf"))

    @rule()
    def ask_for_the_next(self) -> None:
        # A rule and not an invariant: asking makes the answer known, and the runs that never ask matter as well.
        assert self.wheel.next_at() == self.least()

    @invariant()
    def holds_the_same(self) -> None:
        assert len(self.wheel) == len(self.model)
        for key in range(31):
            assert (key in self.wheel) == (key in self.model)
            assert self.wheel.at_of(key) == self.model.get(key, (None,))[0]

    @invariant()
    def has_no_leftovers(self) -> None:
        live = {at >> 3 for at, _ in self.model.values()}
        assert set(self.wheel._slots) == set(self.wheel._numbers) == live
        assert live <= set(self.wheel._heap)
        assert len(self.wheel._heap) <= 2 * len(live) + HEAP_SLACK_COUNT


TestWheelAgainstSortedList = WheelAgainstSortedList.TestCase
TestWheelAgainstSortedList.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_example_of_the_theory_of_operation() -> None:
    """The worked example is what happens: a partly due slot gives up only what is due."""
    wheel: TimerWheel[str] = TimerWheel()
    for key, at in (("a", 1003), ("b", 1001), ("c", 1012)):
        wheel.schedule(key, at)

    assert wheel.advance(1000) == ([], 1001)
    assert wheel.advance(1002) == (["b"], 1003)
    assert wheel.advance(1020) == (["a", "c"], None)
    assert wheel.advance(10**15) == ([], None)


def test_nothing_is_due_a_millisecond_early() -> None:
    """At every offset of a slot, a timer is silent at at - 1 and due at at."""
    for at in range(1_790_000_000_000, 1_790_000_000_017):
        wheel: TimerWheel[str] = TimerWheel()
        wheel.schedule("key", at)

        assert wheel.advance(at - 1) == ([], at)
        assert wheel.advance(at) == (["key"], None)


def test_same_instant_keeps_the_order_of_scheduling() -> None:
    """Keys of one instant come in the order of scheduling; one that is scheduled again goes to the end."""
    wheel: TimerWheel[int] = TimerWheel()
    for key in (3, 1, 2, 0):
        wheel.schedule(key, 50)
    wheel.schedule(1, 50)
    wheel.schedule(4, 49)

    assert wheel.advance(50) == ([4, 3, 2, 0, 1], None)


def test_churn_does_not_grow_the_heap() -> None:
    """Opening and closing slots without ever advancing leaves no more than the slack behind."""
    wheel: TimerWheel[int] = TimerWheel()
    wheel.schedule(-1, 10**9)
    for step in range(20_000):
        wheel.schedule(step % 3, step * 8)
        assert len(wheel._heap) <= 2 * len(wheel._slots) + HEAP_SLACK_COUNT
    for key in range(3):
        assert wheel.cancel(key)
        assert not wheel.cancel(key)

    assert wheel.next_at() == 10**9
    assert len(wheel._heap) == 1


def test_reopened_slot_is_drained_once() -> None:
    """A slot that closed and opened again has two heap entries and still gives each key once."""
    wheel: TimerWheel[str] = TimerWheel()
    for _ in range(5):
        wheel.schedule("key", 16)
        wheel.cancel("key")
    wheel.schedule("key", 17)
    wheel.schedule("later", 23)

    assert wheel.advance(17) == (["key"], 23)
    assert wheel.advance(23) == (["later"], None)
    assert wheel.advance(1000) == ([], None)


def test_eviction_bounds_the_window() -> None:
    """What is later than the instant is handed back, earliest first; what is at it stays."""
    wheel: TimerWheel[str] = TimerWheel()
    for key, at in (("far", 900), ("kept", 100), ("near", 101), ("next slot", 104)):
        wheel.schedule(key, at)

    assert wheel.evict_after(100) == ["near", "next slot", "far"]
    assert wheel.evict_after(100) == []
    assert wheel.advance(1000) == (["kept"], None)


def test_a_timer_costs_less_than_a_hundred_bytes() -> None:
    """At the density of 1 M timers over 120 s (67 per slot) a timer takes less than 100 B besides its key."""
    count, rng = 40_000, random.Random(1)
    names = [f"job_{number:026d}" for number in range(count)]
    wheel: TimerWheel[str] = TimerWheel()
    gc.collect()
    tracemalloc.start()
    try:
        for name in names:
            wheel.schedule(name, 1_790_000_000_000 + rng.randrange(count * 12 // 100))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert taken / count < 100
