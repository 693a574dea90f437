"""
Two lanes for a machine of two cores, `pytest -n 2`, as `make test` runs.

What lives in real time (a Fliq, a broker, their clocks) goes through one lane, one test after the other, so that nothing of ours
disturbs it. What is patient goes through the other, and gives way: it computes, or waits for what comes when it comes.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

PATIENT = (
    "architecture/",
    "chaos/test_checker.py",
    "chaos/test_link.py",
    "chaos/test_crash_points.py",  # the harness notes when the machine stood still
    "chaos/test_report.py",
    "clients/pure/",
    "clients/test_installed.py",
    "conformance/",
    "contract/test_",  # of these only what runs in the test's own process
    "deploy/",
    "e2e/egress_client/",
    "e2e/embedded_postgres/",
    "e2e/operating/test_upgrade.py",
    "e2e/process/",
    "golden/",
    "prometheus/test_alerts.py",
    "prometheus/test_dashboards.py",
    "property/",
    "simulation/",
    "unit/",
)
_HERE = re.compile(r"[\[-]here[\]-]")
_is_lane = "PYTEST_XDIST_WORKER" in os.environ


def is_patient(nodeid: str) -> bool:
    """Whether the test may be slow; what needs a broker may not, because one broker has to do, nor what shares a running Fliq."""
    if not nodeid.startswith(tuple(f"tests/{room}" for room in PATIENT)) or "kafka" in nodeid.lower():
        return False
    return "/contract/" not in nodeid or ("test_protocol" not in nodeid and _HERE.search(nodeid) is not None)


class Lanes(LoadScopeScheduling):
    """All that lives in real time is one scope, which one lane takes as a whole, first; every other test is one of its own."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if is_patient(nodeid) else "real time"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    """Deal the tests out to the lanes."""
    return Lanes(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the patient lane wait for the other."""
    if _is_lane and is_patient(item.nodeid):
        os.nice(19)  # added to what it is; 19 is the end
