"""
What end-to-end tests stand on. After every test that used the running Fliq, the tables must be the fold of the log, row for row.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.running.fold import assert_tables_are_the_fold
from tests.fakes.running.topologies import FliqOf, RunningFliq


@pytest.fixture(autouse=True)
def tables_are_the_fold(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compare tables and log after each test that talks to a running Fliq."""
    uses = {"fliq", "own_fliq"} & set(request.fixturenames)
    running = [request.getfixturevalue(name) for name in uses]
    yield
    for each in running:
        assert_tables_are_the_fold(each)


@pytest.fixture
def own_fliq(topology: str, fliq_of: FliqOf) -> Iterator[RunningFliq]:
    """A Fliq of the test's own, to be stopped, killed and started again."""
    with fliq_of(topology) as running:
        yield running
