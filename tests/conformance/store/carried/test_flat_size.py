"""Fliq does not grow: tables and log of a steady load are as large after twenty days as after six, and as large as the load."""

from __future__ import annotations

import pytest

from libs.domain.history.choice import DAY_MS, HistoryTerms
from libs.store.rebuild.verify import verify
from libs.store.schema.migrate import migrate
from tests.conformance.store.carried.days import BEGAN_AT, days_of
from tests.fakes.running.postgres import Databases

TERMS = HistoryTerms(days=3, failed_days=5, response_days=2)
LOG_DAYS = 2
JOBS_A_DAY = 4_800  # one of each 900 of 50 jobs a second
LABELS = {"tenant": "t1", "kind": "k1"}


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
async def test_twenty_days_are_as_large_as_six(pg_dsn_of: Databases) -> None:
    """
    A history of three days, of failures five, a log of two: rows, records and bytes on day 20 are within 5 % of day 6.

    So is the memory of the process. Every row is proved by a record or a sum, and a job that waits for sixty days is there.
    """
    dsn = pg_dsn_of.create()
    await migrate(dsn, 1)
    async with days_of(dsn, TERMS, LOG_DAYS) as days:
        (far,) = await days.ask(1, 60 * DAY_MS, labels=LABELS)
        found = await days.live(0, 20, JOBS_A_DAY)
        for number, each in enumerate(found, 1):
            print(
                f"day {number}: {each.rows} rows, {each.records} records, {each.all_bytes:,} bytes, {each.resident:,} resident"
            )
        six, twenty = found[5], found[19]
        assert abs(twenty.rows - six.rows) <= 0.05 * six.rows
        assert abs(twenty.records - six.records) <= 0.05 * six.records
        assert twenty.all_bytes <= 1.05 * six.all_bytes, {
            name: (six.bytes[name], size) for name, size in twenty.bytes.items() if size > 1.05 * six.bytes[name]
        }
        assert twenty.resident <= 1.05 * six.resident
        report = await verify(days.log, days.pool, [0])
        assert list(report.differences.lines()) == []
        assert report.older > 0
        begin = await days.log.begin(0)
        assert begin > 0
        await days.jump(BEGAN_AT + 60 * DAY_MS)
        await days.until_done(1)
        status = await days.pool.fetchval("SELECT status FROM jobs WHERE fire_at > $1", BEGAN_AT + 59 * DAY_MS)
        assert status == 4, far
        assert await days.pool.fetchval("SELECT count(*) FROM labels") == len(LABELS)
        assert days.metrics.illegal._value.get() == 0


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
async def test_size_is_as_the_load(pg_dsn_of: Databases) -> None:
    """From one load to the next the size grows as the load does: so a small load shows what 50 jobs a second take."""
    sizes = []
    for jobs_a_day in (2_400, 4_800, 9_600):
        dsn = pg_dsn_of.create()
        await migrate(dsn, 1)
        async with days_of(dsn, TERMS, LOG_DAYS) as days:
            held = (await days.live(0, 8, jobs_a_day))[-1]
        sizes.append((held.rows, held.records, held.all_bytes))
        print(f"{jobs_a_day} jobs a day: {held.rows} rows, {held.records} records, {held.bytes}")
        pg_dsn_of.drop(dsn)
    for small, middle, large in zip(*sizes, strict=True):
        assert large - middle == pytest.approx(2 * (middle - small), rel=0.05)
    at_fifty = [
        large + (large - middle) / 4_800 * (50 * 86_400 - 9_600) for _, middle, large in zip(*sizes, strict=True)
    ]
    print("50 jobs a second: {:,.0f} rows, {:,.0f} records, {:,.0f} bytes".format(*at_fifty))
