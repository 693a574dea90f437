"""How often a process looks whether others write to the log."""

from __future__ import annotations

import math
from inspect import signature

from libs.log.postgres.adapter import PostgresLog
from libs.log.postgres.partition_bounds import (
    HEARD_S,
    LIVELY_S,
    POLL_ALONE_S,
    POLL_DEAF_S,
    POLL_FAST_S,
    POLL_SLOW_S,
    next_pause,
)
from libs.log.postgres.writer import ANNOUNCE_EVERY_S


def pauses(silent_s: float, *, is_expected: bool = False, hears: bool = True) -> list[float]:
    """Return the pauses between many looks when nobody else was seen to write for *silent_s* before the first."""
    found, pause_s = [], POLL_FAST_S
    for _ in range(100):
        pause_s = next_pause(pause_s, silent_s, is_expected=is_expected, hears=hears)
        found.append(pause_s)
    return found


def test_a_process_that_writes_alone_looks_seldom() -> None:
    """An announcement ends its long pause; while it cannot hear any, it looks more often."""
    assert set(pauses(math.inf)) == {POLL_ALONE_S}
    assert set(pauses(math.inf, hears=False)) == {POLL_DEAF_S}


def test_in_company_a_process_looks_often() -> None:
    """The record of another is seen within the short pause while it may come unannounced, and at once in a run of them."""
    found = pauses(math.inf, is_expected=True)
    assert found == sorted(found)
    assert found[-1] == POLL_SLOW_S
    assert set(pauses(LIVELY_S / 2)) == {POLL_FAST_S}
    assert next_pause(POLL_ALONE_S, LIVELY_S * 2, is_expected=True, hears=True) == POLL_SLOW_S


def test_an_announcement_holds_until_the_next_one() -> None:
    """Who writes announces it each second, and a group that is sent in between takes at most the timeout of the log to commit."""
    timeout_s = signature(PostgresLog).parameters["timeout_s"].default
    assert ANNOUNCE_EVERY_S + timeout_s < HEARD_S
