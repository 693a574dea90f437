"""The log in Kafka is carried over and trimmed as that in PostgreSQL is: by the same keepers, with the same proof."""

from __future__ import annotations

import pytest

from libs.domain.history.choice import DAY_MS, HistoryTerms
from libs.log.kafka import KafkaAccess, KafkaLog
from libs.store.rebuild.rebuild import Rebuild
from libs.store.rebuild.verify import verify
from libs.store.schema.migrate import migrate
from tests.conformance.store.carried.days import days_of
from tests.fakes.running.kafka import Kafka
from tests.fakes.running.postgres import Databases

TERMS = HistoryTerms(days=3, failed_days=5, response_days=2)
LOG_DAYS = 2
JOBS_A_DAY = 240


@pytest.mark.nightly
@pytest.mark.timeout(1_200)
async def test_days_of_a_log_in_kafka(kafka: Kafka, kafka_topic: str, pg_dsn_of: Databases) -> None:
    """
    After six days it is no longer than after four; its first records are gone, and every row is proved.

    Verify and rebuild agree with the tables, and a job that waits for sixty days is there.
    """
    dsn = pg_dsn_of.create()
    await migrate(dsn, 1)
    log = KafkaLog(KafkaAccess(bootstrap=kafka.bootstrap), topic=kafka_topic, partitions=1)
    async with days_of(dsn, TERMS, LOG_DAYS, log=log) as days:
        (far,) = await days.ask(1, 60 * DAY_MS)
        found = await days.live(0, 6, JOBS_A_DAY)
        assert found[5].records <= 1.05 * found[3].records
        assert await log.begin(0) > 0
        report = await verify(log, days.pool, [0])
        assert list(report.differences.lines()) == []
        assert report.sealed > JOBS_A_DAY
        rebuilt = await Rebuild(log, dsn).run(is_check=True)
        assert list(rebuilt.differences.lines()) == []
        assert await days.pool.fetchval("SELECT count(*) FROM jobs WHERE status = 0") == 1, far
        assert days.metrics.illegal._value.get() == 0
