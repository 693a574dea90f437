"""Requests that cross with what the owner decides: whichever stands first in the log counts, and nothing is called twice."""

from __future__ import annotations

from itertools import permutations

import pytest

from libs.domain.job import JobStatus
from libs.events import (
    AttemptDue,
    Event,
    JobCancelled,
    JobCancelRequested,
    JobChanged,
    JobChangeRefused,
    JobChangeRequested,
    JobFinished,
    JobMerged,
    JobMergeRequested,
    JobStopRequested,
    SchedulePaused,
    SchedulePolicy,
    ScheduleResumed,
    ScheduleRule,
    encode,
)
from libs.events.ids import new_job_id, new_schedule_id
from tests.fakes import events
from tests.simulation.scheduler.test_scheduler_service import MINUTE_MS, Harness, running

LEAD_MS = 75
AROUND = range(-3, 4)  # ms from the instant at which a due event may be decided


async def put(harness: Harness, *facts: Event) -> None:
    """Append facts at this very moment, all in one go, and let no time pass."""
    await harness.log.append(0, [encode(fact) for fact in facts])


async def decided(harness: Harness, *kinds: type) -> list[Event]:
    """Return the records of these kinds."""
    return [event for event in await harness.events() if isinstance(event, kinds)]


@pytest.mark.parametrize("order", [*permutations(("run", "cancel"))])
@pytest.mark.parametrize("gap_ms", [0, 1, 10, 100])
async def test_run_now_against_cancel(order: tuple[str, str], gap_ms: int) -> None:
    """The job is called or cancelled, never both and never neither. A cancel may overtake the due of a run that stands first."""
    async with running() as harness:
        job_id = await harness.job(60_000)
        for word in order:
            now = harness.clock.now()
            run = JobChangeRequested(job_id=job_id, at=now, request_id="run", version=0, fire_at=now)
            await put(harness, run if word == "run" else JobCancelRequested(job_id=job_id, at=now))
            if gap_ms:
                await harness.clock.advance(gap_ms)
        await harness.clock.advance(5_000)

        ends = await decided(harness, AttemptDue, JobCancelled)
        assert len(ends) == 1
        if order[0] == "cancel":
            assert isinstance(ends[0], JobCancelled)
            assert await decided(harness, JobChanged) == []
        await harness.check()


@pytest.mark.parametrize("order", [*permutations(("stop", "finish"))])
@pytest.mark.parametrize("gap_ms", [0, 10])
@pytest.mark.parametrize("ok", [True, False])
async def test_stop_against_the_end_of_the_call(order: tuple[str, str], gap_ms: int, ok: bool) -> None:
    """The job ends once, and no other try follows; a stop that stands first has the say."""
    async with running() as harness:
        job_id = await harness.job(100, max_retries=3)
        await harness.clock.advance(200)
        for word in order:
            now = harness.clock.now()
            finish = events.finished(job_id, now, 1, ok=ok, status_code=200 if ok else 500)
            await put(harness, JobStopRequested(job_id=job_id, at=now) if word == "stop" else finish)
            if gap_ms:
                await harness.clock.advance(gap_ms)
        await harness.clock.advance(60 * MINUTE_MS)

        (end,) = await decided(harness, JobFinished)
        assert isinstance(end, JobFinished)
        if order[0] == "stop" and gap_ms:
            assert (end.status, end.ended_by) == ("failed", "stopped")
        if order[0] == "finish" and ok:
            assert end.status == "completed"
        assert len(await harness.dues(job_id)) == 1
        await harness.check()


@pytest.mark.parametrize("offset_ms", AROUND)
async def test_a_change_against_the_due(offset_ms: int) -> None:
    """It is made, and the only call is at its instant; or it is refused, and the only call is at the old one."""
    async with running() as harness:
        job_id = await harness.job(10_000)
        fire_at = harness.store.jobs[job_id].fire_at
        await harness.clock.advance(fire_at - LEAD_MS + offset_ms - harness.clock.now())
        now = harness.clock.now()
        await put(
            harness, JobChangeRequested(job_id=job_id, at=now, request_id="late", version=0, fire_at=fire_at + 60_000)
        )
        await harness.clock.advance(70_000)

        is_changed = bool(await decided(harness, JobChanged))
        (due,) = await harness.dues(job_id)
        assert due.not_before == fire_at + 60_000 * is_changed
        assert is_changed == (offset_ms < 0) or offset_ms == 0
        assert len(await decided(harness, JobChanged, JobChangeRefused)) == is_changed
        await harness.check()


@pytest.mark.parametrize("offset_ms", AROUND)
async def test_an_extension_of_a_waiting_key_against_the_due(offset_ms: int) -> None:
    """The waiting job is extended, or it fires as it was: one call in either case."""
    async with running() as harness:
        now = harness.clock.now()
        fire_at = now + 10_000
        asked = events.asked(new_job_id(now, 0, bytes(8)), now, fire_at=fire_at, waiting_key="debounce")
        await harness.append(asked)
        await harness.clock.advance(fire_at - LEAD_MS + offset_ms - harness.clock.now())
        later = JobMergeRequested(
            job_id=asked.job_id, at=harness.clock.now(), request_id="r", how="extend", fire_at=fire_at + 60_000
        )
        await put(harness, later)
        await harness.clock.advance(70_000)

        is_merged = bool(await decided(harness, JobMerged))
        (due,) = await harness.dues(asked.job_id)
        assert due.not_before == fire_at + 60_000 * is_merged
        assert is_merged == (offset_ms < 0) or offset_ms == 0
        await harness.check()


async def test_resumes_that_cross_call_no_slot_twice() -> None:
    """
    A resume that makes up for its pause lands behind a later pause, and names a tick that has run. The slots are decided once more,
    and their jobs are those that there were: no second call.
    """
    async with running() as harness:
        now = harness.clock.now()
        anchor = now - now % MINUTE_MS
        rule = ScheduleRule(every_s=60, anchor_at=anchor)
        policy = SchedulePolicy(misfire="fire_all", window_s=86_400, catchup_max=100)
        schedule_id = new_schedule_id(now, 0, bytes(8))
        first_at = anchor + MINUTE_MS
        await harness.append(events.defined(schedule_id, now, rule=rule, policy=policy, next_run_at=first_at))
        await harness.append(SchedulePaused(schedule_id=schedule_id, at=harness.clock.now()))
        await harness.clock.advance(5 * MINUTE_MS)
        resumed = ScheduleResumed(schedule_id=schedule_id, at=harness.clock.now(), next_run_at=first_at, version=1)
        await harness.append(resumed)
        await harness.clock.advance(2 * MINUTE_MS)
        made = {job.job_id for job in harness.store.jobs.values()}
        assert len(made) >= 6
        for job_id in sorted(made):
            if harness.store.jobs[job_id].status is JobStatus.RUNNING:
                await harness.finish(job_id, 1, ok=True)
        await harness.append(SchedulePaused(schedule_id=schedule_id, at=harness.clock.now()))
        await harness.append(resumed)  # the same once more: its append was late
        await harness.clock.advance(2 * MINUTE_MS)

        dues = [event for event in await harness.events() if isinstance(event, AttemptDue)]
        slots = [due.scheduled_at for due in dues]
        assert made < {due.job_id for due in dues}
        assert len(slots) == len(set(slots))
        assert sorted(slots) == [first_at + MINUTE_MS * number for number in range(len(slots))]
        await harness.check()
