"""
Two lanes for a machine of two cores, `pytest -n 2`, as `make test` runs.

What lives in real time (a Fliq, a broker, a database, their clocks) goes through one lane, one test after the other, so that
nothing of ours disturbs it. What only computes goes through the other, and gives way.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

COMPUTING = ("architecture", "deploy", "golden", "property", "simulation", "unit")  # rooms
_is_lane = "PYTEST_XDIST_WORKER" in os.environ


def only_computes(nodeid: str) -> bool:
    """Whether the test's room is one of those that only compute."""
    return nodeid.startswith(tuple(f"tests/{room}/" for room in COMPUTING))


class Lanes(LoadScopeScheduling):
    """All that lives in real time is one scope, which one lane takes as a whole, first; every other test is one of its own."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if only_computes(nodeid) else "real time"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    """Deal the tests out to the lanes."""
    return Lanes(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the lane that computes wait for the other."""
    if _is_lane and only_computes(item.nodeid):
        os.nice(19)  # added to what it is; 19 is the end
