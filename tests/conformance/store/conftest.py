"""A migrated database per test, and a harness on it: pool, tables, projector, and a way to fold events into them."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from libs.domain.ledger import Ledger
from libs.events import Claim, Event
from libs.store.pool import open_pool
from libs.store.projection.changes import Flush, PartitionChanges
from libs.store.projection.progress import ProgressWatch
from libs.store.projection.projector import Projector
from libs.store.reads.partition_tables import Tables
from libs.store.schema.migrate import migrate
from tests.fakes.running.postgres import Databases, database_of

PARTITIONS = 4
NONCE = "nonce-of-the-test"


class Harness:
    """The store of one test, with leases on all partitions."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self.pool = pool
        self.watch = ProgressWatch(pool)
        self.projector = Projector(pool, self.watch)
        self.tables = Tables(pool)
        self.ledgers = {part: Ledger(part, claim=Claim(1, "claimclaim")) for part in range(PARTITIONS)}

    def fold(self, partition: int, *events: Event) -> Flush:
        """Fold *events* as the next records of *partition*, decisions under its claim, and return their flush."""
        ledger = self.ledgers[partition]
        before = ledger.position
        changes = PartitionChanges(partition)
        for event in events:
            changes.add(ledger.apply(ledger.position + 1, event, str(ledger.claim)))
        return Flush(partition, NONCE, before, ledger.position, ledger.claim, changes)

    async def write(self, partition: int, *events: Event) -> None:
        """Fold *events* and flush them."""
        assert await self.projector.flush([self.fold(partition, *events)]) == set()


_templates: dict[str, str] = {}


@pytest.fixture
async def store_dsn(pg_dsn_of: Databases) -> AsyncIterator[str]:
    """The DSN of a migrated database of its own."""
    if pg_dsn_of.dsn not in _templates:
        template = pg_dsn_of.create()
        await migrate(template, PARTITIONS)
        _templates[pg_dsn_of.dsn] = database_of(template)
    dsn = pg_dsn_of.create(template=_templates[pg_dsn_of.dsn])
    yield dsn
    pg_dsn_of.drop(dsn)


@pytest.fixture
async def harness(store_dsn: str) -> AsyncIterator[Harness]:
    """A harness on a fresh database."""
    pool = await open_pool(store_dsn, name="test", size=6)
    await pool.execute("UPDATE progress SET lease_nonce = $1", NONCE)
    made = Harness(pool)
    yield made
    await made.watch.stop()
    await made.projector.close()
    await pool.close()
