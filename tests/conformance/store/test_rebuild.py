"""A rebuild makes the same rows as the fold that ran, whatever its batches; it puts them in place, and leaves nothing behind."""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from libs.domain.ledger import Ledger
from libs.events import Claim, Envelope, OwnerClaimed, encode, read
from libs.events.ids import new_job_id
from libs.events.protocol import PROTOCOL
from libs.log.memory import MemoryLog
from libs.log.port import LogUnavailable
from libs.store.history.janitor import sweep_all
from libs.store.leases.lease_table import OwnerLeases
from libs.store.projection.changes import Flush, PartitionChanges
from libs.store.rebuild.rebuild import Rebuild, RebuildRefused, TablesLocked
from libs.store.rebuild.row_hash import hashes
from libs.store.rebuild.side_tables import SIDE, TABLES, TablesNotOwned
from libs.store.rebuild.verify import differences
from tests.conformance.store.conftest import NONCE, PARTITIONS, Harness
from tests.conformance.store.test_flush import NOW, due, scheduled
from tests.fakes.histories import history
from tests.fakes.running.postgres import database_of

LIVES = 150


@pytest.fixture
async def log(harness: Harness) -> MemoryLog:
    """A log with a long history in every partition, folded into the tables but for its last records."""
    made = MemoryLog(partitions=PARTITIONS)
    await made.start()
    for partition in range(PARTITIONS):
        records = list(history(partition, lives=LIVES))
        await made.append(partition, records)
        await fold(harness, partition, records[: len(records) - 5 * partition])
    return made


async def fold(harness: Harness, partition: int, records: Sequence[Envelope], start: int = 0) -> None:
    """Flush the fold of *records*, which begin at *start*, as an owner would: in pieces."""
    ledger = harness.ledgers[partition] = Ledger(partition) if start == 0 else harness.ledgers[partition]
    for first in range(0, len(records), 97):
        changes, before = PartitionChanges(partition), ledger.position
        for position, envelope in enumerate(records[first : first + 97], start + first):
            changes.add(ledger.apply(position, read(partition, envelope), envelope.claim))
            changes.note(envelope)
        flush = Flush(partition, NONCE, before, ledger.position, ledger.claim, changes)
        assert await harness.projector.flush([flush]) == set()


async def shape(pool: Any) -> list[Any]:
    """Return all that makes up the tables besides their rows."""
    queries = (
        "SELECT c.relname, c.relkind::text, c.reloptions, c.relacl::text FROM pg_class c"
        " WHERE relnamespace = 'fliq'::regnamespace AND relname !~ 'toast' ORDER BY 1",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'fliq' ORDER BY 1, 2",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'fliq'::regnamespace ORDER BY 1, 2",
        "SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'fliq' ORDER BY 1, 3",
    )
    return [[tuple(row) for row in await pool.fetch(query)] for query in queries]


async def side_schema(pool: Any) -> bool:
    """Say whether side tables are there."""
    return await pool.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = $1", SIDE) == 1


async def test_the_new_tables_are_the_old_ones(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """Every row the same, and names, options, indexes, keys and grants too; positions at the log's end; no lease is left."""
    await harness.pool.execute("GRANT SELECT ON fliq.jobs TO PUBLIC")
    before, old = await shape(harness.pool), await harness.pool.fetchval("SELECT 'fliq.jobs'::regclass::oid")
    stages: Counter[str] = Counter()

    rebuilt = await Rebuild(log, store_dsn, on_progress=lambda stage, *_: stages.update([stage])).run()

    assert rebuilt.has_switched
    assert rebuilt.differences.count == 0, list(rebuilt.differences.lines())
    assert set(stages) == {"folding", "indexing", "following", "comparing", "switching"}
    assert await differences(log, harness.pool) == []
    assert await shape(harness.pool) == before
    assert await harness.pool.fetchval("SELECT 'fliq.jobs'::regclass::oid") != old
    assert not await side_schema(harness.pool)
    for partition in range(PARTITIONS):
        row = await harness.pool.fetchrow("SELECT * FROM progress WHERE part = $1", partition)
        assert row["position"] == await log.end(partition) - 1
        assert (row["lease_nonce"], row["lease_node"], row["lease_until"]) == (None, None, None)


@pytest.mark.parametrize(("rows_max", "states_max"), [(1, 1), (7, 0), (300, 20), (100_000, 100_000)])
async def test_the_result_does_not_depend_on_the_batches(
    harness: Harness, store_dsn: str, log: MemoryLog, rows_max: int, states_max: int
) -> None:
    """Row by row and in one piece, with states let go or kept: the hashes are those of the tables that serve."""
    for partition in range(PARTITIONS):
        position = await harness.pool.fetchval("SELECT position FROM progress WHERE part = $1", partition)
        records = await log.read(partition, position + 1)
        await fold(harness, partition, [record.envelope for record in records], position + 1)
    async with harness.pool.acquire() as connection, connection.transaction():
        await sweep_all(connection, "fliq")
        expected = await hashes(connection, "fliq")

    rebuilt = await Rebuild(log, store_dsn, rows_max=rows_max, states_max=states_max).run(is_check=True)

    assert rebuilt.hashes == expected
    assert rebuilt.rows == {table: await harness.pool.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


@pytest.mark.parametrize("how", ["is_check", "is_dry_run"])
async def test_without_a_switch_nothing_is_left(harness: Harness, store_dsn: str, log: MemoryLog, how: str) -> None:
    """A check and a dry run compare, and the old tables serve as before: positions, leases and all."""
    before = [tuple(row) for row in await harness.pool.fetch("SELECT * FROM progress ORDER BY part")]
    old = await harness.pool.fetchval("SELECT 'fliq.jobs'::regclass::oid")

    rebuilt = await Rebuild(log, store_dsn).run(**{how: True})

    assert not rebuilt.has_switched
    assert rebuilt.differences.count == 0
    assert [tuple(row) for row in await harness.pool.fetch("SELECT * FROM progress ORDER BY part")] == before
    assert await harness.pool.fetchval("SELECT 'fliq.jobs'::regclass::oid") == old
    assert not await side_schema(harness.pool)


PLANTED = {
    "jobs": "UPDATE jobs SET fire_at = 5 WHERE job_id = (SELECT job_id FROM jobs WHERE part = 1 LIMIT 1)",
    "specs": "DELETE FROM specs WHERE spec_id = (SELECT spec_id FROM specs WHERE part = 1 LIMIT 1)",
    "executions": "UPDATE executions SET ok = NOT ok WHERE job_id = (SELECT job_id FROM executions"
    " WHERE part = 1 AND ok LIMIT 1)",
    "schedules": "UPDATE schedules SET next_run_at = 1 WHERE part = 1",
    "labels": "DELETE FROM labels WHERE part = 1",
    "usage_daily": "INSERT INTO usage_daily VALUES ('nobody', '2026-01-01', 1, 5)",
    "progress": "UPDATE progress SET claim_nonce = 'another' WHERE part = 1",
}


@pytest.mark.parametrize("table", PLANTED)
async def test_what_was_wrong_is_said_and_mended(harness: Harness, store_dsn: str, log: MemoryLog, table: str) -> None:
    """Each planted difference is found in its table and partition, and in no other; afterwards the tables are the fold."""
    await harness.pool.execute(PLANTED[table])
    rebuilt = await Rebuild(log, store_dsn).run()
    assert set(rebuilt.differences.counts) == {(1, table)}
    assert "secret" not in "".join(rebuilt.differences.lines())
    assert await differences(log, harness.pool) == []


async def test_a_column_that_differs_is_named_with_both_values(
    harness: Harness, store_dsn: str, log: MemoryLog
) -> None:
    """The difference holds the key, the column, the tables' value and the log's."""
    job_id, before = await harness.pool.fetchrow("SELECT job_id, fire_at FROM jobs WHERE part = 2 LIMIT 1")
    await harness.pool.execute("UPDATE jobs SET fire_at = 5 WHERE job_id = $1", job_id)
    rebuilt = await Rebuild(log, store_dsn).run(is_check=True)
    (found,) = rebuilt.differences.shown
    assert (found.kind, found.columns) == ("changed", {"fire_at": (5, before)})
    assert found.key.startswith("job_")


async def test_a_rebuild_finds_which_builds_may_serve_the_partitions(
    harness: Harness, store_dsn: str, log: MemoryLog
) -> None:
    """Tables that were empty, or from before this was noted, are served by builds that know their records, from then on."""
    await harness.pool.execute("UPDATE progress SET needs = 0")
    await Rebuild(log, store_dsn).run()

    assert {row["needs"] for row in await harness.pool.fetch("SELECT needs FROM progress")} == {PROTOCOL}
    assert await OwnerLeases(harness.pool, "old", protocol=0).acquire(PARTITIONS) == []


async def test_a_flush_of_an_owner_from_before_is_refused(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """Its lease is gone, and the next one has a higher epoch than every claim that the new tables know."""
    await Rebuild(log, store_dsn).run()
    ledger = Ledger(0, position=await log.end(0) - 1)
    changes = PartitionChanges(0)
    changes.add(ledger.apply(ledger.position + 1, scheduled(0, 77), None))

    assert await harness.projector.flush([Flush(0, NONCE, ledger.position - 1, ledger.position, None, changes)]) == {0}

    (lease, *_) = await OwnerLeases(harness.pool, "n9").acquire(PARTITIONS)
    newest = await harness.pool.fetchval("SELECT claim_epoch FROM progress WHERE part = $1", lease.partition)
    assert lease.epoch > newest
    next_flush = Flush(lease.partition, lease.nonce, ledger.position - 1, ledger.position, Claim(1, "x" * 16), changes)
    assert await harness.projector.flush([next_flush]) == set()


async def test_prepared_statements_live_on(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """A connection that had read and written the old tables reads and writes the new ones, with the statements it has."""
    async with harness.pool.acquire() as connection:
        read_row = await connection.prepare("SELECT * FROM jobs WHERE part = $1 ORDER BY job_id LIMIT 1")
        count = await connection.prepare(
            "UPDATE usage_daily SET executions = executions + 0 WHERE part = $1 RETURNING 1"
        )
        row, counted = await read_row.fetchrow(1), await count.fetch(1)
        await Rebuild(log, store_dsn).run()
        assert await read_row.fetchrow(1) == row
        assert await count.fetch(1) == counted


async def test_two_at_once_are_refused(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """While one rebuilds, the other says so and touches nothing."""
    second: list[str] = []

    class Meeting(MemoryLog):
        async def partitions(self) -> int:
            if not second:
                second.append("under way")
                with pytest.raises(RebuildRefused, match="under way"):
                    await Rebuild(log, store_dsn).run()
            return await log.partitions()

    meeting = Meeting(partitions=PARTITIONS)
    meeting.__dict__.update(log.__dict__)
    assert (await Rebuild(meeting, store_dsn).run()).has_switched
    assert second


async def test_leftovers_of_one_that_died_are_cleared(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """A rebuild that fails half-way, or finds half of another, leaves the old tables in service and the next one begins again."""
    await harness.pool.execute(f"CREATE SCHEMA {SIDE}")
    await harness.pool.execute(f"CREATE TABLE {SIDE}.jobs (what text)")
    old = await harness.pool.fetchval("SELECT 'fliq.jobs'::regclass::oid")

    def lost(stage: str, done: int, total: int) -> None:
        if stage == "indexing" and done:
            raise LogUnavailable("gone")

    with pytest.raises(LogUnavailable):
        await Rebuild(log, store_dsn, on_progress=lost).run()
    assert await harness.pool.fetchval("SELECT 'fliq.jobs'::regclass::oid") == old
    assert not await side_schema(harness.pool)
    assert (await Rebuild(log, store_dsn).run()).has_switched


async def test_one_that_is_interrupted_leaves_nothing(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """Ctrl-C cancels it: the side tables go, the old ones serve, and another may begin at once."""
    old = await harness.pool.fetchval("SELECT 'fliq.jobs'::regclass::oid")

    def interrupted(stage: str, done: int, total: int) -> None:
        if stage == "comparing":
            running.cancel()

    running = asyncio.ensure_future(Rebuild(log, store_dsn, on_progress=interrupted).run())
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await harness.pool.fetchval("SELECT 'fliq.jobs'::regclass::oid") == old
    assert not await side_schema(harness.pool)
    assert not (await Rebuild(log, store_dsn).run(is_check=True)).has_switched


async def test_tables_that_somebody_holds_are_left_alone(
    harness: Harness, store_dsn: str, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump that reads the old tables all the time is named; they go on serving, and it is not waited for behind a queue."""
    monkeypatch.setattr("libs.store.rebuild.rebuild.SWITCH_TRIES", 2)
    monkeypatch.setattr("libs.store.rebuild.rebuild.SWITCH_PAUSE_S", 0.0)
    monkeypatch.setattr("libs.store.rebuild.side_tables.LOCK_MS", 20)
    async with harness.pool.acquire() as dump, dump.transaction():
        await dump.fetchval("SELECT count(*) FROM jobs")
        with pytest.raises(TablesLocked, match="still serve"):
            await Rebuild(log, store_dsn).run()
        assert await harness.pool.fetchval("SELECT count(*) FROM jobs") > 0
    assert not await side_schema(harness.pool)


async def test_what_comes_while_it_works_is_not_lost(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """Records that are appended, and flushed into the old tables, up to the last moment are in the new ones."""
    numbers = iter(range(1_000, 2_000))

    appends = []

    def busy(stage: str, done: int, total: int) -> None:
        appends.append(asyncio.ensure_future(log.append(3, [encode(scheduled(3, next(numbers), NOW + 10_000))])))

    await Rebuild(log, store_dsn, on_progress=busy).run()
    await asyncio.gather(*appends)
    position, end = await harness.pool.fetchval("SELECT position FROM progress WHERE part = 3"), await log.end(3)
    assert end - 10 <= position < end
    assert await differences(log, harness.pool) == []


async def test_a_log_that_is_not_theirs_is_refused(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """Tables that stand where the log has nothing would be lost: an empty log, a trimmed one, one with other partitions."""
    empty = MemoryLog(partitions=PARTITIONS)
    await empty.start()
    with pytest.raises(RebuildRefused, match="the log ends at 0"):
        await Rebuild(empty, store_dsn).run()
    fewer = MemoryLog(partitions=2)
    await fewer.start()
    with pytest.raises(RebuildRefused, match="4 partitions and the log has 2"):
        await Rebuild(fewer, store_dsn).run()
    await log.trim(1, 10)
    with pytest.raises(RebuildRefused, match="does not carry what stood before"):
        await Rebuild(log, store_dsn).run()


async def test_what_hangs_on_the_tables_is_not_dropped(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """A view of the operator's own is named, and stays."""
    await harness.pool.execute("CREATE VIEW public.mine AS SELECT job_id FROM fliq.jobs")
    with pytest.raises(Exception, match=r"mine depend on"):
        await Rebuild(log, store_dsn).run()
    await harness.pool.fetchval("SELECT count(*) FROM public.mine")


async def test_a_role_that_may_not_is_refused(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """One that reads and writes the tables, and does not own them, is told so before anything is made."""
    role = f"guest_{database_of(store_dsn)}"
    await harness.pool.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'guest'")
    try:
        await harness.pool.execute(f"GRANT USAGE ON SCHEMA fliq TO {role}")
        await harness.pool.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA fliq TO {role}")
        guest = re.sub(r"//[^@]*@", f"//{role}:guest@", store_dsn)
        with pytest.raises(TablesNotOwned, match="does not own"):
            await Rebuild(log, guest).run()
    finally:
        await harness.pool.execute(f"DROP OWNED BY {role}")
        await harness.pool.execute(f"DROP ROLE {role}")


async def test_a_record_that_must_be_understood_stops_it(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """What this build cannot fold it does not replace."""
    old = await harness.pool.fetchval("SELECT 'fliq.jobs'::regclass::oid")
    await log.append(0, [encode(OwnerClaimed(epoch=99, nonce="z" * 16, node="n", at=NOW))])
    await log.append(0, [Envelope("job.erased", 1, True, None, "owner", b"{}")])
    with pytest.raises(Exception, match=r"job\.erased"):
        await Rebuild(log, store_dsn).run()
    assert await harness.pool.fetchval("SELECT 'fliq.jobs'::regclass::oid") == old


WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database"


async def test_a_snapshot_that_waits_for_the_switch_sees_all_of_the_new_tables(
    harness: Harness, store_dsn: str, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dispatcher that begins in that very moment reads the new position, and every attempt that is under way there."""
    # Their ids are younger than what the history forgets.
    late = [
        msgspec.structs.replace(scheduled(0), job_id=new_job_id(NOW + 86_400_000, 0, number.to_bytes(8, "big")))
        for number in range(5)
    ]
    ledger = Ledger(0)
    for record in await log.read(0, 0, max_records=10_000):
        ledger.apply(record.position, read(0, record.envelope), record.envelope.claim)
    assert ledger.claim is not None
    snapshots: list[asyncio.Task[Any]] = []
    last_records = Rebuild._last_records

    async def in_that_moment(self: Rebuild, control: Any) -> Any:
        await log.append(0, [encode(job) for job in late])
        await log.append(0, [encode(due(job), ledger.claim) for job in late])
        await control.execute(f"UPDATE fliq.progress SET position = {await log.end(0) - 1} WHERE part = 0")
        snapshots.append(asyncio.create_task(harness.tables.running(0)))
        async with asyncio.timeout(20), harness.pool.acquire() as other:
            # Until two wait: the snapshot, and the rebuild's own that measures the pause.
            while await other.fetchval(f"{WAITING} WHERE datname = current_database())") < 2:
                await other.execute("SELECT pg_sleep(0.002)")
        return await last_records(self, control)

    monkeypatch.setattr(Rebuild, "_last_records", in_that_moment)
    assert (await Rebuild(log, store_dsn).run()).has_switched
    (snapshot,) = await asyncio.gather(*snapshots)
    assert snapshot.position == await log.end(0) - 1
    assert {job.job_id for job in late} <= {attempt.job_id for attempt in snapshot.running}
