"""The clock that goes on by itself when the machine's is set."""

import pytest

from libs.runtime import clock as clock_module
from libs.runtime.clock import SteadyClock

MS = 1_000_000


class Machine:
    """The operating system's two clocks; *interrupted* lets time pass between the readings of one look."""

    def __init__(self) -> None:
        self.steady_ns = 5_000 * MS
        self.offset_ns = 1_700_000_000_000 * MS
        self.interrupted_ns = 0

    def monotonic_ns(self) -> int:
        return self.steady_ns

    def time_ns(self) -> int:
        now = self.steady_ns + self.offset_ns
        self.steady_ns += self.interrupted_ns
        return now


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(clock_module, "time", machine)
    return machine


@pytest.mark.parametrize("step_ms", [-86_400_000, -300, 300, 3_600_000])
def test_a_step_of_the_machines_clock_is_not_followed(machine: Machine, step_ms: int) -> None:
    """Set forward or back, the clock goes on as before and says by how much the machine's was set."""
    clock = SteadyClock()
    before = clock.now()
    machine.offset_ns += step_ms * MS
    machine.steady_ns += 10 * MS

    assert clock.now() == before + 10
    assert clock.step_ms() == step_ms


@pytest.mark.parametrize("step_ms", [-3_600_000, 3_600_000])
def test_the_machines_clock_is_adopted_when_told(machine: Machine, step_ms: int) -> None:
    """Then, and only then, it may go back."""
    clock = SteadyClock()
    before = clock.now()
    machine.offset_ns += step_ms * MS
    clock.adopt()

    assert clock.now() == before + step_ms
    assert clock.step_ms() == 0


def test_drift_is_followed_and_never_shows_as_going_back(machine: Machine) -> None:
    """What NTP corrects bit by bit is corrected here, too; a bit back makes it slower for a moment."""
    clock = SteadyClock()
    before = clock.now()
    for _ in range(100):
        machine.offset_ns += 10 * MS
        machine.steady_ns += 1_000 * MS
        clock.now()
    assert clock.now() == before + 101_000

    machine.offset_ns -= 20 * MS
    machine.steady_ns += 10 * MS
    assert clock.now() == before + 101_009
    assert clock.step_ms() == 0
    machine.steady_ns += 1_000 * MS
    assert clock.now() == before + 101_990


def test_a_reading_that_was_interrupted_says_nothing(machine: Machine) -> None:
    """A process that stood still between two readings must not take that for a correction."""
    clock = SteadyClock()
    machine.interrupted_ns = 40 * MS
    clock.now()
    machine.interrupted_ns = 0

    assert clock.now() == (machine.steady_ns + machine.offset_ns) // MS


def test_the_machines_clock_is_looked_at_once_in_a_millisecond(machine: Machine) -> None:
    """The time is asked for many times for each call, and a clock that drifts has hardly moved since."""
    clock = SteadyClock()
    looks = []
    time_ns = machine.time_ns
    machine.time_ns = lambda: looks.append(machine.steady_ns) or time_ns()  # type: ignore[func-returns-value, method-assign]
    for _ in range(100):
        machine.steady_ns += MS // 10
        clock.now()
    assert len(looks) == 10


@pytest.mark.parametrize("rate", [10, -10])
@pytest.mark.parametrize("every_ms", [1, 4, 20])
def test_a_machines_clock_that_runs_away_is_not_followed(machine: Machine, rate: int, every_ms: int) -> None:
    """Ten times as fast, or backwards, it is no drift, however often it is looked at: a second later we are less than 60 ms off."""
    clock = SteadyClock()
    before = clock.now()
    for _ in range(1_000 // every_ms):
        machine.offset_ns += (rate - 1) * every_ms * MS
        machine.steady_ns += every_ms * MS
        clock.now()
    assert abs(clock.now() - (before + 1_000)) < 60
    assert clock.step_ms() != 0


def test_small_steps_to_and_fro_never_show_as_a_jump(machine: Machine) -> None:
    """A clock that is set by 40 ms twenty times a second gains nobody 40 ms at once."""
    clock = SteadyClock()
    before = clock.now()
    for number in range(20):
        machine.offset_ns += (40 if number % 2 == 0 else -40) * MS
        machine.steady_ns += 50 * MS
        now = clock.now()
        assert now - before <= 50 + 6
        before = now


def test_a_clock_begins_with_a_reading_in_one_go(machine: Machine) -> None:
    """A start that was interrupted is not put right bit by bit, but read again."""
    machine.interrupted_ns = 40 * MS
    reads = iter([40 * MS, 40 * MS])
    time_ns = machine.time_ns

    def interrupted_twice() -> int:
        machine.interrupted_ns = next(reads, 0)
        return time_ns()

    machine.time_ns = interrupted_twice  # type: ignore[method-assign]
    clock = SteadyClock()
    assert clock.now() == (machine.steady_ns + machine.offset_ns) // MS
