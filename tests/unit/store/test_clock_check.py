"""Whether a process trusts its clock, against a database whose clock is moved by hand."""

from typing import Any

import pytest

from libs.runtime.clock import SteadyClock
from libs.store.errors import StoreUnavailable
from libs.store.health.clock_check import ClockCheck


class Clock(SteadyClock):
    """A clock, and the machine's beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 1_000_000
        self.step = 0
        self.monotonic = 0

    def now(self) -> int:
        return self.at

    def steady(self) -> int:
        return self.monotonic

    def step_ms(self) -> int:
        return self.step

    def adopt(self) -> None:
        self.at, self.step = self.at + self.step, 0


class Database:
    """Answers with its own time after *takes_ms*."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ahead_ms = 0
        self.takes_ms = 2
        self.is_down = False

    async def fetchval(self, _: str) -> Any:
        if self.is_down:
            raise OSError("down")
        at = self.clock.at + self.takes_ms // 2 + self.ahead_ms
        self.clock.at += self.takes_ms
        self.clock.monotonic += self.takes_ms
        return at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(clock: Clock) -> Database:
    return Database(clock)


async def test_a_clock_is_not_trusted_before_it_was_compared(clock: Clock, database: Database) -> None:
    """A process that starts with a wrong clock takes nothing up with it."""
    check = ClockCheck(database, clock)
    assert "not compared" in (check.reason() or "")
    await check.compare()
    assert check.reason() is None


@pytest.mark.parametrize(
    ("ahead_ms", "said"), [(-300, "300 ms ahead of"), (300, "300 ms behind"), (3_600_000, "behind")]
)
async def test_a_wrong_clock_stands_aside_and_comes_back(
    clock: Clock, database: Database, ahead_ms: int, said: str
) -> None:
    """More than a quarter of a second between the two is a reason; once it is gone, so is the reason."""
    check = ClockCheck(database, clock)
    database.ahead_ms = ahead_ms
    await check.compare()
    assert said in (check.reason() or "")

    database.ahead_ms = 200
    await check.compare()
    assert check.reason() is None


async def test_a_slow_answer_proves_little(clock: Clock, database: Database) -> None:
    """Of an answer that took a second nobody knows within half of it when it was given: what was trusted stays so."""
    check = ClockCheck(database, clock)
    await check.compare()
    database.takes_ms, database.ahead_ms = 1_000, 700
    await check.compare()
    assert check.reason() is None


async def test_no_trust_comes_from_a_slow_answer(clock: Clock, database: Database) -> None:
    """A process that starts takes nothing up before an answer is quick enough to show that its clock is right."""
    check = ClockCheck(database, clock)
    database.takes_ms, database.ahead_ms = 1_000, -700
    await check.compare()
    assert "1000 ms" in (check.reason() or "")
    database.takes_ms = 2
    await check.compare()
    assert "700 ms ahead" in (check.reason() or "")
    database.ahead_ms = 0
    await check.compare()
    assert check.reason() is None


async def test_a_step_that_makes_the_machines_clock_wrong_is_not_followed(clock: Clock, database: Database) -> None:
    """Ours agrees with the database's: work goes on as if nothing had happened."""
    check = ClockCheck(database, clock)
    clock.step = 3_600_000
    await check.compare()
    assert check.reason() is None
    assert clock.step == 3_600_000


async def test_a_step_that_makes_the_machines_clock_right_is_followed(clock: Clock, database: Database) -> None:
    """After a sleep of the whole machine, or a correction, the database agrees with the machine's."""
    check = ClockCheck(database, clock)
    clock.step = database.ahead_ms = -3_600_000
    await check.compare()
    assert check.reason() is None
    assert clock.step == 0


async def test_while_the_database_is_away_the_last_comparison_holds(clock: Clock, database: Database) -> None:
    """A clock that goes on steadily does not become wrong by an outage."""
    check = ClockCheck(database, clock)
    await check.compare()
    database.is_down = True
    with pytest.raises(StoreUnavailable):
        await check.compare()
    assert check.reason() is None


async def test_a_slow_answer_moves_nobody_to_a_stepped_clock(clock: Clock) -> None:
    """Held on its way there for two seconds, it seems to say that the stepped clock is right; the next quick one says the truth."""

    class Held(Database):
        async def fetchval(self, _: str) -> Any:
            self.clock.at += self.takes_ms
            self.clock.monotonic += self.takes_ms
            return self.clock.at

    database = Held(clock)
    check = ClockCheck(database, clock)
    await check.compare()
    database.takes_ms, clock.step = 1_900, 1_500
    await check.compare()
    assert (clock.step, check.reason()) == (1_500, None)
    database.takes_ms = 2
    await check.compare()
    assert (clock.step, check.reason()) == (1_500, None)
