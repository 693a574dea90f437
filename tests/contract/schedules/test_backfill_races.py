"""Many back-fills of one range at the same moment, while the schedule catches up over the same range."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from libs.domain.instants import rfc3339
from libs.log.memory import LOST, REPLY_LOST, WRITTEN, Fate
from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client

SLOT_MS = 60_000


async def race(api: Client, harness: Harness, *, slots: int, requests: int) -> None:
    """Have *requests* back-fills and the owner race for the last *slots* ticks; fail unless each of them has one job."""
    rule = {"every": {"seconds": 60}, "misfire": "fire_all", "catchup_max": 500, "catchup_window_seconds": 31_536_000}
    _, schedule, _ = await api.call("POST", "/v1/schedules", {"url": "https://example.com/", **rule})
    path = f"/v1/schedules/{schedule['id']}"
    await api.call("POST", f"{path}/pause")
    harness.clock.ahead_ms = slots * SLOT_MS + 30_000
    await api.call("POST", f"{path}/resume", {"catch_up": True})
    asked = {"since": schedule["next_run_at"], "before": rfc3339(harness.clock.now()), "pace_seconds": 3_600}

    async def owner() -> None:
        for _ in range(slots // 2):
            await harness.tick(schedule["id"])

    async def caller() -> int:
        status, answer, _ = await api.call("POST", f"{path}/backfill", asked)
        assert status == 200, answer
        assert answer["ticks"] == slots
        return int(answer["ran"])

    _, *ran = await asyncio.gather(owner(), *[caller() for _ in range(requests)])
    await harness.caught_up()

    jobs = [job for job in harness.tables.jobs.values() if job.schedule_id == schedule["id"]]
    assert set(Counter(job.scheduled_at for job in jobs).values()) == {1}
    assert len(jobs) == slots
    assert max(ran) <= slots


async def test_a_slot_is_one_job_whoever_asks(api: Client, harness: Harness) -> None:
    """Five requests and the owner's own ticks."""
    await race(api, harness, slots=40, requests=5)


@pytest.mark.parametrize("fate", [LOST, REPLY_LOST])
async def test_a_back_fill_that_ends_half_way_is_made_whole_by_its_repeat(
    api: Client, harness: Harness, fate: Fate
) -> None:
    """900 slots, 100 of them have run; two requests die at their second append. The third leaves 900 jobs, as the dry run said."""
    _, schedule, _ = await api.call("POST", "/v1/schedules", {"url": "https://example.com/", "every": {"seconds": 60}})
    path = f"/v1/schedules/{schedule['id']}/backfill"
    begin = {"since": "2026-01-01T00:00:00Z", "pace_seconds": 3_600}
    await api.call("POST", path, begin | {"before": "2026-01-01T01:40:00Z"})
    asked = begin | {"before": "2026-01-01T15:00:00Z"}
    _, dry, _ = await api.call("POST", path, asked | {"dry_run": True})
    assert (dry["ticks"], dry["ran"], dry["jobs"]) == (900, 100, 800)

    for _ in range(2):
        harness.faults.plan(WRITTEN, fate)
        assert (await api.call("POST", path, asked))[0] == 503
    _, last, _ = await api.call("POST", path, asked)

    await harness.caught_up()
    jobs = [job for job in harness.tables.jobs.values() if job.schedule_id == schedule["id"]]
    assert (len(jobs), last["ran"] + last["jobs"]) == (900, 900)
    assert len({job.scheduled_at for job in jobs}) == 900


@pytest.mark.nightly
async def test_a_slot_is_one_job_at_full_size(api: Client, harness: Harness) -> None:
    """Fifty requests for eight hours of each minute."""
    await race(api, harness, slots=480, requests=50)
