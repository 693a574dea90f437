"""
Two lanes for a machine of two cores, `pytest -n 2 --dist loadgroup`, as `make test` runs.

What lives in real time (a Fliq, a broker, a database, their clocks) goes through one lane, one test after the other, so that
nothing of ours disturbs it. What only computes goes through the other, and gives way.
"""

from __future__ import annotations

import os

import pytest

COMPUTING = ("architecture", "golden", "property", "simulation", "unit")  # rooms
REAL = pytest.mark.xdist_group("real")
_in_lane = "PYTEST_XDIST_WORKER" in os.environ


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every test that may run in real time into one group, in front: the first lane takes the group as a whole."""
    if not _in_lane:
        return
    for item in items:
        if not _only_computes(item):
            item.add_marker(REAL)
    items.sort(key=_only_computes)


def _only_computes(item: pytest.Item) -> bool:
    room = item.path.relative_to(item.config.rootpath / "tests").parts[0]
    return room in COMPUTING and not {"pg_dsn", "pg_dsn_of", "kafka"} & set(getattr(item, "fixturenames", ()))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the lane that computes wait for the other."""
    if _in_lane and _only_computes(item):
        os.nice(19)  # added to what it is; 19 is the end
