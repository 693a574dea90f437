"""A migrated database per test, and a harness on it: pool, tables, projector, and a way to fold events into them."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest

from libs.domain.job import JobState, JobStatus
from libs.domain.ledger import Ledger
from libs.domain.schedule import ScheduleState
from libs.domain.state_registry import id_of
from libs.events import Claim, Event, encode
from libs.events.codec import kind_of
from libs.events.ids import new_job_id, new_schedule_id
from libs.store.pool import open_pool
from libs.store.projection.changes import Flush, PartitionChanges
from libs.store.projection.progress import ProgressWatch
from libs.store.projection.projector import SESSION, Projector
from libs.store.reads.partition_tables import Tables
from libs.store.schema.migrate import migrate
from tests.fakes.running.postgres import Databases, database_of

PARTITIONS = 4
NOW = 1_790_000_000_000
NONCE = "nonce-of-the-test"
CLAIM = Claim(1, "claimclaim")


class Harness:
    """The store of one test, with leases on all partitions."""

    def __init__(self, pool: "asyncpg.Pool[Any]", flush_pool: "asyncpg.Pool[Any]") -> None:
        self.pool = pool
        self.flush_pool = flush_pool
        self.watch = ProgressWatch(pool)
        self.projector = Projector(flush_pool, self.watch)
        self.tables = Tables(pool)
        self.ledgers = {part: Ledger(part, claim=CLAIM) for part in range(PARTITIONS)}

    def fold(self, partition: int, *events: Event) -> Flush:
        """Fold *events* as the next records of *partition*, decisions under its claim, and return their flush."""
        ledger = self.ledgers[partition]
        before = ledger.position
        changes = PartitionChanges(partition)
        for event in events:
            changes.add(ledger.apply(ledger.position + 1, event, str(ledger.claim)))
            changes.note(encode(event, CLAIM if kind_of(event).role == "decision" else None))
        return Flush(partition, NONCE, before, ledger.position, ledger.claim, changes)

    async def put(self, *states: JobState | ScheduleState, **changed: Any) -> None:
        """Write *states*, of any partition, and what else *changed* under the fence of partition 0, as if a fold had made them."""
        changes = PartitionChanges(0)
        changes.states.update((id_of(each), each) for each in states)
        changes.new = set(changes.states)
        for name, value in changed.items():
            setattr(changes, name, value)
        position, _ = await self.tables.progress(0)
        assert await self.projector.flush([Flush(0, NONCE, position, position + 1, CLAIM, changes)]) == set()

    async def write(self, partition: int, *events: Event) -> None:
        """Fold *events* and flush them."""
        assert await self.projector.flush([self.fold(partition, *events)]) == set()


def state(number: int, status: JobStatus = JobStatus.SCHEDULED, **fields: object) -> JobState:
    """Return a job of `acme`, whose id is of any partition; a higher *number* is a newer one."""
    base = JobState(
        job_id=new_job_id(NOW + number, number % PARTITIONS, number.to_bytes(8, "big")),
        account="acme",
        status=status,
        scheduled_at=NOW,
        fire_at=NOW,
        created_at=NOW,
    )
    return msgspec.structs.replace(base, **fields)


def schedule(number: int, **fields: object) -> ScheduleState:
    """Return a schedule of `acme` in partition 0; a higher *number* is a newer one, and ticks later."""
    base = ScheduleState(
        schedule_id=new_schedule_id(NOW + number, 0, number.to_bytes(8, "big")),
        account="acme",
        cron="* * * * *",
        created_at=NOW,
        next_run_at=NOW + number,
        changed_at=1,
    )
    return msgspec.structs.replace(base, **fields)


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
    flush_pool = await open_pool(store_dsn, name="test flush", size=3, settings=SESSION)
    made = Harness(pool, flush_pool)
    yield made
    await made.watch.stop()
    await made.projector.close()
    await flush_pool.close()
    await pool.close()
