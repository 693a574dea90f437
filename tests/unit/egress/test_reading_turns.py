"""Reading turns: how much of answers is read in one round of the loop, and whose."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import cast

import pytest

from libs.egress.http1 import reading_turns
from libs.egress.http1.reading_turns import ROUND_S, SMALL_BYTES, ReadingTurns, ReadInTurns

PIECE_S = ROUND_S / 4.5
AT_ONCE = 5  # pieces of a round


class FakeClock:
    """Time goes on when somebody works."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(reading_turns, "perf_counter", clock)
    return clock


class FakeTransport:
    """A peer that sends for ever; a piece comes in each round in which it is read."""

    def __init__(self) -> None:
        self.protocol: Reading | None = None
        self.is_reading = True
        self.is_closed = False
        self.decrypts_s = 0.0

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def is_closing(self) -> bool:
        return self.is_closed

    def deliver(self, size: int) -> None:
        """Have *size* bytes arrive, if they are read."""
        if self.is_reading and self.protocol is not None:
            room = len(self.protocol.get_buffer(size))
            self.protocol.clock.now_s += self.decrypts_s
            self.protocol.buffer_updated(min(size, room))


class Reading(ReadInTurns):
    """Notes whose piece is read in which round."""

    def __init__(self, turns: ReadingTurns, account: str, read: list[str], clock: FakeClock) -> None:
        super().__init__(turns, account=account, is_tls=False)
        self.transport = FakeTransport()
        self.transport.protocol = self
        self.reads_from = cast(asyncio.Transport, self.transport)
        self._read, self.name, self.clock = read, account, clock
        self.fault: Exception | None = None

    def read(self, piece: bytes) -> None:
        self.clock.now_s += PIECE_S
        if self.fault is not None:
            raise self.fault
        self._read.append(self.name)


async def rounds(readings: list[Reading], read: list[str], size: int, count: int) -> list[Counter[str]]:
    """Return whose pieces are read in each of *count* rounds in which all peers send."""
    told = []
    for _ in range(count):
        read.clear()
        for each in readings:
            each.transport.deliver(size)
        await asyncio.sleep(0)
        told.append(Counter(read))
    return told


async def test_a_round_takes_so_long_and_not_longer(clock: FakeClock) -> None:
    """However many answer at once; and another account's piece waits for one round at most."""
    read: list[str] = []
    turns = ReadingTurns(asyncio.get_running_loop())
    readings = [Reading(turns, "hostile", read, clock) for _ in range(200)]
    told = await rounds(readings, read, SMALL_BYTES, 20)
    assert [each["hostile"] for each in told[1:]] == [AT_ONCE] * 19
    assert told[0]["hostile"] == 2 * AT_ONCE  # those that came while the round was free, and those of the next

    readings.append(Reading(turns, "neighbour", read, clock))
    told = await rounds(readings, read, SMALL_BYTES, 10)
    assert [each["neighbour"] for each in told] == [1] * 10


async def test_what_it_takes_to_decrypt_a_piece_counts(clock: FakeClock) -> None:
    """That is done before the turn can be asked for, so it is counted for the piece that comes next."""
    read: list[str] = []
    turns = ReadingTurns(asyncio.get_running_loop())
    readings = [Reading(turns, "hostile", read, clock) for _ in range(50)]
    for each in readings:
        each.transport.decrypts_s = 3 * PIECE_S
    told = await rounds(readings, read, SMALL_BYTES, 10)

    assert [each["hostile"] for each in told[1:]] == [2] * 9  # of 3 + 1 parts each


async def test_every_peer_is_read(clock: FakeClock) -> None:
    """In the order in which they wait."""
    read: list[str] = []
    turns = ReadingTurns(asyncio.get_running_loop())
    readings = [Reading(turns, f"account{number % 3}", read, clock) for number in range(30)]
    for each in readings:
        each.transport.deliver(SMALL_BYTES)
    for _ in range(10):
        await asyncio.sleep(0)

    assert Counter(read) == {"account0": 10, "account1": 10, "account2": 10}
    assert all(each.transport.is_reading for each in readings)


async def test_small_answers_wait_for_nothing(clock: FakeClock) -> None:
    """They are what targets usually say."""
    read: list[str] = []
    turns = ReadingTurns(asyncio.get_running_loop())
    readings = [Reading(turns, "a", read, clock) for _ in range(50)]
    (told,) = await rounds(readings, read, SMALL_BYTES - 1, 1)

    assert told["a"] == 50


async def test_what_is_closed_meanwhile_is_not_read(clock: FakeClock) -> None:
    """Its turn takes nothing, and the others go on."""
    read: list[str] = []
    turns = ReadingTurns(asyncio.get_running_loop())
    readings = [Reading(turns, "a", read, clock) for _ in range(10)]
    for each in readings:
        each.transport.deliver(SMALL_BYTES)
    waiting = [each for each in readings if not each.transport.is_reading]
    assert len(waiting) == 10 - AT_ONCE
    for each in waiting[:-1]:
        each.transport.is_closed = True
    read.clear()
    await asyncio.sleep(0)

    assert read == ["a"]
    assert turns.is_free


async def test_a_fault_in_one_answer_keeps_no_other_from_being_read(clock: FakeClock) -> None:
    """It is reported as the loop reports what a protocol raises."""
    read: list[str] = []
    reported: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
    turns = ReadingTurns(loop)
    readings = [Reading(turns, "a", read, clock) for _ in range(10)]
    for each in readings:
        each.transport.deliver(SMALL_BYTES)
    readings[AT_ONCE].fault = ValueError("broken")
    for _ in range(5):
        await asyncio.sleep(0)

    assert len(read) == 9
    assert reported == ["broken"]
