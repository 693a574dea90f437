"""The demo keeps its promise: a whole life, in a few seconds."""

from __future__ import annotations

import re
import subprocess
import sys
import time

from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import ROOT

QUICK_S = 10.0


def test_the_demo_shows_a_life_and_exits_with_0(stalls: Stalls) -> None:
    """Every step is shown in order, in plain text where there is no terminal, within ten seconds."""
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "services.dev.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    took_s = time.monotonic() - begun

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "\x1b" not in ended.stdout
    steps = re.findall(r"^ +[+-][\d.]+ s  (\w+) +(.*?)  ", ended.stdout, flags=re.MULTILINE)
    assert [" ".join(step).strip() for step in steps if step[0] == "log"] == [
        "log job.scheduled",
        "log attempt.due",
        "log attempt.finished",
        "log job.retry_scheduled",
        "log attempt.due",
        "log attempt.finished",
        "log job.finished",
        "log webhook.finished",
    ]
    assert [step[0] for step in steps if step[0] != "log"] == ["target", "target", "webhook"]
    assert ended.stdout.rstrip().splitlines()[-1].startswith("success: two executions")
    assert took_s < QUICK_S + 2 * stalls.longest_ms / 1000
