"""
Schedules: a tick makes one job at its instant, and an outage costs all missed ticks but the latest.

The API gives a schedule its first run at the next full minute. To not wait for it, most tests append the fact that another replica
of the API would append, with a first run of their own; the rule itself is tested at a real minute in the nightly run.
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.events import ScheduleCreated, Spec, encode
from libs.events.ids import new_schedule_id
from tests.e2e.test_firing import ON_TIME_MS, nothing_more_comes
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client, RunningFliq, instant_ms

MINUTE_MS = 60_000
WELL_BEFORE_MS = 75 + 25  # a tick is decided one lead early
TURNS = 5  # of a test whose beginning a stall of the machine may spoil
TOO_SLOW = "the machine was too slow for this test"
ONCE_A_YEAR = "0 0 1 1 *"  # its next run is far from this test, whatever the second it runs at


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def create_schedule(fliq: RunningFliq, url: str, *, next_run_at: int, cron: str = "* * * * *") -> str:
    """Append the fact that makes a schedule whose first run is at *next_run_at*; returns its id."""
    now = now_ms()
    created = ScheduleCreated(
        schedule_id=new_schedule_id(now, 1, os.urandom(8)),
        account="default",
        at=now,
        spec=Spec(url=url, body="tick"),
        cron=cron,
        next_run_at=next_run_at,
    )
    async with fliq.open_log() as log:
        await log.append(1, [encode(created)])
    return created.schedule_id


async def delete(client: Client, schedule_id: str) -> None:
    status, _, _ = await client.call("DELETE", f"/v1/schedules/{schedule_id}")
    assert status == 204


@pytest.mark.everywhere("kafka")
async def test_a_tick_fires_at_its_instant(fliq: RunningFliq, client: Client, sink: Sink, stalls: Stalls) -> None:
    """The spawned job calls on time, names its schedule, and stands in the schedule's list of jobs."""
    tick_at = now_ms() + 2_600
    schedule_id = await create_schedule(fliq, f"{sink.url}/ok", next_run_at=tick_at, cron=ONCE_A_YEAR)
    await sink.wait_count(1)

    (call,) = sink.arrivals
    assert 0 <= call.at - tick_at <= ON_TIME_MS + 2 * stalls.longest_ms
    assert call.headers["X-Fliq-Schedule-Id"] == schedule_id
    assert instant_ms(call.headers["X-Fliq-Scheduled-At"]) == tick_at
    assert call.body == b"tick"
    job = await client.wait_status(call.job_id or "", "success")
    assert job["schedule_id"] == schedule_id
    _, jobs, _ = await client.call("GET", f"/v1/schedules/{schedule_id}/jobs")
    assert [each["id"] for each in jobs["jobs"]] == [job["id"]]
    _, schedule, _ = await client.call("GET", f"/v1/schedules/{schedule_id}")
    year = datetime.fromtimestamp(tick_at / 1000, UTC).year
    assert instant_ms(schedule["next_run_at"]) == int(datetime(year + 1, 1, 1, tzinfo=UTC).timestamp() * 1000)
    await delete(client, schedule_id)


@pytest.mark.everywhere
async def test_after_an_outage_only_the_latest_missed_tick_fires(fliq: RunningFliq, client: Client, sink: Sink) -> None:
    """A schedule whose last three runs are overdue calls once, for the latest of them, and goes on at the next minute."""
    minute = now_ms() // MINUTE_MS * MINUTE_MS
    schedule_id = await create_schedule(fliq, f"{sink.url}/ok", next_run_at=minute - 3 * MINUTE_MS)
    await sink.wait_count(1)
    await client.wait_status(sink.arrivals[0].job_id or "", "success")
    _, schedule, _ = await client.call("GET", f"/v1/schedules/{schedule_id}")
    await delete(client, schedule_id)
    await nothing_more_comes(client, sink)

    ticks = [instant_ms(call.headers["X-Fliq-Scheduled-At"]) for call in sink.arrivals if call.path == "/ok"]
    assert ticks[0] in (minute, minute + MINUTE_MS)
    assert len(ticks) == len(set(ticks)) <= 2  # the next minute may have begun meanwhile
    assert instant_ms(schedule["next_run_at"]) > ticks[0]


async def test_a_tick_missed_while_fliq_was_down_fires_once(own_fliq: RunningFliq, sink: Sink) -> None:
    """Stopped before the tick and started after it: exactly one call, for that tick."""
    await _ready(own_fliq)
    for turn in range(TURNS):
        tick_at = now_ms() + 6_000
        path = f"/ok/{turn}"
        schedule_id = await create_schedule(own_fliq, sink.url + path, next_run_at=tick_at, cron=ONCE_A_YEAR)
        async with Client(own_fliq.url) as client:
            assert (await client.call("GET", f"/v1/schedules/{schedule_id}"))[0] == 200
        await asyncio.to_thread(own_fliq.stop)
        if now_ms() < tick_at - 500:
            break
        await asyncio.to_thread(own_fliq.start)
    else:
        pytest.fail(TOO_SLOW)
    await asyncio.sleep(max(0, tick_at - now_ms()) / 1000 + 0.1)
    await asyncio.to_thread(own_fliq.start)
    async with Client(own_fliq.url) as client:
        await sink.wait_for(lambda: sink.at(path))
        await delete(client, schedule_id)
        await nothing_more_comes(client, sink)

    assert [instant_ms(call.headers["X-Fliq-Scheduled-At"]) for call in sink.at(path)] == [tick_at]


async def _ready(fliq: RunningFliq) -> None:
    """A fixture started it; nothing else is to be waited for."""
    assert {process.process.poll() for process in fliq.processes} == {None}


@pytest.mark.nightly
@pytest.mark.timeout(240)
async def test_a_schedule_of_every_minute_ticks_at_the_minute(client: Client, sink: Sink, stalls: Stalls) -> None:
    """Created through the API it says when it runs next, and does: two minutes, two calls, on time."""
    request: dict[str, Any] = {"url": f"{sink.url}/ok", "cron": "* * * * *", "body": "tick"}
    status, schedule, _ = await client.call("POST", "/v1/schedules", request)
    assert status == 201
    first_at = instant_ms(schedule["next_run_at"])
    assert first_at == (instant_ms(schedule["created_at"]) // MINUTE_MS + 1) * MINUTE_MS

    await sink.wait_count(2, timeout_s=130)
    await delete(client, schedule["id"])
    await nothing_more_comes(client, sink)

    ticks = [call for call in sink.arrivals if call.path == "/ok"]
    assert [instant_ms(call.headers["X-Fliq-Scheduled-At"]) for call in ticks] == [first_at, first_at + MINUTE_MS]
    late = [call.at - instant_ms(call.headers["X-Fliq-Scheduled-At"]) for call in ticks]
    assert 0 <= min(late) <= max(late) <= ON_TIME_MS + 2 * stalls.longest_ms
