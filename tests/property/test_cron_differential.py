"""
Cron against three others: the brute-force oracle, cronsim, and croniter where it means the same.

Where they are known to differ, and we follow Vixie: cronsim reads ``a-a/n`` as ``a-max/n``; croniter reads ``a-a`` as the
whole cycle and a list with ``*`` after other items as a bare ``*``. Such expressions are left out of that comparison only.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from croniter import CroniterBadDateError, croniter
from cronsim import CronSim, CronSimError

from libs.domain.calendar.cron import latest_at_or_before, next_after
from libs.domain.calendar.cron_text import CronError, parse
from tests.property.cron_oracle import LOW_HIGH, NAMES, Oracle, instant

FIRST_MS = round(datetime(1995, 1, 1, tzinfo=UTC).timestamp()) * 1000
LAST_MS = round(datetime(2110, 1, 1, tzinfo=UTC).timestamp()) * 1000
HORIZON_MS = 1827 * 86_400_000
TICKS = 3  # compared per expression

FAST = pytest.param(2_000, 20260401, id="fast")
LONG = pytest.param(50_000, 20260402, id="long", marks=[pytest.mark.nightly, pytest.mark.timeout(1200)])


def random_number(rng: random.Random, field: int, low: int) -> tuple[int, str]:
    number = rng.randint(low, LOW_HIGH[field][1])
    if field in NAMES and number < len(NAMES[field]) and rng.random() < 0.3:
        name = NAMES[field][number]
        return number, rng.choice([name, name.lower(), name.title()])
    return number, str(number)


def random_item(rng: random.Random, field: int) -> str:
    step = f"/{rng.choice([1, 2, 3, 5, 7, 10, 15, 31, 60, 100])}" if rng.random() < 0.4 else ""
    kind = rng.random()
    if kind < 0.25:
        return "*" + step
    low, low_text = random_number(rng, field, LOW_HIGH[field][0])
    if kind < 0.65:
        return low_text
    high, high_text = random_number(rng, field, low)
    # A name for Sunday is 0, which may not end a range.
    return f"{low_text}-{high_text}{step}" if high >= low else low_text


def random_field(rng: random.Random, field: int) -> str:
    if rng.random() < (0.1 if field < 2 else 0.4):
        return "*"
    return ",".join(random_item(rng, field) for _ in range(rng.choice([1, 1, 1, 1, 2, 3])))


def cases(count: int, seed: int) -> Iterator[tuple[str, int]]:
    """Yield *count* pairs of an expression and an instant; half of the instants lie on a whole minute."""
    rng = random.Random(seed)
    for _ in range(count):
        text = " ".join(random_field(rng, field) for field in range(5))
        at_ms = rng.randrange(FIRST_MS, LAST_MS)
        yield text, at_ms if rng.random() < 0.5 else at_ms // 60_000 * 60_000


def ours(text: str, at_ms: int) -> list[int | None]:
    """Return the next ticks; a None says that the horizon was reached, and ends the list."""
    cron, found = parse(text), []
    tick: int | None = at_ms
    while tick is not None and len(found) < TICKS:
        tick = next_after(cron, tick)
        found.append(tick)
    return found


def within_horizon(at_ms: int, candidates: Iterator[int]) -> list[int | None]:
    """Return the first of *candidates* in the shape of :func:`ours`."""
    found: list[int | None] = []
    last = at_ms
    while len(found) < TICKS:
        tick = next(candidates, None)
        if tick is None or tick > last + HORIZON_MS:
            return [*found, None]
        found.append(tick)
        last = tick
    return found


@pytest.mark.parametrize(("count", "seed"), [FAST, LONG])
def test_next_is_what_trying_every_minute_finds(count: int, seed: int) -> None:
    """The next ticks are those of the brute-force oracle, or none where five years hold none."""
    for text, at_ms in cases(count, seed):
        start = instant(at_ms) + timedelta(minutes=1)
        stop = instant(at_ms + TICKS * HORIZON_MS)
        expected = within_horizon(at_ms, bounded(Oracle(text), start, stop))

        assert ours(text, at_ms) == expected, (text, at_ms)


def bounded(oracle: Oracle, start: datetime, stop: datetime) -> Iterator[int]:
    """Yield the oracle's ticks, and an end of the world for those that have none before *stop*."""
    day, last = start.date(), stop.date()
    while day <= last:
        if oracle.names_day(day):
            yield from oracle.walk(start, 1)
        day += timedelta(days=1)


@pytest.mark.parametrize(("count", "seed"), [FAST, LONG])
def test_latest_is_what_trying_every_minute_back_finds(count: int, seed: int) -> None:
    """The latest missed tick is the first that the oracle meets on its way back, if the window holds it."""
    rng = random.Random(seed)
    for text, at_ms in cases(count, seed + 1):
        not_before_ms = at_ms - rng.choice([0, 60_000, 3_600_000, 86_400_000, 40 * 86_400_000, 400 * 86_400_000])
        found = latest_at_or_before(parse(text), at_ms, not_before_ms)
        oracle, expected = Oracle(text), None
        day, first = instant(at_ms).date(), instant(not_before_ms).date()
        while day >= first and expected is None:
            if oracle.names_day(day):
                tick = next(oracle.walk(instant(at_ms), -1))
                expected = tick if tick >= not_before_ms else None
                break
            day -= timedelta(days=1)

        assert found == expected, (text, at_ms, not_before_ms)


@pytest.mark.parametrize(("count", "seed"), [FAST, LONG])
def test_looking_back_meets_looking_forward(count: int, seed: int) -> None:
    """From any tick, back by a millisecond and forward again is the same tick, and nothing lies between two ticks."""
    for text, at_ms in cases(count, seed + 2):
        cron = parse(text)
        tick = next_after(cron, at_ms)
        if tick is None:
            assert latest_at_or_before(cron, at_ms + HORIZON_MS, at_ms + 1) is None, text
            continue

        assert tick % 60_000 == 0
        assert next_after(cron, tick - 1) == tick, text
        assert latest_at_or_before(cron, tick, 0) == tick, text
        assert latest_at_or_before(cron, tick - 1, at_ms + 1) is None, text


@pytest.mark.parametrize(("count", "seed"), [FAST, LONG])
def test_next_agrees_with_cronsim(count: int, seed: int) -> None:
    """cronsim, which follows Debian, finds the same ticks."""
    compared = 0
    for text, at_ms in cases(count, seed + 3):
        if has_equal_range(text, with_step=True):
            continue
        compared += 1
        try:
            simulated = CronSim(text, instant(at_ms))
        except CronSimError:
            assert ours(text, at_ms) == [None], text  # it refuses days that no month has
            continue
        expected = within_horizon(at_ms, (round(tick.timestamp()) * 1000 for tick in simulated))

        assert ours(text, at_ms) == expected, (text, at_ms)
    assert compared > count * 0.8


@pytest.mark.parametrize(("count", "seed"), [FAST, LONG])
def test_next_agrees_with_croniter_where_the_meaning_is_the_same(count: int, seed: int) -> None:
    """croniter with its switch for Debian's reading of the day fields finds the same ticks."""
    compared = 0
    for text, at_ms in cases(count, seed + 4):
        if has_equal_range(text, with_step=False) or re.search(r",\*", text):
            continue
        compared += 1
        expected: list[int | None] = []
        try:
            iterated = croniter(text, instant(at_ms), implement_cron_bug=True, max_years_between_matches=20)
            expected = within_horizon(at_ms, (round(iterated.get_next(float)) * 1000 for _ in range(TICKS)))
        except CroniterBadDateError:
            assert None in ours(text, at_ms), text
            continue

        assert ours(text, at_ms) == expected, (text, at_ms)
    assert compared > count * 0.45


def has_equal_range(text: str, *, with_step: bool) -> bool:
    """Return whether *text* holds ``a-a`` (or, *with_step*, ``a-a/n``), in numbers or names."""
    for index, field in enumerate(text.upper().split()):
        for low, high, step in re.findall(r"(\w+)-(\w+)(/\d+)?", field):
            ends = [NAMES[index].index(end) if end.isalpha() else int(end) for end in (low, high)]
            if ends[0] == ends[1] and (step or not with_step):
                return True
    return False


def test_noise_is_refused_or_understood() -> None:
    """Whatever the text, the outcome is a cron or a CronError; a letter outside the grammar is always the latter."""
    rng = random.Random(7)
    alphabet = "0123456789*/-,  @?LW#HR\t\nmonjan+.٣\x00"
    for _ in range(5_000):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 24)))
        try:
            cron = parse(text)
        except CronError:
            continue
        assert cron.text == text
    for text in ("* * * * *", "1 2 3 4 5"):
        broken = [text[:i] + letter + text[i + 1 :] for i in range(len(text)) for letter in "\x00\x1b?LWHR@#x"]
        for one in broken:
            with pytest.raises(CronError):
                parse(one)
