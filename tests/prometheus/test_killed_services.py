"""Killing each service fires its alert within two minutes, and no other, and clears: with the configuration as it is shipped."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, FliqOf
from tests.fakes.until import until
from tests.prometheus.server import Prometheus
from tests.prometheus.source import Binaries

WITHIN_S = 120
CROWDED = {"FliqLoopSlow"}  # true, on a machine where other tests run at the same time
ALERTS = {
    "api": "FliqApiDown",
    "scheduler": "FliqSchedulerDown",
    "dispatcher": "FliqDispatcherDown",
    "webhooks": "FliqWebhooksDown",
}

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]


async def load(url: str, sink: Sink) -> None:
    """Create some jobs a second, whoever is dead at the moment."""
    async with Client(url) as client:
        while True:
            try:
                for _ in range(4):
                    await client.create(f"{sink.url}/ok", 1.0, webhook_url=f"{sink.url}/hook")
                await client.call("GET", "/v1/jobs")
            except (AssertionError, OSError, TimeoutError) as error:
                print(f"load: {type(error).__name__}")
            await asyncio.sleep(1)


@pytest.mark.parametrize("place", ["split", "kafka"])
async def test_each_killed_service_fires_its_alert_alone(
    place: str, fliq_of: FliqOf, sink: Sink, promtool: Binaries
) -> None:
    """Four processes under load, each killed for as long as its alert needs, and started again."""
    running = fliq_of(place, FLIQ_HEARTBEAT_SECONDS="10")
    busy = asyncio.create_task(asyncio.sleep(0))
    report = []
    try:
        await asyncio.to_thread(running.start)
        busy = asyncio.create_task(load(running.url, sink))
        async with Prometheus(promtool, running) as prometheus:

            async def all_up() -> bool:
                return await prometheus.value('sum(up{job=~"fliq-.+"})') == 4

            await until(all_up, within_s=WITHIN_S, every_s=1)
            for role, alert in ALERTS.items():
                [process] = running.of(role)
                began_at = time.monotonic()
                process.kill()
                fired_s = await _until(prometheus, {alert}, began_at)
                await asyncio.sleep(WITHIN_S - fired_s)  # the whole two minutes: nothing else may join it
                assert await _firing(prometheus) == {alert}
                running.processes[running.processes.index(process)] = again = process.again()
                restarted_at = time.monotonic()
                await asyncio.to_thread(again.wait_ready)
                cleared_s = await _until(prometheus, set(), restarted_at)
                report.append(f"{role}: {alert} after {fired_s:.0f} s, cleared {cleared_s:.0f} s after the restart")
                print(report[-1], flush=True)
                span_s = int(time.monotonic() - began_at) + 5
                found = await prometheus.query(
                    f'count by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}[{span_s}s]))'
                )
                assert {sample["metric"]["alertname"] for sample in found} - CROWDED == {alert}
                await asyncio.sleep(30)
    finally:
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
        await asyncio.to_thread(running.close)


async def _until(prometheus: Prometheus, wanted: set[str], began_at: float) -> float:
    """Return the seconds from *began_at* until exactly *wanted* fire."""
    firing: set[str] = set()

    async def as_wanted() -> bool:
        firing.clear()
        firing.update(await _firing(prometheus))
        return firing == wanted

    left_s = began_at + WITHIN_S - time.monotonic()
    await until(as_wanted, within_s=left_s, every_s=1, saying=lambda: f"firing: {firing}, expected: {wanted}")
    return time.monotonic() - began_at


async def _firing(prometheus: Prometheus) -> set[str]:
    return await prometheus.firing() - CROWDED
