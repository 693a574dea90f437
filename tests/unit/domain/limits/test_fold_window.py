"""Fold window: what may be unfolded follows how long folding takes."""

from __future__ import annotations

import pytest

from libs.domain.limits.fold_window import LESS, TELLING, FoldWindow

IN_TIME = 300


def window(total: int = 1_000) -> FoldWindow:
    return FoldWindow(total, least=100, most=2_000, in_time=IN_TIME)


def test_a_late_unit_makes_the_window_what_is_folded_in_time() -> None:
    """1,000 units were folded in 600 ms, so 500 are folded in 300."""
    each = window()

    assert each.folded(appended_at=0, now=600, ahead=1_000)
    assert each.total == 500


def test_one_account_alone_does_not_make_it_too_small() -> None:
    """It fills half of the window. 500 units in 400 ms are 375 in 300 ms: half of the window that is there afterwards."""
    each = window()

    assert each.folded(appended_at=0, now=400, ahead=500)
    assert each.total == 750


def test_an_early_unit_makes_it_larger() -> None:
    """By a quarter, up to the most that there may be."""
    each = window()
    for now in range(0, 10_000, 100):
        each.folded(appended_at=now, now=now + 100, ahead=10)

    assert each.total == 2_000


def test_a_unit_in_between_changes_nothing() -> None:
    """From half of the time on what is there is right."""
    each = window()

    assert not each.folded(appended_at=0, now=200, ahead=1_000)
    assert each.total == 1_000


def test_what_was_appended_before_the_last_change_says_nothing() -> None:
    """It waited in the larger window."""
    each = window()
    each.folded(appended_at=0, now=600, ahead=1_000)

    assert not each.folded(appended_at=599, now=1_500, ahead=1_000)
    assert each.folded(appended_at=600, now=1_500, ahead=500)


def test_a_wait_with_little_ahead_is_not_the_windows() -> None:
    """A pause of the process, or the records of others that do not count here, would last as long with a smaller window."""
    each = window()

    assert not each.folded(appended_at=0, now=5_000, ahead=int(1_000 * TELLING) - 1)


def test_one_long_pause_leaves_a_part_and_many_leave_the_least() -> None:
    """However long a unit took, so much of the window stays; and never less than the least."""
    each = window()
    each.folded(appended_at=0, now=60_000, ahead=1_000)
    assert each.total == 1_000 * LESS
    for now in range(60_000, 600_000, 60_000):
        each.folded(appended_at=now, now=now + 60_000, ahead=each.total)
    assert each.total == 100


@pytest.mark.parametrize("per_s", [400, 1_000, 5_000, 50_000])
@pytest.mark.parametrize("first", [100, 1_000, 2_000])
def test_it_finds_what_a_machine_folds(per_s: int, first: int) -> None:
    """Whatever it begins with, and however fast this machine is: after some seconds all is folded in time, and it is not idle."""
    each = window(first)
    now = 0.0
    for _ in range(40):
        took = each.total * 1_000 / per_s  # it is full
        now += took
        each.folded(appended_at=now - took, now=now, ahead=each.total)

    took = each.total * 1_000 / per_s
    assert took <= IN_TIME * 1.3 or each.total == 100
    assert took >= IN_TIME / 2 or each.total == 2_000
