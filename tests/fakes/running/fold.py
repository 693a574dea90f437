"""The tables of a running Fliq against the fold of its log."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from libs.log.ends import all_ends
from libs.log.port import Log
from libs.store.errors import StoreUnavailable
from libs.store.pool import open_pool
from libs.store.rebuild.verify import differences
from tests.fakes.running.processes import RunningFliq
from tests.fakes.until import until

CAUGHT_UP_S = 10.0


def assert_tables_are_the_fold(fliq: RunningFliq) -> None:
    """Fail with every difference between the tables and the fold of the log, wherever that log is."""
    # In a thread, so that it works with and without a loop running here.
    with ThreadPoolExecutor(max_workers=1) as thread:
        found = thread.submit(asyncio.run, fold_differences(fliq)).result(timeout=60)
    assert not found, "\n".join(found)


async def fold_differences(fliq: RunningFliq) -> list[str]:
    """Wait until the tables have caught up with the log, then return where they differ from its fold."""
    async with fliq.open_log() as log:
        pool = await _open(fliq.settings["FLIQ_DATABASE_URL"])
        try:
            await _caught_up(log, pool)
            return await differences(log, pool)
        finally:
            await pool.close()


async def _open(dsn: str) -> Any:
    """Open a pool; a database that a test has just given back may be slow on a busy machine."""
    for _ in range(2):
        try:
            return await open_pool(dsn, name="verify", size=1)
        except StoreUnavailable:
            continue
    return await open_pool(dsn, name="verify", size=1)


async def _caught_up(log: Log, pool: object) -> None:
    behind: list[int] = []

    async def none_behind() -> bool:
        ends = await all_ends(log)
        rows = await pool.fetch("SELECT part, position FROM progress")  # type: ignore[attr-defined]
        behind[:] = [row["part"] for row in rows if row["position"] < ends[row["part"]] - 1]
        return not behind

    await until(
        none_behind, within_s=CAUGHT_UP_S, every_s=0.01, saying=lambda: f"partitions {behind} lag behind the log"
    )
