"""
Four lanes for a machine of two cores, `pytest -n 4`, as `make test` runs.

What lives in real time (a Fliq, a broker, their clocks) goes through one lane, one test after the other, so that nothing of ours
disturbs it. What is patient goes through the others, and gives way: it computes, or waits for what comes when it comes. There are
three of these, because more of them wait than compute. No lane is much longer than the others if what is real time takes less than
a quarter of the whole.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

PATIENT = (
    "architecture/",
    "browser/",  # pages come when they come
    "chaos/",  # the harness notes when the machine stood still
    "clients/",
    "conformance/",
    "contract/test_",  # of these only what runs in the test's own process
    "deploy/",
    "e2e/egress_client/",
    "e2e/embedded_postgres/",
    "e2e/operating/",
    "e2e/outages/test_restart.py",
    "e2e/process/",
    "e2e/test_limits.py",
    "golden/",
    "prometheus/test_alerts.py",
    "prometheus/test_dashboards.py",
    "property/",
    "simulation/",
    "unit/",
)
SHARING = ("tests/browser/", "tests/clients/test_", "tests/deploy/", "tests/e2e/")
_HERE = re.compile(r"[\[-]here[\]-]")
_is_lane = "PYTEST_XDIST_WORKER" in os.environ


def is_patient(nodeid: str) -> bool:
    """Whether the test may be slow; not if it needs the broker, of which there is one, or the Fliq of the contract's tests."""
    if not nodeid.startswith(tuple(f"tests/{room}" for room in PATIENT)):
        return False
    if "kafka" in nodeid.lower() and not nodeid.startswith("tests/chaos/"):  # which has brokers of its own
        return False
    if not nodeid.startswith("tests/contract/test_") or "test_every_case" in nodeid:
        return True
    return "test_protocol" not in nodeid and _HERE.search(nodeid) is not None


class Lanes(LoadScopeScheduling):
    """
    All that lives in real time is one scope, which one lane takes as a whole, first. Of the others those of a file that share what
    they started are one, too, and the rest are one each.

    A lane that dies is replaced. As it comes from pytest-xdist the run would then wait for ever: the scopes that the dead lane had
    finished are dealt out again, empty, and a lane that is given nothing holds the test that it has and waits for the one after it.
    """

    def _split_scope(self, nodeid: str) -> str:
        if not is_patient(nodeid):
            return "real time"
        return nodeid.partition("::")[0] if nodeid.startswith(SHARING) else nodeid

    def remove_node(self, node: WorkerController) -> str | None:
        """Take back from a lane that ended what it had left; return the test that it died in."""
        scopes = self.assigned_work[node]
        self.assigned_work[node] = {scope: tests for scope, tests in scopes.items() if not all(tests.values())}
        return super().remove_node(node)

    def _reschedule(self, node: WorkerController) -> None:
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) <= 2:
            self._assign_work_unit(node)
        super()._reschedule(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    """Deal the tests out to the lanes."""
    return Lanes(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the patient lane wait for the other."""
    if _is_lane and is_patient(item.nodeid):
        os.nice(19)  # added to what it is; 19 is the end
