"""A log that is not fit, or not the one that the tables were made from: the start ends with one line, and nothing is changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from libs.log.kafka.topic import SETTINGS
from libs.store.schema.log_identity import check_log
from libs.store.schema.migrate import migrate
from tests.e2e.process.starting import FLIQ, environment, run
from tests.fakes.running.kafka import Kafka
from tests.fakes.running.postgres import Databases


async def refused(directory: Path, **settings: str) -> tuple[int, str]:
    """Run what ends by itself; return its exit code and its one line."""
    await asyncio.to_thread(directory.mkdir)
    ended = await asyncio.to_thread(run, [*FLIQ, "all"], environment(FLIQ_DATA_DIR=str(directory), **settings))
    lines = [line for line in ended.stderr.splitlines() if line.startswith("fliq: ")]
    assert len(lines) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.returncode, lines[0]


async def partitions_of(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM fliq.progress"))
    finally:
        await connection.close()


async def test_refused_logs(kafka: Kafka, kafka_topic: str, pg_dsn_of: Databases, tmp_path: Path) -> None:
    """
    Exit code 1 and a line that says what to set: a topic with finite retention, a topic for small messages, tables that were made
    from another log, in both directions. Tables of another log are left as they are.
    """
    unfit = {f"{kafka_topic}.short": {"retention.ms": "1000"}, f"{kafka_topic}.small": {"max.message.bytes": "9999"}}
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    topics = [NewTopic(name, 2, 1, topic_configs={**SETTINGS, **change}) for name, change in unfit.items()]
    await admin.create_topics(topics)
    of_postgres, of_kafka = pg_dsn_of.create(), pg_dsn_of.create()
    for dsn, log in ((of_postgres, "postgres"), (of_kafka, "kafka elsewhere/1")):
        await migrate(dsn, 2)
        await check_log(dsn, log)

    async def start(name: str, topic: str | None, dsn: str) -> tuple[int, str]:
        where = {} if topic is None else {"FLIQ_KAFKA_BOOTSTRAP": kafka.bootstrap, "FLIQ_KAFKA_TOPIC": topic}
        return await refused(tmp_path / name, FLIQ_DATABASE_URL=dsn, **where)

    # One after the other: four starts at once would be the load under which Kafka's answers come too late.
    short = await start("short", f"{kafka_topic}.short", pg_dsn_of.create())
    small = await start("small", f"{kafka_topic}.small", pg_dsn_of.create())
    other = await start("other", kafka_topic, of_postgres)
    back = await start("back", None, of_kafka)
    await admin.delete_topics(list(unfit))
    await admin.close()

    assert [code for code, _ in (short, small, other, back)] == [1, 1, 1, 1]
    assert short[1].startswith(f"fliq: FLIQ_KAFKA_BOOTSTRAP: the topic {kafka_topic}.short is not fit to be the log: ")
    assert "retention.ms is 1000" in short[1]
    assert "max.message.bytes is 9999" in small[1]
    assert "made from another log (postgres) than the one that is set (kafka " in other[1]
    assert "made from another log (kafka elsewhere/1) than the one that is set (postgres)" in back[1]
    assert [await partitions_of(dsn) for dsn in (of_postgres, of_kafka)] == [2, 2]
