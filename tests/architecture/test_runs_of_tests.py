"""A run of the tests comes to an end, also when a lane dies, and what a killed one left is removed by the next."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.fakes.running.memory_disk import sweep

MANY = 60

SUITE = f"""
import os
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range({MANY}))
def test_each(number):
    died = Path(__file__).with_name("died")
    if number == {MANY // 2} and not died.exists():
        died.touch()
        os._exit(1)
"""


def test_a_lane_that_dies_is_replaced_and_the_run_ends(tmp_path: Path) -> None:
    """It dies in the middle of the run: that test fails, and every test is run to its end."""
    folder = tmp_path / "tests" / "unit"
    folder.mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_dying.py").write_text(SUITE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            "2",
            "-p",
            "tests.fakes.lanes",
            "--rootdir",
            tmp_path,
            "-c",
            tmp_path / "pytest.ini",
        ],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed)", run.stdout.splitlines()[-1])}
    assert counts == {"passed": MANY, "failed": 1}, run.stdout


def test_what_killed_runs_left_is_removed(tmp_path: Path) -> None:
    """The folders of a process that is gone, and no others."""
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True, text=True
    )
    left = [tmp_path / f"fliq-pg-{int(gone.stdout)}-a_b1", tmp_path / f"fliq-{int(gone.stdout)}-a_b2"]
    stays = [
        tmp_path / f"fliq-pg-{os.getpid()}-a_b1",
        tmp_path / "fliq-data",
        tmp_path / f"other-{int(gone.stdout)}-ab",
    ]
    for folder in [*left, *stays]:
        (folder / "inside").mkdir(parents=True)
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(stays)
