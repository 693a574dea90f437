"""How often a process looks whether others write to the log."""

from __future__ import annotations

import math

from libs.log.postgres.partition_bounds import (
    COMPANY_S,
    LIVELY_S,
    POLL_ALONE_S,
    POLL_FAST_S,
    POLL_SLOW_S,
    next_pause,
)


def pauses(silent_s: float) -> list[float]:
    """Return the pauses between many looks when nobody else was seen to write for *silent_s* before the first."""
    found, pause_s = [], POLL_FAST_S
    for _ in range(100):
        pause_s = next_pause(pause_s, silent_s)
        found.append(pause_s)
    return found


def test_a_process_that_writes_alone_looks_seldom() -> None:
    """Nobody else was ever seen to write, or not for long: the pauses grow to that of one who is alone, and no further."""
    for silent_s in (math.inf, COMPANY_S):
        found = pauses(silent_s)
        assert found == sorted(found)
        assert found[-1] == POLL_ALONE_S


def test_in_company_a_process_looks_often() -> None:
    """The record of another is seen within the short pause for minutes after the one before, and at once in a run of them."""
    assert pauses(COMPANY_S - 1)[-1] == POLL_SLOW_S
    assert set(pauses(LIVELY_S / 2)) == {POLL_FAST_S}
    assert next_pause(POLL_ALONE_S, LIVELY_S / 2) == POLL_FAST_S
    assert next_pause(POLL_ALONE_S, LIVELY_S * 2) == POLL_SLOW_S
