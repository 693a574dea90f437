"""
What end-to-end tests stand on. After every test that used the running Fliq, the tables must be the fold of the log, row for row.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.fakes.fold import assert_tables_are_the_fold
from tests.fakes.running import FliqOf, RunningFliq


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


class Stalls:
    """How long this machine let a thread wait that wanted to run: what no scheduler on it could have done better."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._done.is_set():
            begun = time.monotonic()
            time.sleep(0.002)
            self.longest_ms = max(self.longest_ms, (time.monotonic() - begun) * 1000 - 2)

    def __enter__(self) -> Stalls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(5)


@pytest.fixture
def stalls() -> Iterator[Stalls]:
    """Watches how long the machine stalls during the test."""
    with Stalls() as watching:
        yield watching
