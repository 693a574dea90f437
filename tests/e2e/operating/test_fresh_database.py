"""A database that is new, beside a topic that is not: the tables are made again from the log, and everything goes on."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError

from tests.fakes.running.fold import assert_tables_are_the_fold
from tests.fakes.running.kafka import Kafka, delete_topics
from tests.fakes.running.postgres import Databases
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import TOKEN, Client, RunningFliq, in_seconds, make_token
from tests.fakes.until import until


async def offsets_are_shown(kafka: Kafka, topic: str) -> None:
    """Return once Kafka's own tools find each role at the end of every partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await consumer.start()
    places = [TopicPartition(topic, partition) for partition in range(4)]
    try:
        for role in ("scheduler", "dispatcher", "webhooks"):

            async def is_at_the_end(role: str = role) -> bool:
                try:
                    found = await admin.list_consumer_group_offsets(f"fliq-{role}")
                except (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError):
                    return False  # the broker's first group: it makes the place for it now
                shown = {place: found[place].offset for place in places if place in found}
                return shown == await consumer.end_offsets(places)

            await until(is_at_the_end, within_s=30)
    finally:
        await consumer.stop()
        await admin.close()


@pytest.mark.timeout(120)
async def test_a_fresh_database_is_filled_from_the_log(kafka: Kafka, pg_dsn_of: Databases, sink: Sink) -> None:
    """
    While the first Fliq works a second one on its log is refused. When it is gone, jobs that ended are shown as they ended, those
    that wait fire at their instants, once, and schedules tick on.
    """
    # Many accounts, and those of the jobs last: all exist before the first call, however long it takes to make them.
    tokens = [f"a{number}={make_token(f'manyaccounts{number:018}')}" for number in range(300)]
    settings = {
        "FLIQ_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "FLIQ_PARTITIONS": "4",
        "FLIQ_BOOTSTRAP_TOKENS": ",".join([*tokens, f"default={TOKEN}"]),
    }
    first = RunningFliq(topology="embedded", database_url=pg_dsn_of.create(), **settings)
    first.settings["FLIQ_KAFKA_TOPIC"] = topic = f"fliq.test.{first.directory.name}"
    second = RunningFliq(topology="embedded", database_url=pg_dsn_of.create(), **settings | {"FLIQ_KAFKA_TOPIC": topic})
    try:
        await asyncio.to_thread(first.start)
        async with Client(first.url) as client:
            done = await client.create(f"{sink.url}/ok", 0.2)
            await client.wait_status(done["id"], "success")
            executions = (await client.call("GET", f"/v1/jobs/{done['id']}/executions"))[1]
            shown = await client.job(done["id"])
            cancelled = await client.create(f"{sink.url}/ok", 600)
            assert (await client.call("DELETE", f"/v1/jobs/{cancelled['id']}"))[0] == 204
            schedule = (await client.call("POST", "/v1/schedules", {"url": f"{sink.url}/ok", "cron": "0 0 1 1 *"}))[1]
            await offsets_are_shown(kafka, topic)  # by which the others know that somebody works here
            # Beside the first, with a database of its own, it would make every call twice: it does not start.
            refused = second.spawn("all")
            assert await asyncio.to_thread(refused.wait) == 1
            assert "FLIQ_KAFKA_TOPIC: another Fliq, with another database, works on the topic" in refused.tail()
            # The first half is due while nobody works: what is called first needs the account's secret, which no log holds.
            at = [in_seconds(3 + each / 10) if each < 10 else in_seconds(12) for each in range(20)]
            waiting = [await client.create(f"{sink.url}/ok", when) for when in at]
        await asyncio.to_thread(first.kill)
        await until(lambda: in_seconds(0) > at[9], within_s=30)

        await asyncio.to_thread(second.start)
        async with Client(second.url) as client:
            assert await client.job(done["id"]) == shown
            assert (await client.call("GET", f"/v1/jobs/{done['id']}/executions"))[1] == executions
            assert (await client.job(cancelled["id"]))["status"] == "cancelled"
            assert (await client.call("GET", f"/v1/schedules/{schedule['id']}"))[1]["next_run_at"] == (
                schedule["next_run_at"]
            )
            for job in waiting:
                await client.wait_status(job["id"], "success", timeout_s=30)
            assert [len(sink.of(job["id"])) for job in waiting] == [1] * len(waiting)
            assert len(sink.of(done["id"])) == 1
            await offsets_are_shown(kafka, topic)
        await asyncio.to_thread(assert_tables_are_the_fold, second)
    except BaseException:
        print(first.output(), second.output())
        raise
    finally:
        await asyncio.to_thread(first.close)
        await asyncio.to_thread(second.close)
        await asyncio.to_thread(delete_topics, kafka, [topic])
