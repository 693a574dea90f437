"""Crash points in real processes: dead at the n-th pass, as if killed, and free when unset."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from libs.runtime import crashpoint

ROOT = Path(__file__).parents[3]


@pytest.fixture
def point() -> str:
    """Any point that the code has."""
    found = crashpoint.points()
    assert found
    return found[0]


@pytest.mark.parametrize("passes", [1, 3])
def test_the_process_dies_at_the_nth_pass(point: str, passes: int) -> None:
    """Status 137, no handler runs, and the passes before it did nothing."""
    program = (
        "import atexit; from libs.runtime.crashpoint import arm, crash_at\n"
        f"atexit.register(print, 'handler'); arm({point!r}, {passes})\n"
        "for n in range(1, 9):\n"
        "    print('pass', n, flush=True); crash_at('other.point')\n"
        f"    crash_at({point!r})\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert result.returncode == 137
    assert result.stdout.splitlines() == [f"pass {n}" for n in range(1, passes + 1)]
    assert result.stderr == f"fliq: FLIQ_CRASH_AT: dying at {point}\n"


def test_unarmed_points_do_nothing(point: str) -> None:
    """Without FLIQ_CRASH_AT a pass has no effect, whatever its name."""
    crashpoint.crash_at(point)
    crashpoint.crash_at("no.such_point")


def test_a_point_that_does_not_exist_is_refused(point: str) -> None:
    """A misspelt name would otherwise never fire and let a test pass."""
    with pytest.raises(ValueError, match=r"'no\.such_point' is not a crash point"):
        crashpoint.arm("no.such_point", 1)
    with pytest.raises(ValueError, match="first pass or a later one"):
        crashpoint.arm(point, 0)


def test_points_are_named_room_and_moment() -> None:
    """Every name says where: the chaos tests choose by it."""
    rooms = {name.partition(".")[0] for name in crashpoint.points()}
    assert rooms <= {"api", "log", "scheduler", "store", "dispatcher", "webhooks"}
