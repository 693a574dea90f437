"""
Operator's commands beside running services: two nodes on one PostgreSQL, looked at, drained, and given more partitions.

The tests of this file run in their order on the same two nodes; the last one leaves them with six partitions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from libs.events.ids import partition_of
from tests.fakes.running.client import TOKEN
from tests.fakes.running.operating import command, until_held
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client, FliqOf, RunningFliq, free_port

ROLES = ("scheduler", "dispatcher", "webhooks")
LEASE_CERTAIN_MS = 2_400

pytestmark = pytest.mark.timeout(240)  # a machine that many share


@pytest.fixture(scope="module")
def two(fliq_of: FliqOf) -> Iterator[RunningFliq]:
    """The nodes `a` and `b`, each with every role."""
    running = fliq_of("embedded", FLIQ_NODE="a", FLIQ_PARTITIONS="4")
    with running:
        second = running.spawn("all", FLIQ_NODE="b", FLIQ_PORT=str(free_port()))
        running.processes.append(second)
        second.wait_ready()
        yield running


async def test_all_is_well(two: RunningFliq, stalls: Stalls) -> None:
    """The doctor finds nothing wrong with two healthy nodes, and gives no secret away."""
    for _ in range(5):
        await until_held(two, lambda nodes: set(nodes) == {"a", "b"})
        answer = await command(two, "doctor", "--json")
        if answer.code == 0 or stalls.longest_ms < LEASE_CERTAIN_MS / 2:
            break  # else the machine stood still, and a node was not well
    assert [each for each in answer.json["findings"] if each["state"] == "wrong"] == []
    assert answer.code == 0
    checks = {each["check"] for each in answer.json["findings"]}
    assert checks >= {"settings", "database", "schema", "log", "clocks", "members", "leases", "lag", "work", "disk"}
    password = urlsplit(two.settings["FLIQ_DATABASE_URL"]).password
    assert password
    for text in (answer.out, (await command(two, "doctor")).out):
        assert password not in text
        assert TOKEN not in text


async def test_a_dead_broker_hides_nothing_else(two: RunningFliq) -> None:
    """What can be looked at is looked at; what cannot is a finding, and the command ends in time."""
    answer = await command(two, "doctor", "--json", FLIQ_KAFKA_BOOTSTRAP="127.0.0.1:9")
    wrong = {each["check"] for each in answer.json["findings"] if each["state"] == "wrong"}
    assert answer.code == 1
    assert wrong == {"log"}
    assert {each["check"] for each in answer.json["findings"]} >= {"database", "members", "leases", "work"}


async def test_a_dead_database_is_one_finding(two: RunningFliq) -> None:
    """So is a database that cannot be reached; every other command ends with one line about it."""
    nowhere = "postgresql://nobody:secret@127.0.0.1:9/none"
    answer = await command(two, "doctor", FLIQ_DATABASE_URL=nowhere)
    assert answer.code == 1
    assert "FLIQ_DATABASE_URL" in answer.out
    for words in (("partitions",), ("drain",), ("retention", "show"), ("migrate",), ("migrate", "--check")):
        refused = await command(two, *words, FLIQ_DATABASE_URL=nowhere)
        assert refused.code == 1
        assert refused.err.startswith("fliq: FLIQ_DATABASE_URL: ")
        assert refused.err.count("\n") == 1
        assert "secret" not in refused.err


async def test_retention_shows_what_is_kept_and_counts_what_would_go(two: RunningFliq) -> None:
    """Nothing is forgotten on the first day; to forget is none of the command's work."""
    kept = await command(two, "retention", "show", "--json")
    assert kept.code == 0
    assert all(row["rows"] > 0 and row["kept_for"] for row in kept.json)
    assert (await command(two, "retention", "show")).code == 0
    assert (await command(two, "retention", "run", "--dry-run", "--json")).json == {"jobs": 0, "bytes": 0}
    refused = await command(two, "retention", "run")
    assert refused.code == 1
    assert "--dry-run" in refused.err


async def test_partitions_shows_who_serves_what(two: RunningFliq) -> None:
    """A row for each partition: its holders, and no lag once all is folded; as a table, too."""
    rows = (await command(two, "partitions", "--json")).json
    assert [row["partition"] for row in rows] == [0, 1, 2, 3]
    assert all(row["scheduler"]["held"] and row["lag"] >= 0 for row in rows)
    lines = (await command(two, "partitions")).out.splitlines()
    assert lines[0].split()[:3] == ["partition", "owner", "epoch"]
    assert len(lines) == 5


async def test_migrate_finds_nothing_to_do(two: RunningFliq) -> None:
    """The services did it at their start; --check says so with exit code 0, and changes nothing."""
    assert (await command(two, "migrate", "--check")).code == 0
    again = await command(two, "migrate", "--json")
    assert (again.code, again.json["applied"]) == (0, [])


async def test_a_drained_node_hands_everything_over_under_load(two: RunningFliq, sink: Sink, stalls: Stalls) -> None:
    """Its partitions go to the other, every job is called once, and the last node is not drained by mistake."""
    async with Client(two.url) as client:
        jobs = [await client.create(f"{sink.url}/drained-{n}", 1.0 + n / 20) for n in range(60)]
        answer = await command(two, "drain", "--node", "a")
        assert answer.code == 0, answer.err
        assert "holds nothing" in answer.out
        await until_held(two, lambda nodes: set(nodes) == {"b"})
        for job in jobs:
            assert (await client.wait_status(job["id"], timeout_s=60))["status"] == "success"
    executions = [[arrival.execution_id for arrival in sink.of(job["id"])] for job in jobs]
    assert all(len(set(ids)) == 1 for ids in executions)
    # A dispatcher that the machine holds up for longer than its lease is certain is taken for dead.
    assert stalls.longest_ms > LEASE_CERTAIN_MS / 2 or all(len(ids) == 1 for ids in executions)
    last = await command(two, "drain", "--node", "b")
    assert last.code == 1
    assert "only" in last.err
    nodes = {(row["node"], row["draining"]) for row in (await command(two, "drain", "--json")).json}
    assert nodes == {("a", True), ("b", False)}
    doctor = await command(two, "doctor")
    assert doctor.code == 0
    assert "a is draining" in doctor.out


async def test_undo_lets_a_node_work_again(two: RunningFliq) -> None:
    """It takes its share again; a node that is not there is said to be none."""
    assert (await command(two, "drain", "--node", "a", "--undo")).code == 0
    await until_held(two, lambda nodes: set(nodes) == {"a", "b"})
    unknown = await command(two, "drain", "--node", "c")
    assert unknown.code == 1
    assert unknown.err == "fliq: no node c is alive; alive: a, b\n"


async def test_more_partitions_come_into_use_node_by_node(two: RunningFliq, sink: Sink) -> None:
    """What was started before goes on with its four; a node started again serves the new ones; no answer is wrong meanwhile."""
    assert (await command(two, "partitions", "grow", "4")).code == 1
    assert (await command(two, "partitions", "grow", "6")).code == 0
    held = await until_held(two, lambda nodes: len(nodes) == 6 and None not in nodes[:4])
    assert all(nodes[4:] == [None, None] for nodes in held.values())
    warned = await command(two, "doctor")
    assert "a works with 4 of 6 partitions" in warned.out

    first, second = two.processes
    await asyncio.to_thread(second.stop)
    second = two.processes[1] = second.again()
    await asyncio.to_thread(second.wait_ready)
    held = await until_held(two, lambda nodes: None not in nodes)
    assert all(nodes[4:] == ["b", "b"] for nodes in held.values())

    async with Client(second.url) as new, Client(first.url) as old:
        job = await _in_new_partition(new, sink)
        await new.wait_status(job["id"], timeout_s=60)
        assert (await old.job(job["id"]))["status"] == "success"
        later = await _in_new_partition(new, sink, at=60.0)
        await new.job(later["id"])
        status, body, _ = await old.call("DELETE", f"/v1/jobs/{later['id']}")
        assert (status, body["error"]["code"]) == (503, "unavailable")
        assert (await new.call("DELETE", f"/v1/jobs/{later['id']}"))[0] == 204

    await asyncio.to_thread(first.stop)
    two.processes[0] = first.again()
    await asyncio.to_thread(two.processes[0].wait_ready)
    await until_held(two, lambda nodes: set(nodes) == {"a", "b"})
    healthy = await command(two, "doctor")
    assert "of 6 partitions" not in healthy.out
    verified = await command(two, "verify")
    assert verified.code == 0, verified.out


async def _in_new_partition(client: Client, sink: Sink, at: float = 0.2) -> dict[str, Any]:
    """Create jobs until one lies in a partition that came later, and return it; the API takes turns of 10 ms."""
    for n in range(200):
        job = await client.create(f"{sink.url}/grown-{n}", at)
        if partition_of(job["id"]) >= 4:
            return job
    raise AssertionError("no job in a new partition")
