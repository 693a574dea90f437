"""The words and the decisions are covered by their own tests, every branch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_words_and_decisions_are_covered_by_their_unit_tests(tmp_path: Path) -> None:
    """Statements and branches of libs/events and libs/domain, all of them."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--cov-branch", "--cov-fail-under=100"]
    asked = ["--cov=libs.events", "--cov=libs.domain", "--cov-report=term-missing:skip-covered"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(
        [*command, *asked, "tests/unit/events", "tests/unit/domain", "tests/golden"],
        cwd=ROOT,
        env={**environment, "COVERAGE_FILE": str(tmp_path / "coverage")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-1_000:]
