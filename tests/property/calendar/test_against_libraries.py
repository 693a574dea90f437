"""
Crons in time zones against cronsim and croniter, around clock changes.

All differences are known: they stand in cronsim_differences.txt and croniter_differences.txt beside this file, with what we found
when we looked at them. A new difference is a defect of ours or a new version of a library: look at it, then write the files again
with `FLIQ_TEST_WRITE_DIFFERENCES=1`. cronsim is compared as Debian's cron, which it follows; croniter, which ticks both times in
a fold, with `fold: both`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import FrameType

import pytest
from croniter import CroniterBadDateError, croniter
from cronsim import CronSim

from libs.domain.calendar.cron_text import parse
from libs.domain.calendar.ticks import Dst, WallClock, next_tick
from tests.property.calendar.test_zone_oracle import rules
from tests.property.calendar.zone_files import distinct_names, library_zone, transitions, zone

PATIENCE_S = 0.5  # of CPU time for one walk; a walk takes a few milliseconds
WALK_COUNT_MAX = 5_000
SHOWN_COUNT_MAX = 3  # ticks of a difference that its line shows
HERE = Path(__file__).parent
WRITES = os.environ.get("FLIQ_TEST_WRITE_DIFFERENCES") == "1"
DENSE = {"*", "*/5", "0-23", "*/2", "9-17"}

Change = tuple[str, int]  # a zone's name, and the number of a transition
Found = dict[tuple[str, str, str], str]  # zone, clock change and cron -> the difference in words


class TooLong(Exception):
    """A walk did not end."""


@contextmanager
def patience() -> Iterator[None]:
    """Raise TooLong if the block takes too much CPU time."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@cache
def changes() -> list[Change]:
    """Return the clock changes of 2000 to 2040, of those that look the same on the wall only the first."""
    found: dict[tuple[int, int], Change] = {}
    for name in distinct_names():
        each = zone(name)
        for index in transitions(name):
            before, after = each.offset[index - 1], each.offset[index]
            found.setdefault((each.at[index] + before, after - before), (name, index))
    return sorted(found.values())


def window(change: Change, text: str) -> tuple[int, int]:
    """Return the UTC seconds between which ticks are compared: a day, or a few hours if the cron ticks often."""
    at = zone(change[0]).at[change[1]]
    is_dense = all(field in DENSE for field in text.split()[:2])
    return (at - 5_400, at + 9_000) if is_dense else (at - 6 * 3_600, at + 26 * 3_600)


def ours(change: Change, text: str, fold: str) -> list[int]:
    """Return our ticks in the window."""
    low, high = window(change, text)
    clock = WallClock(cron=parse(text), zone=zone(change[0]), dst=Dst("shift", fold))  # type: ignore[arg-type]
    found = []
    while (tick := next_tick(clock, low + 1, high)) is not None:
        found.append(low := tick.second)
    return found


def theirs(change: Change, text: str, start: Callable[[str, datetime], Callable[[], int]]) -> list[int] | str:
    """Return a library's ticks in the window, or what became of it."""
    low, high = window(change, text)
    found: list[int] = []
    try:
        with patience():
            following = start(text, datetime.fromtimestamp(low, library_zone(change[0])))
            while len(found) < WALK_COUNT_MAX and (tick := following()) <= high:
                found.append(tick)
    except (StopIteration, CroniterBadDateError):
        pass
    except TooLong:
        return "does not end"
    return found


def cronsim_from(text: str, at: datetime) -> Callable[[], int]:
    simulated = CronSim(text, at)
    return lambda: round(next(simulated).timestamp())


def croniter_from(text: str, at: datetime) -> Callable[[], int]:
    iterated = croniter(text, at, implement_cron_bug=True)
    return lambda: round(iterated.get_next(float))


def in_words(mine: list[int], other: list[int] | str, at: int) -> str | None:
    """Return the difference of two walks, in minutes after the clock change; None if there is none."""
    if isinstance(other, str):
        return other
    parts = []
    for name, ticks in (("loses", sorted({*mine} - {*other})), ("adds", sorted({*other} - {*mine}))):
        if ticks:
            shown = " ".join(f"{(tick - at) / 60:+g}" for tick in ticks[:SHOWN_COUNT_MAX])
            more = f" and {len(ticks) - SHOWN_COUNT_MAX} more" if len(ticks) > SHOWN_COUNT_MAX else ""
            parts.append(f"{name} {shown}{more}")
    if len(other) != len({*other}):
        parts.append("repeats")
    return ", ".join(parts) or (None if other == mine else "goes back")


def differences(some: list[Change], crons: list[str], library: str) -> Found:
    """Return the differences between us and a library."""
    fold, start = ("first", cronsim_from) if library == "cronsim" else ("both", croniter_from)
    found: Found = {}
    for name, index in some:
        at = zone(name).at[index]
        for text in crons:
            words = in_words(ours((name, index), text, fold), theirs((name, index), text, start), at)
            if words is not None:
                found[name, datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%MZ"), text] = words
    return found


def known(library: str) -> Found:
    """Return the differences that were looked at."""
    found: Found = {}
    for line in (HERE / f"{library}_differences.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, at, text, words = line.split(" | ")
            found[name, at, text] = words
    return found


def check(library: str, some: list[Change], crons: list[str]) -> None:
    """Assert that the differences are those known of these changes and crons."""
    names = {
        (name, datetime.fromtimestamp(zone(name).at[index], UTC).strftime("%Y-%m-%dT%H:%MZ")) for name, index in some
    }
    expected = {key: words for key, words in known(library).items() if key[:2] in names and key[2] in crons}

    assert differences(some, crons, library) == expected


def write(library: str, found: Found) -> None:
    """Write the file of differences again, below its words."""
    path = HERE / f"{library}_differences.txt"
    words = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    lines = [" | ".join((*key, difference)) for key, difference in sorted(found.items())]
    path.write_text("\n".join([*words, *lines, ""]), encoding="utf-8")


def compared(library: str) -> tuple[list[Change], list[str]]:
    """Return the clock changes and crons for which the file of differences is complete."""
    return (changes(), rules()[::4]) if library == "cronsim" else (changes()[::30], rules()[:60])


@pytest.mark.parametrize("library", ["cronsim", "croniter"])
def test_a_sample_differs_as_is_known(library: str) -> None:
    """Some clock changes and crons: the differences from the library are those in its file, no more and no fewer."""
    some, crons = compared(library)
    check(
        library, some[::45] if library == "cronsim" else some[::6], crons[::8] if library == "cronsim" else crons[::3]
    )


@pytest.mark.nightly
@pytest.mark.timeout(2 * 3_600)
@pytest.mark.parametrize("library", ["cronsim", "croniter"])
def test_all_differ_as_is_known(library: str) -> None:
    """All clock changes that look different on the wall (croniter, which is slow: a sample of them)."""
    some, crons = compared(library)
    if WRITES:
        write(library, differences(some, crons, library))
        return
    check(library, some, crons)
