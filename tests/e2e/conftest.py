"""
What end-to-end tests stand on. After every test that used the running Fliq, the tables must be the fold of the log, row for row.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from libs.log.postgres import PostgresLog
from libs.store.pool import open_pool
from libs.store.verify import differences
from tests.fakes.running import RunningFliq

CAUGHT_UP_S = 5.0


async def fold_differences(dsn: str) -> list[str]:
    """Wait until the tables have caught up with the log, then return where they differ from its fold."""
    log, pool = PostgresLog(dsn), await open_pool(dsn, name="verify", size=1)
    try:
        await log.start()
        deadline = time.monotonic() + CAUGHT_UP_S
        while True:
            ends = [await log.end(partition) for partition in range(await log.partitions())]
            rows = await pool.fetch("SELECT part, position FROM progress")
            behind = [row["part"] for row in rows if row["position"] < ends[row["part"]] - 1]
            if not behind:
                return await differences(log, pool)
            assert time.monotonic() < deadline, f"partitions {behind} do not catch up with the log"
            await asyncio.sleep(0.01)
    finally:
        await log.stop()
        await pool.close()


def assert_tables_are_the_fold(dsn: str) -> None:
    """Fail with every difference between the tables and the fold of the log."""
    # In a thread, so that it works with and without a loop running here.
    with ThreadPoolExecutor(max_workers=1) as thread:
        found = thread.submit(asyncio.run, fold_differences(dsn)).result(timeout=60)
    assert not found, "\n".join(found)


@pytest.fixture(autouse=True)
def tables_are_the_fold(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compare tables and log after each test that talks to a running Fliq."""
    uses = {"fliq", "own_fliq"} & set(request.fixturenames)
    running = [request.getfixturevalue(name) for name in uses]
    yield
    for each in running:
        assert_tables_are_the_fold(each.settings["FLIQ_DATABASE_URL"])


@pytest.fixture
def own_fliq(pg_dsn: str) -> Iterator[RunningFliq]:
    """A Fliq of the test's own, to be stopped, killed and started again."""
    with RunningFliq(database_url=pg_dsn) as running:
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
