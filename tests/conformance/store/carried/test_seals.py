"""Rows of jobs whose records were trimmed are proved by sums in the log: by verify and by rebuild, and a change names its hour."""

from __future__ import annotations

import pytest

from libs.domain.history.choice import DAY_MS
from libs.domain.history.floors import FIELDS
from libs.domain.job import JobState
from libs.events import Envelope, Event, HistoryForgotten, LogCarried, encode
from libs.log.memory import MemoryLog
from libs.store.carried import carried_rows, seals
from libs.store.carried.carrier import Carrier
from libs.store.carried.seals import FAILED, SUCCESS, USAGE, Key, Sum
from libs.store.rebuild.rebuild import Rebuild
from libs.store.rebuild.replay import Replay
from libs.store.rebuild.verify import verify
from tests.conformance.store.carried.test_carried import LIVES, put
from tests.conformance.store.conftest import PARTITIONS, Harness
from tests.conformance.store.test_flush import NOW
from tests.fakes.control.carried import MemoryCarried
from tests.fakes.histories import history

AT = NOW + 4 * DAY_MS


async def sums_of(harness: Harness, partition: int, since: int, before: int) -> dict[Key, Sum]:
    """Return what the tables sum up to."""
    found: dict[Key, Sum] = {}
    async for sums in Carrier(harness.pool).sealing(partition, since, before):
        seals.add(found, sums)
    return found


async def carry(harness: Harness, log: MemoryLog, partition: int) -> int:
    """Carry over what lives in *partition*, with sums of all that ended; return the position at which the log may begin."""

    def decided(event: Event) -> Envelope:
        return encode(event, harness.ledgers[partition].claim)

    await put(harness, log, partition, [decided(HistoryForgotten(through=0, closed_before=AT - DAY_MS, at=AT))])
    before = seals.sealed_until(AT)
    known = await sums_of(harness, partition, 0, before)
    async with Carrier(harness.pool).opened(partition) as tables:
        pieces = [piece async for piece in tables.pieces(AT)]
    rows = [(carried_rows.SEALS, carried_rows.plain_row(seals.seal_row(*each))) for each in known.items()]
    pieces += carried_rows.pieces(rows)
    end = LogCarried(
        begin=tables.begin,
        rows=sum(len(piece.rows) for piece in pieces),
        claim=str(tables.claim),
        floors={name: getattr(tables.floors, name) for name in FIELDS},
        sealed_before=before,
        at=AT,
    )
    carried = [decided(carried_rows.rows_carried(each, tables.begin, AT)) for each in pieces]
    await put(harness, log, partition, [*carried, decided(end)])
    return tables.begin


@pytest.fixture(autouse=True)
def short_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The histories of these tests take less than a second."""
    monkeypatch.setattr(seals, "HOUR_MS", 50)


@pytest.fixture
async def log(harness: Harness) -> MemoryLog:
    """A log that begins behind everything that happened, and carries what lives and sums of the rest."""
    made = MemoryLog(partitions=PARTITIONS)
    await made.start()
    for partition in range(PARTITIONS):
        # What ended is kept: an hour that is being forgotten is not proved.
        records = [each for each in history(partition, lives=LIVES) if each.type != "history.forgotten"]
        await put(harness, made, partition, records)
        await made.trim(partition, await carry(harness, made, partition))
    return made


async def test_sums_by_sql_are_those_of_the_rule(harness: Harness) -> None:
    """Every hour of both kinds of end, and every day, row by row."""
    log = MemoryLog(partitions=PARTITIONS)
    await log.start()
    records = list(history(0, lives=LIVES))
    await put(harness, log, 0, records)
    replay = Replay(log, 0)
    while await replay.step(len(records) - 1):
        pass
    states, changes = replay.ledger.states, replay.changes
    memory = MemoryCarried(
        begin=0,
        claim=None,
        floors=replay.ledger.floors,
        jobs={key: each for key, each in states.items() if isinstance(each, JobState)},
        schedules={},
        deliveries={},
        specs=changes.specs,
        executions=changes.executions,
        usage=changes.usage,
    )
    before = seals.sealed_until(AT)

    by_rule = memory.sealing(0, before)
    assert await sums_of(harness, 0, 0, before) == by_rule
    assert {kind for kind, _ in by_rule} == {SUCCESS, FAILED, USAGE}
    middle = sorted(start for kind, start in by_rule if kind == SUCCESS)[2]
    halves = await sums_of(harness, 0, 0, middle)
    seals.add(halves, await sums_of(harness, 0, middle, before))
    assert halves == by_rule


async def test_every_ended_job_is_proved(harness: Harness, log: MemoryLog) -> None:
    """Its row, what it called, its attempts and its labels: nothing is left that the log says nothing about but deliveries."""
    report = await verify(log, harness.pool, range(PARTITIONS))

    assert list(report.differences.lines()) == []
    assert report.sealed > 100 * PARTITIONS
    assert report.older <= await harness.pool.fetchval(
        "SELECT (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM specs)"
        " - (SELECT count(*) FROM specs JOIN jobs ON job_id = spec_id)"
    )


_ENDED = "part = 2 AND status = 4"
_ONE = f"(SELECT job_id FROM jobs WHERE {_ENDED} AND attempt > 0 ORDER BY job_id LIMIT 1)"


@pytest.mark.parametrize(
    "harm",
    [
        f"UPDATE jobs SET last_status_code = 299 WHERE job_id = {_ONE}",
        f"UPDATE jobs SET completed_at = completed_at + 1 WHERE job_id = {_ONE}",
        f"DELETE FROM jobs WHERE job_id = {_ONE}",
        f"UPDATE executions SET duration_ms = 7777 WHERE job_id = {_ONE}",
        f"DELETE FROM executions WHERE job_id = {_ONE}",
        f"UPDATE specs SET spec = '{{}}' WHERE spec_id = {_ONE}",
        "UPDATE usage_daily SET executions = executions + 1 WHERE part = 2",
    ],
)
async def test_a_changed_row_names_its_hour(harness: Harness, store_dsn: str, log: MemoryLog, harm: str) -> None:
    """Whatever is changed or deleted of a job that ended before the log begins; in other partitions nothing differs."""
    await harness.pool.execute(harm)

    report = await verify(log, harness.pool, range(PARTITIONS))
    rebuilt = await Rebuild(log, store_dsn).run(is_check=True)

    for found in (report.differences, rebuilt.differences):
        lines = list(found.lines())
        assert all(each.startswith("partition 2: ") for each in lines)
        assert any(each.startswith("partition 2: seals: the ") and "began at 20" in each for each in lines)


async def test_labels_are_those_of_the_sealed_rows(harness: Harness, log: MemoryLog) -> None:
    """A label beside a job that the job does not have, or that is gone, is a difference."""
    count = await harness.pool.fetchval(
        "WITH gone AS (DELETE FROM labels USING jobs WHERE labels.job_id = jobs.job_id AND jobs.status = 4"
        " AND labels.part = 1 RETURNING 1) SELECT count(*) FROM gone"
    )
    assert count

    lines = list((await verify(log, harness.pool, range(PARTITIONS))).differences.lines())
    assert all(each.startswith("partition 1: labels: ") for each in lines)
    assert len(lines) >= min(count, 5)


async def test_an_untouched_history_is_rebuilt_as_it_was(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """Nothing differs before, nor after the switch."""
    rebuilt = await Rebuild(log, store_dsn).run()

    assert list(rebuilt.differences.lines()) == []
    assert rebuilt.has_switched
    report = await verify(log, harness.pool, range(PARTITIONS))
    assert list(report.differences.lines()) == []
    assert report.sealed > 100 * PARTITIONS


async def test_without_the_tables_the_hole_is_counted(harness: Harness, store_dsn: str, log: MemoryLog) -> None:
    """What lives comes back; each hour of the rest is named, with how many jobs are missing."""
    await harness.pool.execute("TRUNCATE jobs, schedules, deliveries, executions, usage_daily, specs, labels, history")

    rebuilt = await Rebuild(log, store_dsn).run()

    lines = [each for each in rebuilt.differences.lines() if ": seals: the hour" in each]
    assert lines
    assert all("rows is 0, and the log says " in each for each in lines)
