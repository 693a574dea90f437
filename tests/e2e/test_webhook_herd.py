"""
Very many jobs that end at once: each webhook is sent, whatever one receiver can take and whoever is killed meanwhile.

The receiver is a process of its own: what the jobs call would otherwise make it slower than it is meant to be.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from libs.log.server_log import RECENT_BYTES_MAX
from services.webhooks.service import LIMITS
from tests.bench.usage import rss_mb
from tests.chaos.hurting.children import Targets
from tests.e2e.test_firing import nothing_more_comes
from tests.e2e.test_webhook_endpoints import ENDPOINTS
from tests.fakes.running.client import OTHER_TOKEN, Client, in_seconds, instant_ms
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.until import until

RECEIVER_MS = 100
PER_SECOND = LIMITS.per_lane * 1000 // RECEIVER_MS  # webhooks that one endpoint can be sent
KILLS = 10
GROWTH_MAX_MB = RECENT_BYTES_MAX / 1e6 + 30  # the newest records, 2,000 held webhooks and what else a herd takes
FLAT_MB = 5.0


async def make_herd(client: Client, sink: Sink, receiver: Targets, count: int) -> tuple[list[str], float]:
    """Make *count* jobs of one second whose webhooks go to one slow receiver; return their ids and that second in ms."""
    at = in_seconds(3.5 + count / 1_000)[:19] + "Z"
    hook = f"{receiver.url}/slow/{RECEIVER_MS}/hook"
    left: list[dict[str, Any]] = [
        {"url": f"{sink.url}/ok/{n}", "scheduled_at": at, "webhook_url": hook} for n in range(count)
    ]
    ids: list[str] = []

    async def are_made() -> bool:
        """Send a thousand; what Fliq cannot take at once is sent again."""
        batch, rest = left[:1_000], left[1_000:]
        status, answer, _ = await client.call("POST", "/v1/jobs/batch", {"jobs": batch})
        assert status == 200
        ids.extend(result["job"]["id"] for result in answer["results"] if "job" in result)
        left[:] = [job for job, result in zip(batch, answer["results"], strict=True) if "job" not in result] + rest
        return not left

    await until(are_made, within_s=300)
    return ids, instant_ms(at)


def told(receiver: Targets) -> list[str]:
    """Return the ids of the jobs that were told of, in order."""
    return [each.headers["webhook-id"] for each in receiver.arrivals]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [400, *(pytest.param(n, marks=pytest.mark.nightly) for n in (5_000, 50_000))])
async def test_every_job_of_a_herd_is_told_of_once_at_the_pace_of_its_receiver(
    client: Client, sink: Sink, fliq: RunningFliq, stalls: Stalls, count: int
) -> None:
    """As many webhooks as jobs, once each, in the time that an endpoint's slots need and two seconds; memory stays flat."""
    memory: list[list[float]] = []

    def note_memory() -> None:
        memory.append([rss_mb(each.process.pid) for each in fliq.of("webhooks")])

    note_memory()
    async with Targets("tests.chaos.hurting.slow_receiver", str(RECEIVER_MS)) as receiver:
        ids, at = await make_herd(client, sink, receiver, count)
        for told_by_now in (count // 5, count):
            await until(lambda: len(receiver.arrivals) >= told_by_now, within_s=60 + count / PER_SECOND * 2)  # noqa: B023
            note_memory()
        took_s = (receiver.arrivals[-1].at - at) / 1000
        await nothing_more_comes(client, sink)
    print(f"{count} webhooks in {took_s:.1f} s, MB before, after a fifth, at the end: {memory}")
    print(f"the machine stood {stalls.longest_ms:.0f} ms")

    assert sorted(told(receiver)) == sorted(ids)
    assert took_s <= count / PER_SECOND + 2 + 2 * stalls.longest_ms / 1000
    if count >= 5_000:
        before, early, end = memory
        assert max(later - earlier for earlier, later in zip(before, end, strict=True)) <= GROWTH_MAX_MB
        # The calls themselves are made while the first few thousand are told of.
        assert count < 50_000 or max(later - earlier for earlier, later in zip(early, end, strict=True)) <= FLAT_MB


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.topologies("split")
@pytest.mark.parametrize("count", [5_000])
async def test_no_webhook_is_lost_while_the_service_is_killed(own_fliq: RunningFliq, sink: Sink, count: int) -> None:
    """Ten kills: each job is told of at least once, always under the same id; what is told twice was under way."""
    async with Client(own_fliq.url) as client, Targets() as receiver:
        ids, at = await make_herd(client, sink, receiver, count)
        for _ in range(KILLS):
            before = len(receiver.arrivals)
            await until(lambda: len(receiver.arrivals) > before + 50)  # noqa: B023 - it is awaited
            (process,) = own_fliq.of("webhooks")
            await asyncio.to_thread(process.kill)
            own_fliq.processes.remove(process)
            own_fliq.processes.append(own_fliq.spawn("webhooks"))
        await until(lambda: len(set(told(receiver))) >= count, within_s=60 + count / PER_SECOND * 2)
        print(f"{count} webhooks, {KILLS} kills: {time.time() - at / 1000:.1f} s")
        times = Counter(told(receiver))

    assert set(times) == set(ids)
    assert sum(times.values()) <= count + KILLS * LIMITS.per_lane * 2


@pytest.mark.timeout(180)
@pytest.mark.parametrize("hanging", [30, pytest.param(300, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("told_by", ["webhook_url", "endpoint"])
async def test_deliveries_that_hang_hold_up_no_other_endpoint_and_no_other_account(
    client: Client, sink: Sink, fliq: RunningFliq, stalls: Stalls, hanging: int, told_by: str
) -> None:
    """However many of one endpoint: another path of that host, and another account, are served within a second."""
    async with Client(fliq.url, OTHER_TOKEN) as other:
        slow = await _receiver(client, told_by, f"{sink.url}/hang/{told_by}", "job.completed")
        at = in_seconds(1.0)
        jobs = [{"url": f"{sink.url}/ok", "scheduled_at": at, **slow} for _ in range(hanging)]
        assert (await client.call("POST", "/v1/jobs/batch", {"jobs": jobs}))[0] == 200
        await sink.wait_for(lambda: len(sink.at(f"/hang/{told_by}")) >= min(hanging, LIMITS.per_lane), timeout_s=30)

        for number, caller in enumerate((client, other)):
            fast = await _receiver(caller, told_by, f"{sink.url}/fast/{number}", "job.cancelled")
            job = await caller.create(f"{sink.url}/ok", 3_600, **fast)
            ended_at = time.time() * 1000
            assert (await caller.call("DELETE", f"/v1/jobs/{job['id']}"))[0] == 204
            await sink.wait_for(lambda: sink.at(f"/fast/{number}"))  # noqa: B023 - it is awaited
            assert sink.at(f"/fast/{number}")[0].at - ended_at <= 1_000 + 2 * stalls.longest_ms
        for caller in (client, other):
            for each in (await caller.call("GET", ENDPOINTS))[1]["endpoints"]:
                assert (await caller.call("DELETE", f"{ENDPOINTS}/{each['id']}"))[0] == 204


async def _receiver(client: Client, told_by: str, url: str, event: str) -> dict[str, str]:
    """Have *url* told of *event*: by the jobs that are made with the fields that are returned, or by an endpoint."""
    if told_by == "webhook_url":
        return {"webhook_url": url}
    assert (await client.call("POST", ENDPOINTS, {"url": url, "events": [event]}))[0] == 201
    return {}
