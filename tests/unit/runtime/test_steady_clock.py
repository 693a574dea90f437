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
    """What NTP corrects bit by bit is corrected here, too; a bit back is a moment's standstill."""
    clock = SteadyClock()
    before = clock.now()
    for _ in range(100):
        machine.offset_ns += 10 * MS
        machine.steady_ns += 1_000 * MS
        clock.now()
    assert clock.now() == before + 101_000

    machine.offset_ns -= 20 * MS
    machine.steady_ns += 5 * MS
    assert clock.now() == before + 101_000
    assert clock.step_ms() == 0


def test_a_reading_that_was_interrupted_says_nothing(machine: Machine) -> None:
    """A process that stood still between two readings must not take that for a correction."""
    clock = SteadyClock()
    machine.interrupted_ns = 40 * MS
    clock.now()
    machine.interrupted_ns = 0

    assert clock.now() == (machine.steady_ns + machine.offset_ns) // MS
