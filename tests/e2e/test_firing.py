"""Firing: never early, on time, and each job once."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client, in_seconds, instant_ms

ON_TIME_MS = 500.0  # less than any wait of Fliq for its next look; milliseconds are what benchmarks measure
USUALLY_MS = 100.0


async def nothing_more_comes(client: Client, sink: Sink, *, after_s: float = 0.3) -> None:
    """Return when a job that was created last has called: what was to come before it has come."""
    marker = await client.create(f"{sink.url}/ok/marker", after_s)
    await sink.wait_for(lambda: sink.of(marker["id"]))
    await client.wait_status(marker["id"], "success")


@pytest.mark.everywhere
async def test_a_job_fires_at_its_instant(client: Client, sink: Sink, stalls: Stalls) -> None:
    """No call comes before its instant; each soon after it, half of them within 100 ms."""
    jobs = [await client.create(f"{sink.url}/ok/{n}", 0.7 + n * 0.037) for n in range(20)]

    await sink.wait_count(len(jobs))

    late = [sink.of(job["id"])[0].at - instant_ms(job["scheduled_at"]) for job in jobs]
    print(f"lateness of {len(late)}: median {sorted(late)[10]:.1f} ms, max {max(late):.1f} ms")
    assert min(late) >= 0
    assert max(late) <= ON_TIME_MS + 2 * stalls.longest_ms
    assert sorted(late)[10] <= USUALLY_MS + 2 * stalls.longest_ms


@pytest.mark.everywhere
async def test_a_job_that_is_due_at_once_fires_at_once(client: Client, sink: Sink, stalls: Stalls) -> None:
    """A job a few milliseconds ahead is not early and hardly late, though there was no time to prepare it."""
    job = await client.create(f"{sink.url}/ok", 0.02)
    answered_at = time.time() * 1000

    await sink.wait_count(1)

    asked_at = max(instant_ms(job["scheduled_at"]), answered_at)
    assert sink.arrivals[0].at >= instant_ms(job["scheduled_at"])
    assert sink.arrivals[0].at - asked_at <= ON_TIME_MS + 2 * stalls.longest_ms


@pytest.mark.everywhere
@pytest.mark.parametrize(
    ("count", "within_ms"), [(200, 2_000.0), pytest.param(10_000, 15_000.0, marks=pytest.mark.nightly)]
)
async def test_a_herd_in_one_second_fires_each_job_once(
    client: Client, sink: Sink, stalls: Stalls, count: int, within_ms: float
) -> None:
    """So many jobs of the same second: so many calls, one each, none early; of one host, through one process."""
    at = in_seconds(3.5 + count / 4_000)[:19] + "Z"
    jobs: list[dict[str, Any]] = [
        {"url": f"{sink.url}/ok/{n}", "scheduled_at": at, "body": f"body {n}"} for n in range(count)
    ]
    ids: list[str] = []
    for start in range(0, count, 1_000):
        status, answer, _ = await client.call("POST", "/v1/jobs/batch", {"jobs": jobs[start : start + 1_000]})
        assert status == 200
        ids += [result["job"]["id"] for result in answer["results"]]

    await sink.wait_count(count, timeout_s=60)
    await nothing_more_comes(client, sink)

    by_job = sink.by_job()
    assert [[call.body for call in by_job[job_id]] for job_id in ids] == [[job["body"].encode()] for job in jobs]
    late = sorted(by_job[job_id][0].at - instant_ms(at) for job_id in ids)
    print(f"herd of {count}: median {late[count // 2]:.1f} ms, max {late[-1]:.1f} ms")
    assert late[0] >= 0
    assert late[-1] <= within_ms + 2 * stalls.longest_ms
    for job_id in ids[:200]:
        await client.wait_status(job_id, "success")


async def test_targets_that_hang_do_not_hold_up_others(client: Client, sink: Sink, stalls: Stalls) -> None:
    """Twenty calls that never end are under way, and a job for a healthy target of another host is on time."""
    healthy = Sink()
    async with healthy:
        for n in range(20):
            await client.create(f"{sink.url}/hang/{n}", 0.2, timeout_seconds=2)
        await sink.wait_count(20)
        job = await client.create(f"{healthy.url}/ok", 0.3)
        await healthy.wait_count(1)

        assert healthy.arrivals[0].at - instant_ms(job["scheduled_at"]) <= ON_TIME_MS + 2 * stalls.longest_ms
    for job_id in {arrival.job_id for arrival in sink.arrivals}:
        ended = await client.wait_status(job_id or "", "failed")
        assert ended["execution_count"] == 1
