"""The demo keeps its promise: a whole life, in a few seconds."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time
from pathlib import Path

from tests.fakes.running.topologies import ROOT

QUICK_S = 10.0
CPU_S = 6.0  # of the demo and its Fliq; it takes three, and more where others use the caches as well
PRESSURE = [Path("/proc/pressure/cpu"), Path("/proc/pressure/io")]


def waited_s() -> float:
    """Return for how long somebody on this machine has waited for a core or a disk since its start, where it says so."""
    said = [path.read_text() for path in PRESSURE if path.exists()]
    return sum(int(text.partition("total=")[2].split()[0]) for text in said) / 1e6


def used_s() -> float:
    """Return the CPU seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_demo_shows_a_life_and_exits_with_0() -> None:
    """Every step is shown in order, in plain text where there is no terminal, within ten seconds of a machine that is free."""
    begun, used_before, waited_before = time.monotonic(), used_s(), waited_s()
    ended = subprocess.run(
        [sys.executable, "-m", "services.dev.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    took_s, used, waited = time.monotonic() - begun, used_s() - used_before, waited_s() - waited_before
    print(f"the demo took {took_s:.1f} s, {used:.1f} s of CPU; somebody waited for {waited:.1f} s meanwhile")

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
    assert used < CPU_S
    assert took_s < QUICK_S + waited
