"""The flush: rows and position together, fenced by lease and position, partition by partition."""

from typing import Any

import asyncpg
import msgspec
import pytest

from libs.domain.state_registry import id_of
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Claim,
    JobFinished,
    JobScheduled,
    ScheduleTicked,
    Spec,
)
from libs.events.ids import new_job_id, new_schedule_id, tick_job_id
from libs.store.projection import flush_sql
from libs.store.projection.changes import ExecutionRow, Flush, PartitionChanges
from libs.store.reads.partition_tables import StoredSpec
from tests.conformance.store.conftest import NONCE, NOW, Harness
from tests.fakes import events
from tests.fakes.running.all_rows import all_rows

SPEC = Spec(url="https://example.com/", headers={"x": "y"}, body="é", webhook_url="https://example.com/hook")
STORED = msgspec.json.encode(SPEC)


def job_id(partition: int, number: int = 1) -> str:
    return new_job_id(NOW, partition, number.to_bytes(8, "big"))


def scheduled(partition: int, number: int = 1, fire_at: int = NOW + 1000) -> JobScheduled:
    return events.asked(job_id(partition, number), NOW, spec=SPEC, fire_at=fire_at, idempotency_key="k")


def due(scheduled: JobScheduled, attempt: int = 1) -> AttemptDue:
    return events.due(scheduled.job_id, scheduled.fire_at, attempt, account=scheduled.account, at=NOW + 900)


def finished(scheduled: JobScheduled, attempt: int = 1) -> AttemptFinished:
    return events.finished(scheduled.job_id, NOW + 1001, attempt, at=NOW + 1200, duration_ms=143, status_code=200)


async def test_a_job_goes_through_its_life_flush_by_flush(harness: Harness) -> None:
    """After each flush the row is the folded state, and the position is the last record's."""
    first = scheduled(0)
    end = JobFinished(
        job_id=first.job_id, account="acme", at=NOW + 1300, status="completed", attempt=1, status_code=200
    )
    for position, event in enumerate((first, due(first), finished(first), end)):
        await harness.write(0, event)
        assert await harness.tables.load(0, [first.job_id]) == [harness.ledgers[0].states[first.job_id]]
        assert await harness.tables.progress(0) == (position, Claim(1, "claimclaim"))
    rows = await all_rows(harness.pool, 0)
    assert rows.executions == {(first.job_id, 1): ExecutionRow(first.job_id, 1, NOW + 1001, True, 200, None, 143)}
    assert rows.usage == {("acme", (NOW + 1000) // 86_400_000): 1}
    assert await harness.tables.stored_specs([first.job_id], size_max=None) == {
        first.job_id: StoredSpec(len(STORED), STORED)
    }
    assert await harness.tables.stored_specs([first.job_id], size_max=len(STORED) - 1) == {
        first.job_id: StoredSpec(len(STORED), None)
    }


async def test_a_life_within_one_flush_is_one_row(harness: Harness) -> None:
    """Created, fired and finished between two flushes, a job is written once, as it ended."""
    first = scheduled(1)
    await harness.write(1, first, due(first), finished(first))
    rows = await all_rows(harness.pool, 1)
    assert list(rows.states.values()) == [harness.ledgers[1].states[first.job_id]]
    assert rows.executions[first.job_id, 1].ok is True


async def test_an_attempt_under_way_has_a_row_without_outcome(harness: Harness) -> None:
    """An execution exists from the admitted due on, also when its outcome is never learned."""
    first = scheduled(0)
    await harness.write(0, first, due(first))
    rows = await all_rows(harness.pool, 0)
    assert rows.executions == {(first.job_id, 1): ExecutionRow(first.job_id, 1, first.fire_at)}


async def test_schedules_and_their_jobs(harness: Harness) -> None:
    """A tick moves the schedule on and creates its job, which shares the schedule's spec."""
    schedule_id = new_schedule_id(NOW, 2, bytes(8))
    created = events.created(schedule_id, NOW, spec=SPEC, next_run_at=NOW + 5)
    tick = ScheduleTicked(
        schedule_id=schedule_id,
        at=NOW + 5,
        tick_at=NOW + 5,
        job_id=tick_job_id(schedule_id, NOW + 5),
        next_run_at=NOW + 60_005,
    )
    await harness.write(2, created)
    await harness.write(2, tick)
    rows = await all_rows(harness.pool, 2)
    assert rows.states == harness.ledgers[2].states
    assert set(rows.specs) == {schedule_id}
    loaded = await harness.tables.load(2, [schedule_id, tick.job_id])
    assert {id_of(state): state for state in loaded} == harness.ledgers[2].states


async def test_usage_adds_up_over_flushes(harness: Harness) -> None:
    """Every admitted attempt counts once, whichever flush brings it."""
    for number in range(1, 4):
        job = scheduled(0, number)
        await harness.write(0, job, due(job))
    assert (await all_rows(harness.pool, 0)).usage == {("acme", (NOW + 1000) // 86_400_000): 3}


@pytest.mark.parametrize("spoil", ["lease", "position"])
async def test_a_lost_fence_writes_nothing_and_stops_nobody_else(harness: Harness, spoil: str) -> None:
    """Of the partition whose lease or position is not ours nothing is written; the other partition of the call is."""
    flushes = [harness.fold(0, scheduled(0)), harness.fold(1, scheduled(1))]
    if spoil == "lease":
        await harness.pool.execute("UPDATE progress SET lease_nonce = 'another' WHERE part = 0")
    else:
        await harness.pool.execute("UPDATE progress SET position = 7 WHERE part = 0")
    assert await harness.projector.flush(flushes) == {0}
    lost, kept = await all_rows(harness.pool, 0), await all_rows(harness.pool, 1)
    assert (lost.states, lost.specs, lost.position) == ({}, {}, 7 if spoil == "position" else -1)
    assert (set(kept.states), kept.position) == ({job_id(1)}, 0)
    assert (harness.watch.known(0), harness.watch.known(1)) == (7 if spoil == "position" else -1, 0)


async def test_a_repeated_flush_is_done_not_refused(harness: Harness) -> None:
    """Given again after an unknown outcome, a flush that was written answers as written, and counts nothing twice."""
    job = scheduled(0)
    flush = harness.fold(0, job, due(job))
    assert await harness.projector.flush([flush]) == set()
    assert await harness.projector.flush([flush]) == set()
    assert list((await all_rows(harness.pool, 0)).usage.values()) == [1]


async def test_a_killed_backend_does_not_lose_or_double_a_flush(harness: Harness, store_dsn: str) -> None:
    """The projector's connection is ended between flushes: the next flush finds another and is written once."""
    await harness.write(0, scheduled(0, 1))
    killer = await asyncpg.connect(store_dsn)
    await killer.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'fliq test%'"
    )
    await killer.close()
    job = scheduled(0, 2)
    await harness.write(0, job, due(job))
    rows = await all_rows(harness.pool, 0)
    assert (len(rows.states), list(rows.usage.values())) == (2, [1])


async def test_nothing_to_change_still_moves_the_position(harness: Harness) -> None:
    """Void records change no row, and yet the tables have caught up with them."""
    flush = Flush(3, NONCE, -1, 4, None, PartitionChanges(3))
    assert await harness.projector.flush([flush]) == set()
    assert await harness.tables.progress(3) == (4, None)
    assert harness.watch.known(3) == 4


async def test_a_flush_that_does_not_move_on_is_refused(harness: Harness) -> None:
    """A flush must move the position: otherwise a repeated one could not be told from the first."""
    with pytest.raises(ValueError, match="from 3 to 3"):
        await harness.projector.flush([Flush(0, NONCE, 3, 3, None, PartitionChanges(0))])
    with pytest.raises(ValueError, match="twice"):
        await harness.projector.flush([Flush(0, NONCE, 3, 4, None, PartitionChanges(0))] * 2)


async def test_every_access_of_a_flush_is_by_index(harness: Harness) -> None:
    """With the session's settings the generic plan joins by nested loops over indexes, also on empty tables."""
    statement = flush_sql.statement(tuple(flush_sql._WRITES))
    connection = await harness.projector._connected()
    if connection.get_server_version().major < 16:
        pytest.skip("EXPLAIN (GENERIC_PLAN) came with PostgreSQL 16")
    await connection.execute("ANALYZE")
    # Parameters of a plan that is not run stay unbound, which only the simple protocol allows.
    plan = str(await _explained(connection, statement))
    assert "Seq Scan" not in plan
    assert "Hash Join" not in plan
    assert "Merge Join" not in plan
    for index in ("jobs_pkey", "executions_pkey", "progress_pkey"):
        assert f"Index Scan using {index}" in plan


async def _explained(connection: Any, statement: str) -> str:
    await connection.execute(
        "CREATE OR REPLACE FUNCTION pg_temp.explained(query text) RETURNS SETOF text LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (GENERIC_PLAN) ' || query; END $$"
    )
    lines = await connection.fetch("SELECT * FROM pg_temp.explained($1)", statement)
    return "\n".join(line[0] for line in lines)
