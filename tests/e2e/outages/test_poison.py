"""
Poison: records that nobody of ours would write, appended behind Fliq's back. They stop their own job and nothing else.

Each kind is appended for one job of its own; a healthy job in the same partition fires on time, and the tables stay the fold
of the log.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import asyncpg
import pytest

from libs.events import Claim, Envelope, Spec, encode
from libs.events.ids import partition_of
from libs.log.port import Log
from libs.store.pool import open_pool
from libs.store.rebuild.verify import differences
from tests.fakes import events
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client, FliqOf, RunningFliq, instant_ms
from tests.fakes.until import until

DECIDED_MS = 150  # before its instant a job's call is decided: what comes later comes too late
HAS_FOLDED = "SELECT position >= $2 FROM progress WHERE part = $1"
AHEAD_S = (0.5, 2.0, 6.0, 12.0)  # so far ahead is the victim: more, on a machine that is slow
Job = dict[str, str]


def stranger(job: Job) -> Envelope:
    """A due event of somebody who never owned the partition: were it taken, the call would leave at once."""
    now = int(instant_ms(job["created_at"]))
    due = events.due(job["id"], now, account="default", timeout_ms=1_000)
    return encode(due, Claim(10**9, "stranger00000000"))


def duplicate(job: Job) -> Envelope:
    """The same job once more, with another target and another instant."""
    now = int(instant_ms(job["created_at"]))
    spec = Spec(url="http://127.0.0.1:9/other")
    return encode(events.asked(job["id"], now, account="other", spec=spec))


HOLD: dict[str, Callable[[Job], Envelope]] = {
    "torn": lambda job: Envelope("attempt.finished", 1, True, None, job["id"], b'{"job_id":"job_01'),
    "bad bytes": lambda job: Envelope("job.cancel_requested", 1, True, None, job["id"], b"\xff\xfe\x00\x01"),
    "alien JSON": lambda job: Envelope("job.cancel_requested", 1, True, None, job["id"], b'["not", "an", "object"]'),
    "wrong types": lambda job: Envelope(
        "job.cancel_requested", 1, True, None, job["id"], b'{"job_id": 7, "at": "noon"}'
    ),
}
CHANGE_NOTHING: dict[str, Callable[[Job], Envelope]] = {
    "unknown type": lambda job: Envelope("job.teleported", 1, False, None, job["id"], b"{}"),
    "newer version": lambda job: Envelope("attempt.finished", 99, False, None, job["id"], b"{}"),
    "no key": lambda _: Envelope("job.cancel_requested", 1, True, None, "", b"{"),
    "stranger": stranger,
    "duplicate": duplicate,
    "an outcome that nobody decided": lambda job: encode(events.finished(job["id"], 0, duration_ms=0)),
}


@pytest.fixture(scope="module")
def poisoned(topology: str, fliq_of: FliqOf) -> Iterator[RunningFliq]:
    with fliq_of(topology) as running:
        yield running


@pytest.fixture
async def log(poisoned: RunningFliq) -> AsyncIterator[Log]:
    async with poisoned.open_log() as log:
        yield log


@pytest.fixture
async def pool(poisoned: RunningFliq) -> AsyncIterator[Any]:
    pool = await open_pool(poisoned.settings["FLIQ_DATABASE_URL"], name="test", size=2)
    yield pool
    await pool.close()


@pytest.mark.parametrize("poison", HOLD.values(), ids=HOLD)
async def test_a_record_that_cannot_be_read_stops_its_job_only(
    poisoned: RunningFliq, log: Log, pool: Any, sink: Sink, poison: Callable[[Job], Envelope]
) -> None:
    """The poisoned job never fires; one that is due later, in the same partition, does."""
    async with Client(poisoned.url) as client:
        for ahead_s in AHEAD_S:
            victim = await client.create(f"{sink.url}/victim/{ahead_s}", ahead_s)
            partition = partition_of(victim["id"])
            position = await log.append(partition, [poison(victim)])
            await until(partial(pool.fetchval, HAS_FOLDED, partition, position))
            if time.time() * 1000 < instant_ms(victim["scheduled_at"]) - DECIDED_MS:
                break  # its owner has read the record before it had to decide
        else:
            pytest.fail("the machine was too slow for this test")
        healthy = await same_partition(client, sink, victim, ahead_s + 0.5)
        await sink.wait_for(lambda: sink.of(healthy["id"]))
        assert sink.of(victim["id"]) == []
        assert (await client.job(victim["id"]))["status"] == "scheduled"
        await client.wait_status(healthy["id"])
    assert await differences(log, pool) == []


@pytest.mark.parametrize("poison", CHANGE_NOTHING.values(), ids=CHANGE_NOTHING)
async def test_a_record_that_does_not_count_changes_nothing(
    poisoned: RunningFliq, log: Log, pool: Any, sink: Sink, stalls: Stalls, poison: Callable[[Job], Envelope]
) -> None:
    """The job fires at its own instant, once, as if the record were not there."""
    async with Client(poisoned.url) as client:
        job = await client.create(f"{sink.url}/job", 0.5)
        at = instant_ms(job["scheduled_at"])
        await log.append(partition_of(job["id"]), [poison(job)])
        done = await client.wait_status(job["id"])
        assert done["status"] == "success"
        assert done["execution_count"] == 1
        (arrival,) = sink.of(job["id"])
        assert at <= arrival.at <= at + 1_000 + 2 * stalls.longest_ms
    assert await differences(log, pool) == []


@pytest.mark.topologies("embedded", "split")  # a topic refuses them by itself
async def test_records_larger_than_any_of_ours_are_skipped(
    poisoned: RunningFliq, log: Log, pool: Any, sink: Sink
) -> None:
    """Five megabytes written past the port, by somebody with the database's password, stop nobody else."""
    async with Client(poisoned.url) as client:
        victim = await client.create(f"{sink.url}/victim", 0.5)
        partition = partition_of(victim["id"])
        connection = await asyncpg.connect(poisoned.settings["FLIQ_DATABASE_URL"])
        try:
            async with connection.transaction():
                position = await connection.fetchval(
                    "UPDATE fliq_log.log_heads SET next_off = next_off + 1 WHERE part = $1 RETURNING next_off - 1",
                    partition,
                )
                await connection.execute(
                    "INSERT INTO fliq_log.log_events (part, off, at, type, version, must_understand, claim, key, value)"
                    " VALUES ($1, $2, 0, 'attempt.finished', 1, true, NULL, $3, $4)",
                    partition,
                    position,
                    victim["id"],
                    b"x" * 5_000_000,
                )
        finally:
            await connection.close()
        healthy = await same_partition(client, sink, victim)
        await client.wait_status(healthy["id"])
    assert await differences(log, pool) == []


async def same_partition(client: Client, sink: Sink, other: Job, ahead_s: float = 1.0) -> Job:
    """Return a job, due so far ahead, that lives in the partition of *other*."""
    for _ in range(200):
        job = await client.create(f"{sink.url}/healthy", ahead_s)
        if partition_of(job["id"]) == partition_of(other["id"]):
            return job
    raise AssertionError("no job came to that partition")
