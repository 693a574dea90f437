"""Operator's commands on Kafka: the topic made by `fliq migrate`, looked at, and given more partitions."""

from __future__ import annotations

import asyncio

import pytest

from libs.events.ids import partition_of
from tests.fakes.running.operating import command
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, FliqOf

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]


async def test_from_an_empty_cluster_to_a_grown_topic(fliq_of: FliqOf, sink: Sink) -> None:
    """Migrate makes topic and tables; the doctor is content; growth comes into use with a restart; every job fires once."""
    fliq = fliq_of("kafka", counts={"all": 1})
    needed = await command(fliq, "migrate", "--check", "--json")
    assert (needed.code, needed.json["partitions"], needed.json["needed"]) == (3, None, True)
    assert (await command(fliq, "migrate")).code == 0
    assert (await command(fliq, "migrate", "--check")).code == 0
    fliq.start()
    try:
        doctor = await command(fliq, "doctor", "--json")
        assert [each for each in doctor.json["findings"] if each["state"] == "wrong"] == []
        assert any("4 partitions" in each["text"] for each in doctor.json["findings"] if each["check"] == "log")

        missing = await command(fliq, "doctor", FLIQ_KAFKA_TOPIC="fliq.nowhere")
        assert missing.code == 1
        assert "there is no topic fliq.nowhere" in missing.out
        async with Client(fliq.url) as client:
            jobs = [await client.create(f"{sink.url}/one", 0.3 + n / 50) for n in range(10)]
            assert (await command(fliq, "partitions", "grow", "7")).code == 0
            for job in jobs:
                await client.wait_status(job["id"])
        assert fliq.stop() == [0]
        fliq.processes = [fliq.processes[0].again()]
        await asyncio.to_thread(fliq.processes[0].wait_ready)
        async with Client(fliq.url) as client:
            more = [await client.create(f"{sink.url}/two", 0.3 + n / 50) for n in range(60)]
            for job in more:
                await client.wait_status(job["id"])
        assert max(partition_of(job["id"]) for job in more) >= 4
        assert all(len(sink.of(job["id"])) == 1 for job in [*jobs, *more])
        rows = (await command(fliq, "partitions", "--json")).json
        assert [row["scheduler"]["held"] for row in rows] == [True] * 7
        assert (await command(fliq, "verify")).code == 0
    finally:
        fliq.close()


async def test_growing_another_log_is_refused(fliq_of: FliqOf) -> None:
    """Tables of one topic are not led to another: one line, and neither the topic nor the tables change."""
    mine, theirs = fliq_of("kafka", counts={"all": 1}), fliq_of("kafka", counts={"all": 1})
    for each in (mine, theirs):
        assert (await command(each, "migrate")).code == 0
    other = {"FLIQ_KAFKA_TOPIC": theirs.settings["FLIQ_KAFKA_TOPIC"]}
    for words in (("migrate",), ("partitions", "grow", "9")):
        refused = await command(mine, *words, **other)
        assert refused.code == 1
        assert "another log" in refused.err
        assert refused.err.count("\n") == 1
    assert len((await command(theirs, "partitions", "--json")).json) == 4
    doctor = await command(mine, "doctor", **other)
    assert doctor.code == 1
    assert "another log" in doctor.out
