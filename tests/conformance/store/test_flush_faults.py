"""Flushes while the database misbehaves: written once or not at all, and known in the end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from libs.store.errors import StoreUnavailable
from libs.store.projection.projector import Projector
from tests.conformance.store.conftest import Harness
from tests.conformance.store.test_flush import due, scheduled
from tests.fakes.running.all_rows import all_rows


@pytest.fixture
async def other(store_dsn: str) -> AsyncIterator[Any]:
    """A connection of somebody else."""
    connection = await asyncpg.connect(store_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def hasty(harness: Harness) -> AsyncIterator[Projector]:
    """A projector that gives a try up after 0.3 s."""
    projector = Projector(harness.flush_pool, harness.watch, timeout_s=0.3)
    assert await projector.flush([harness.fold(3, scheduled(3))]) == set()
    yield projector
    await projector.close()


async def backend_of(harness: Harness) -> int:
    """Return the process of the flush that waits for a lock, once there is one."""
    async with asyncio.timeout(30):
        while True:
            pid = await harness.pool.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'fliq test%' AND wait_event_type = 'Lock' AND query LIKE '%flush AS MATERIALIZED%'"
            )
            if pid is not None:
                return int(pid)


async def usage(harness: Harness) -> list[int]:
    return list((await all_rows(harness.pool, 0)).usage.values())


async def test_a_backend_killed_in_the_middle(harness: Harness, other: Any) -> None:
    """The statement is under way when its back end dies: the next try writes it, once."""
    job = scheduled(0)
    async with other.transaction():
        await other.execute("LOCK TABLE jobs IN EXCLUSIVE MODE")
        flushing = asyncio.ensure_future(harness.projector.flush([harness.fold(0, job, due(job))]))
        await other.execute("SELECT pg_terminate_backend($1)", await backend_of(harness))
    assert await asyncio.wait_for(flushing, 30) == set()
    assert await usage(harness) == [1]


async def test_a_lock_that_is_held_too_long(harness: Harness, hasty: Projector, other: Any) -> None:
    """All tries time out and the caller hears of it; the same flush given again is written once, whatever became of them."""
    job = scheduled(0)
    flush = harness.fold(0, job, due(job))
    async with other.transaction():
        await other.execute("LOCK TABLE jobs IN EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable):
            await hasty.flush([flush])
    assert await hasty.flush([flush]) == set()
    assert await usage(harness) == [1]
    assert harness.watch.known(0) == 1


async def test_a_frozen_backend_that_wakes_later(harness: Harness, hasty: Projector, other: Any) -> None:
    """The session is stopped with the statement unread: another writes it, and the woken one finds the position moved."""
    pid = (await hasty._connected()).get_server_pid()
    job = scheduled(0)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert await hasty.flush([harness.fold(0, job, due(job))]) == set()
    finally:
        os.kill(pid, signal.SIGCONT)
    async with asyncio.timeout(30):
        while await other.fetchval("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid):
            pass
    assert await usage(harness) == [1]


async def test_a_cancelled_flush_can_be_repeated(harness: Harness, other: Any) -> None:
    """A caller that gave up in the middle leaves no session behind that could hold the next flush up."""
    job = scheduled(0)
    flush = harness.fold(0, job, due(job))
    async with other.transaction():
        await other.execute("LOCK TABLE jobs IN EXCLUSIVE MODE")
        flushing = asyncio.ensure_future(harness.projector.flush([flush]))
        await backend_of(harness)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
    assert await harness.projector.flush([flush]) == set()
    assert await usage(harness) == [1]


async def test_overlapping_projectors_never_deadlock(harness: Harness) -> None:
    """Two that flush the same partitions, given in opposite orders, wait for each other; each position moves once."""
    rival = Projector(harness.flush_pool, harness.watch)
    moved = {0: 0, 1: 0}
    for number in range(10):
        flushes = [harness.fold(part, scheduled(part, number)) for part in (0, 1)]
        results = await asyncio.gather(harness.projector.flush(flushes), rival.flush(flushes[::-1]))
        assert results == [set(), set()]  # the same nonce: whoever came second finds its own work done
        for part in moved:
            moved[part] += 1
            assert (await harness.tables.progress(part))[0] == moved[part] - 1
    await rival.close()


async def test_a_full_pool_of_the_server_passes(harness: Harness, store_dsn: str) -> None:
    """The address stops answering for a moment: the error says that trying again may help."""
    with pytest.raises(StoreUnavailable):
        await Projector(_Nowhere(), harness.watch).flush([harness.fold(0, scheduled(0))])


class _Nowhere:
    """A pool whose server refuses every connection."""

    async def acquire(self) -> Any:
        raise asyncpg.TooManyConnectionsError("sorry, too many clients already")


async def test_a_projector_whose_server_went_away_closes_quietly(hasty: Projector, other: Any) -> None:
    """The back end of the flush is gone before `close`: nothing is raised, and nothing is left behind."""
    await other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with pytest.raises(Exception, match=r"connection|terminat|operation"):
        await hasty._connection.fetchval("SELECT 1")

    await hasty.close()
