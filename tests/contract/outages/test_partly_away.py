"""When one partition is in trouble: the others are read and written as ever, and nothing is decided by what its tables lack."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from libs.events.ids import new_job_id, partition_of
from libs.log.port import LogUnavailable
from tests.contract.harness import PARTITIONS, Harness
from tests.fakes.running.topologies import Client
from tests.fakes.until import until

URL = "https://example.com/x"
JOB = {"url": URL, "scheduled_at": "2032-01-01T00:00:00Z"}
CRON = {"url": URL, "cron": "0 8 * * *"}


def take_away(harness: Harness, partition: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log no longer say where *partition* ends."""
    end = harness.log.end

    async def asked(of: int) -> int:
        if of == partition:
            raise LogUnavailable("has no leader, says the test")
        return await end(of)

    monkeypatch.setattr(harness.log, "end", asked)


async def job_in(api: Client, partition: int) -> str:
    """Create jobs until one lies in *partition*, and return its id."""
    while True:
        job_id = str((await api.create(URL, 60))["id"])
        if partition_of(job_id) == partition:
            return job_id
        await asyncio.sleep(0.002)  # the turn of a partition is 10 ms


async def test_a_halted_partition_halts_no_others(api: Client, harness: Harness) -> None:
    """While the tables of one partition do not move on, new jobs go to the others; it gets its share again afterwards."""
    limits: Any = harness.replicas[0]._limits
    limits._lag_max = 20
    held = await job_in(api, 0)
    await harness.caught_up()
    harness.hold(0)
    while limits.avoided != {0}:
        assert (await api.call("POST", "/v1/jobs/batch", {"jobs": [JOB] * 30}))[0] == 200
        await limits.look()
    partitions: Counter[int] = Counter()
    for _ in range(20):
        status, job, _ = await api.call("POST", "/v1/jobs", JOB)
        assert status == 201
        partitions[partition_of(job["id"])] += 1
        await asyncio.sleep(0.003)
    assert set(partitions) <= {1, 2}
    harness.release()
    await harness.caught_up()
    await limits.look()
    assert (limits.avoided, limits.is_overloaded) == (frozenset(), False)
    assert (await api.job(held))["status"] == "scheduled"


async def test_a_partition_without_a_leader_makes_only_its_own_reads_stale(
    api: Client, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its jobs are shown as the tables have them, and no others; new jobs are not sent there."""
    lost, sound = await job_in(api, 0), await job_in(api, 1)
    await harness.caught_up()
    take_away(harness, 0, monkeypatch)
    for _ in range(3):
        status, _, headers = await api.call("GET", f"/v1/jobs/{lost}")
        assert (status, headers["Fliq-Stale"]) == (200, "true")
        status, _, headers = await api.call("GET", f"/v1/jobs/{sound}")
        assert (status, "Fliq-Stale" in headers) == (200, False)
        assert (await api.call("GET", "/v1/jobs/" + new_job_id(harness.clock.now(), 1, b"12345678")))[0] == 404
    limits: Any = harness.replicas[0]._limits
    await limits.look()
    assert (limits.avoided, limits.is_overloaded) == ({0}, False)


async def test_a_new_partition_is_no_404_before_it_is_folded(
    api: Client, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the log grew after this process had started, jobs may be accepted before anybody folds: 503; a made-up id is 404."""
    positions = harness._positions

    async def grown(query: str) -> list[dict[str, int]]:
        return [*await positions(query), {"part": PARTITIONS, "position": -1}]

    watch: Any = harness.replicas[0]._ports.progress
    monkeypatch.setattr(watch, "_pool", type("Pool", (), {"fetch": staticmethod(grown)}))
    for method in ("GET", "DELETE"):
        status, answer, _ = await api.call(
            method, "/v1/jobs/" + new_job_id(harness.clock.now(), PARTITIONS, b"12345678")
        )
        assert (status, answer["error"]["code"]) == (503, "unavailable")
        made_up = new_job_id(harness.clock.now(), PARTITIONS + 1, b"12345678")
        assert (await api.call(method, "/v1/jobs/" + made_up))[0] == 404


@pytest.mark.parametrize(("first", "then", "status"), [("pause", "resume", "active"), ("resume", "pause", "paused")])
async def test_a_change_is_not_skipped_for_what_old_tables_say(
    api: Client, harness: Harness, first: str, then: str, status: str
) -> None:
    """A change that is in the log and not in the tables yet is undone by the next one, which waits for it."""
    _, schedule, _ = await api.call("POST", "/v1/schedules", CRON)
    path = f"/v1/schedules/{schedule['id']}"
    if first == "resume":
        assert (await api.call("POST", path + "/pause"))[0] == 200
    await harness.caught_up()
    harness.hold()
    changing = asyncio.create_task(api.call("POST", f"{path}/{first}"))
    partition = partition_of(schedule["id"])
    end = await harness.log.end(partition)

    async def is_in_the_log() -> bool:
        return await harness.log.end(partition) > end

    await until(is_in_the_log, every_s=0)
    undoing = asyncio.create_task(api.call("POST", f"{path}/{then}"))
    for _ in range(200):
        await asyncio.sleep(0)
    harness.release()
    assert (await changing)[0] == 200
    assert (await undoing)[0] == 200
    await harness.caught_up()
    assert (await api.call("GET", path))[1]["status"] == status


async def test_a_schedule_is_not_shown_as_it_was_before_an_acknowledged_change(api: Client, harness: Harness) -> None:
    """Tables that were set back by a crash of their server are waited for: what was paused is shown paused."""
    _, schedule, _ = await api.call("POST", "/v1/schedules", CRON)
    path = f"/v1/schedules/{schedule['id']}"
    before = dict(harness.tables.schedules) or None
    while before is None:
        await harness.caught_up()
        before = dict(harness.tables.schedules)
    assert (await api.call("POST", path + "/pause"))[0] == 200
    partition = partition_of(schedule["id"])
    after, position = dict(harness.tables.schedules), harness.ledgers[partition].position
    harness.tables.schedules.update(before)
    harness.ledgers[partition].position = position - 1
    watch: Any = harness.replicas[0]._ports.progress
    watch.forget()
    reading = asyncio.create_task(api.call("GET", path))
    await until(lambda: watch.is_awaited() or reading.done(), every_s=0)
    harness.tables.schedules.update(after)
    harness.ledgers[partition].position = position
    status, shown, _ = await reading
    assert (status, shown["status"]) == (200, "paused")


async def test_a_job_that_a_crashed_server_lost_while_it_was_asked_is_not_missing(
    api: Client, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables were current, and went back before they were asked for the row: they are waited for once more."""
    job = await api.create(URL, 60)
    await harness.caught_up()
    get_job, asked = harness.tables.get_job, 0
    watch: Any = harness.replicas[0]._ports.progress

    async def lost(account: str, job_id: str) -> Any:
        nonlocal asked
        asked += 1
        if asked == 2:
            watch.forget()  # as the connection does over which this question is asked
        return None if asked <= 2 else await get_job(account, job_id)

    monkeypatch.setattr(harness.tables, "get_job", lost)
    status, shown, _ = await api.call("GET", f"/v1/jobs/{job['id']}")
    assert (status, shown["id"] if status == 200 else shown, asked) == (200, job["id"], 3)


async def test_a_job_that_is_lost_while_the_log_is_away_is_not_missing(
    api: Client, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables had it a moment ago, and the log cannot say whether they are current: 503, not 404."""
    job_id = await job_in(api, 0)
    await harness.caught_up()
    take_away(harness, 0, monkeypatch)
    rows = [await harness.tables.get_job("default", job_id)]

    async def lost(*_: str) -> Any:
        return rows.pop() if rows else None

    monkeypatch.setattr(harness.tables, "get_job", lost)
    status, answer, _ = await api.call("GET", f"/v1/jobs/{job_id}")
    assert (status, answer["error"]["code"], rows) == (503, "unavailable", [])
