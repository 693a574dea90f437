"""Very many jobs that end at once: each webhook is sent, whatever one receiver can take and whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from functools import partial
from typing import Any

import pytest

from services.webhooks.service import LIMITS
from tests.bench.usage import rss_mb
from tests.e2e.test_firing import nothing_more_comes
from tests.fakes.running.client import Client, in_seconds, instant_ms
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls

RECEIVER_MS = 100
PER_SECOND = LIMITS.per_lane * 1000 // RECEIVER_MS  # webhooks that one endpoint can be sent
KILLS = 10
GROWTH_MAX_MB = 60.0  # 10,000 held webhooks and what else a herd takes


async def make_herd(client: Client, sink: Sink, count: int) -> tuple[list[str], float]:
    """Make *count* jobs of one second whose webhooks go to one slow receiver; return their ids and that second in ms."""
    at = in_seconds(3.5 + count / 1_000)[:19] + "Z"
    hook = f"{sink.url}/slow/{RECEIVER_MS}/hook"
    ids: list[str] = []
    for start in range(0, count, 1_000):
        jobs: list[dict[str, Any]] = [
            {"url": f"{sink.url}/ok/{n}", "scheduled_at": at, "webhook_url": hook}
            for n in range(start, min(count, start + 1_000))
        ]
        status, answer, _ = await client.call("POST", "/v1/jobs/batch", {"jobs": jobs})
        assert status == 200
        ids += [result["job"]["id"] for result in answer["results"]]
    return ids, instant_ms(at)


def told(sink: Sink) -> list[str]:
    """Return the ids of the jobs that were told of, in order."""
    return [each.headers["webhook-id"] for each in sink.arrivals if each.path.endswith("/hook")]


def is_beyond(sink: Sink, count: int) -> bool:
    """Whether more than *count* webhooks came."""
    return len(told(sink)) > count


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [400, *(pytest.param(n, marks=pytest.mark.nightly) for n in (5_000, 50_000))])
async def test_every_job_of_a_herd_is_told_of_once_at_the_pace_of_its_receiver(
    client: Client, sink: Sink, fliq: RunningFliq, stalls: Stalls, count: int
) -> None:
    """As many webhooks as jobs, once each, in the time that an endpoint's slots need and two seconds; memory stays flat."""
    memory = [rss_mb(each.process.pid) for each in fliq.of("webhooks")]
    ids, at = await make_herd(client, sink, count)
    await sink.wait_for(lambda: len(told(sink)) >= count, timeout_s=60 + count / PER_SECOND * 2)
    took_s = (sink.arrivals[-1].at - at) / 1000
    await nothing_more_comes(client, sink)
    grown = [rss_mb(each.process.pid) - before for each, before in zip(fliq.of("webhooks"), memory, strict=True)]
    print(f"{count} webhooks in {took_s:.1f} s, memory + {max(grown):.0f} MB")

    assert sorted(told(sink)) == sorted(ids)
    assert took_s <= count / PER_SECOND + 2 + 2 * stalls.longest_ms / 1000
    if count >= 5_000:
        assert max(grown) <= GROWTH_MAX_MB


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.topologies("split")
@pytest.mark.parametrize("count", [5_000])
async def test_no_webhook_is_lost_while_the_service_is_killed(own_fliq: RunningFliq, sink: Sink, count: int) -> None:
    """Ten kills: each job is told of at least once, always under the same id; what is told twice was under way."""
    async with Client(own_fliq.url) as client:
        ids, at = await make_herd(client, sink, count)
        await sink.wait_for(lambda: len(told(sink)) >= 100, timeout_s=60)
        for _ in range(KILLS):
            (process,) = own_fliq.of("webhooks")
            await asyncio.to_thread(process.kill)
            own_fliq.processes.remove(process)
            own_fliq.processes.append(own_fliq.spawn("webhooks"))
            await sink.wait_for(partial(is_beyond, sink, len(told(sink)) + 50), timeout_s=60)
        await sink.wait_for(lambda: len(set(told(sink))) >= count, timeout_s=60 + count / PER_SECOND * 2)
        print(f"{count} webhooks, {KILLS} kills: {time.time() - at / 1000:.1f} s")
        times = Counter(told(sink))

    assert set(times) == set(ids)
    assert sum(times.values()) <= count + KILLS * LIMITS.per_lane * 2
