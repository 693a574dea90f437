"""Reads of the tables are fenced as writes are: by the position they stand at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from libs.domain import job
from services.scheduler.fenced_tables import FencedTables, TablesMoved
from tests.fakes.store import MemoryStore

READS: dict[str, Callable[[FencedTables], Awaitable[object]]] = {
    "load": lambda tables: tables.load(0, []),
    "newest_job": lambda tables: tables.newest_job(0),
    "load_open": lambda tables: tables.load_open(0),
    "load_due": lambda tables: tables.load_due(job.KIND, 0, 1, 1),
    "load_zoned": lambda tables: tables.load_zoned(0, "2026f", "", 1),
    "load_backlog": lambda tables: tables.load_backlog(0, "a", 1, 1),
}


def tables_at(position: int, saved: int, latest: int) -> FencedTables:
    """Return the tables of an owner that saved up to *saved* and may by now have saved up to *latest*."""
    store = MemoryStore()
    store.positions[0] = (position, None)
    return FencedTables(store, lambda: (saved, latest))


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(("position", "latest"), [(7, 7), (7, 9), (9, 9), (8, 9)])
async def test_tables_at_the_owners_own_position_are_read(read: str, position: int, latest: int) -> None:
    """What was saved last, or is being saved at the moment, is the owner's own fold."""
    await READS[read](tables_at(position, 7, latest))


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("position", [6, 10, -1])
async def test_tables_at_any_other_position_are_refused(read: str, position: int) -> None:
    """Older rows come of a failover to a replica that lagged, newer ones of another owner: neither may be decided from."""
    with pytest.raises(TablesMoved, match=f"stand at {position}"):
        await READS[read](tables_at(position, 7, 9))


async def test_where_the_tables_stand_may_always_be_asked() -> None:
    """A take-over begins with that."""
    assert await tables_at(3, 7, 9).progress(0) == (3, None)
