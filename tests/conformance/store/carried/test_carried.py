"""A log that begins with what was carried over makes the same tables as the whole log: by verify, by rebuild, and by the rows."""

from __future__ import annotations

from collections import Counter

import pytest

from libs.domain.history.choice import DAY_MS
from libs.domain.history.floors import FIELDS, is_over
from libs.domain.job import JobState
from libs.events import Envelope, Event, HistoryForgotten, LogCarried, encode
from libs.log.memory import MemoryLog
from libs.log.port import LogDamaged
from libs.store.carried.carried_rows import rows_carried
from libs.store.carried.carrier import Carrier
from libs.store.rebuild.rebuild import Rebuild, RebuildRefused
from libs.store.rebuild.replay import Replay
from libs.store.rebuild.verify import differences, verify
from tests.conformance.store.conftest import PARTITIONS, Harness
from tests.conformance.store.test_flush import NOW
from tests.conformance.store.test_rebuild import fold
from tests.fakes.control.carried import MemoryCarried
from tests.fakes.histories import history

LIVES = 120
AT = NOW + 7_200_000  # after all that happens in these histories


async def put(harness: Harness, log: MemoryLog, partition: int, envelopes: list[Envelope]) -> None:
    """Append *envelopes* and fold them into the tables."""
    start = await log.append(partition, envelopes)
    await fold(harness, partition, envelopes, start)


async def carry(harness: Harness, log: MemoryLog, partition: int) -> int:
    """Carry over what lives in *partition*, and return the position at which the log may begin."""

    def decided(event: Event) -> Envelope:
        return encode(event, harness.ledgers[partition].claim)

    await put(harness, log, partition, [decided(HistoryForgotten(through=0, closed_before=NOW - DAY_MS, at=AT))])
    async with Carrier(harness.pool).opened(partition) as tables:
        found = [piece async for piece in tables.pieces(AT)]
    end = LogCarried(
        begin=tables.begin,
        rows=sum(len(piece.rows) for piece in found),
        claim=str(tables.claim),
        floors={name: getattr(tables.floors, name) for name in FIELDS},
        at=AT,
    )
    await put(
        harness, log, partition, [*(decided(rows_carried(each, tables.begin, AT)) for each in found), decided(end)]
    )
    return tables.begin


async def lived(harness: Harness, *, still_there: int = 0) -> MemoryLog:
    """Return a log with a long history in every partition, of which so many records that are needed no more are still there."""
    made = MemoryLog(partitions=PARTITIONS)
    await made.start()
    for partition in range(PARTITIONS):
        records = list(history(partition, lives=LIVES))
        half = len(records) // 2
        await put(harness, made, partition, records[:half])
        begin = await carry(harness, made, partition)
        await put(harness, made, partition, records[half:])
        if partition:  # the first one stays whole
            await made.trim(partition, begin - still_there)
    return made


@pytest.fixture
async def log(harness: Harness) -> MemoryLog:
    """A log with a long history in every partition, carried over in the middle of it, and folded into the tables."""
    return await lived(harness)


async def test_the_rows_are_those_of_the_rule(harness: Harness) -> None:
    """What SQL finds is what the rule in Python finds in the same tables, row by row."""
    log = MemoryLog(partitions=PARTITIONS)
    await log.start()
    records = list(history(0, lives=LIVES))[:600]
    await put(harness, log, 0, records)
    replay = Replay(log, 0)
    while await replay.step(len(records) - 1):
        pass
    states, changes = replay.ledger.states, replay.changes
    async with Carrier(harness.pool).opened(0) as tables:
        found = Counter([(piece.table, row) async for piece in tables.pieces(AT) for row in piece.rows])
    memory = MemoryCarried(
        begin=tables.begin,
        claim=tables.claim,
        floors=tables.floors,
        jobs={key: each for key, each in states.items() if isinstance(each, JobState)},
        schedules={key: each for key, each in states.items() if key.startswith("sched_")},  # type: ignore[misc]
        deliveries={key: each for key, each in states.items() if key.startswith("whd_")},  # type: ignore[misc]
        specs=changes.specs,
        executions=changes.executions,
        usage=changes.usage,
    )
    by_rule = Counter((piece.table, row) for piece in memory.all_pieces(AT) for row in piece.rows)

    assert found == by_rule
    assert {"jobs", "schedules", "specs", "executions", "usage_daily", "over"} <= {table for table, _ in found}


async def test_verify_proves_what_the_log_knows(harness: Harness, log: MemoryLog) -> None:
    """No row differs; those that are older than the log are counted."""
    report = await verify(log, harness.pool, range(PARTITIONS))

    assert list(report.differences.lines()) == []
    assert report.older > 0
    assert (await verify(log, harness.pool, [0])).older == 0


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE jobs SET fire_at = fire_at + 1 WHERE part = 2 AND status = 0",
        "DELETE FROM jobs WHERE part = 2 AND status = 0",
        "DELETE FROM schedules WHERE part = 2",
        "UPDATE specs SET spec = '{}' FROM jobs WHERE specs.spec_id = jobs.job_id AND jobs.part = 2 AND jobs.status = 0",
    ],
)
async def test_what_lives_is_proved(harness: Harness, log: MemoryLog, harm: str) -> None:
    """A row of something that lives, and that only the carried rows know, cannot be changed or deleted without a difference."""
    await harness.pool.execute(harm)

    assert await differences(log, harness.pool) != []


@pytest.mark.parametrize(("rows_max", "states_max"), [(7, 0), (100_000, 100_000)])
async def test_a_rebuild_makes_the_same_tables(
    harness: Harness, store_dsn: str, log: MemoryLog, rows_max: int, states_max: int
) -> None:
    """Every row is there again: what lives by the log, what is older as it was."""
    before = {
        table: await harness.pool.fetchval(f"SELECT count(*) FROM {table}")
        for table in ("schedules", "deliveries", "usage_daily")
    }
    rebuilt = await Rebuild(log, store_dsn, rows_max=rows_max, states_max=states_max).run()

    assert list(rebuilt.differences.lines()) == []
    assert rebuilt.has_switched
    assert await differences(log, harness.pool) == []
    for table, count in before.items():
        assert await harness.pool.fetchval(f"SELECT count(*) FROM {table}") >= count - (table == "deliveries") * count


async def test_what_lives_comes_back_without_the_tables(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """If all rows are lost, the log alone brings back everything to which something can still happen."""
    living = {
        state.job_id: state
        for partition in range(PARTITIONS)
        for state in harness.ledgers[partition].states.values()
        if isinstance(state, JobState) and not is_over(state)
    }
    await harness.pool.execute("TRUNCATE jobs, schedules, deliveries, executions, usage_daily, specs, history")

    await Rebuild(log, store_dsn).run()

    for partition in range(PARTITIONS):
        ids = [job_id for job_id in living if harness.ledgers[partition].states.get(job_id) is living[job_id]]
        assert {state.job_id: state for state in await harness.tables.load(partition, ids)} == {  # type: ignore[union-attr]
            job_id: living[job_id] for job_id in ids
        }


async def test_a_log_that_is_being_trimmed_proves_the_same(harness: Harness, store_dsn: str) -> None:
    """Between two deletions it begins before what was carried, with records whose jobs began earlier: they are passed over."""
    log = await lived(harness, still_there=7)

    assert list((await verify(log, harness.pool, range(PARTITIONS))).differences.lines()) == []
    assert list((await Rebuild(log, store_dsn).run()).differences.lines()) == []
    assert list((await verify(log, harness.pool, range(PARTITIONS))).differences.lines()) == []


async def test_a_log_that_was_trimmed_elsewhere_is_refused(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """A beginning at which nothing was carried proves nothing: it is named, and the tables stay as they are."""
    await log.trim(1, await log.begin(1) + 3)

    with pytest.raises(RebuildRefused, match=r"partition 1: the log begins at .* and does not carry what stood before"):
        await Rebuild(log, store_dsn).run()
    with pytest.raises(LogDamaged, match="does not carry"):
        await differences(log, harness.pool)
