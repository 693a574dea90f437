"""Targets inside a cluster: a name server of ours, a private address, and calls by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.e2e.egress_client.in_cluster import CALLS, NOT_YET_KNOWN
from tests.fakes.pages import ROOT


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"),
    reason="a network of one's own takes root, unshare and ip",
)
def test_case_1_a_service_of_the_cluster_is_called_by_name() -> None:
    """
    Allowed by ending, by network, by name, with the search list and as an absolute name, it is called; else it is not.

    Metadata, link-local and Fliq's own ports are refused also when everything is allowed, and nobody there is told anything. The
    machine's own public addresses are refused unless they are allowed, also while they are not known yet.
    """
    ended = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, "-m", "tests.e2e.egress_client.in_cluster"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)

    calls = CALLS + NOT_YET_KNOWN
    assert list(zip(calls, told["outcomes"], strict=True)) == [(call, call[-1]) for call in calls]
    assert told["met"] == [f"Host: {host}:8000" for _, host, _, outcome in calls if outcome == "ok"]
