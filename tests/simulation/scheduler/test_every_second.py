"""An interval of one second under the running scheduler, through changes of the owner."""

from __future__ import annotations

import pytest

from libs.domain.job import JobStatus
from libs.events import AttemptDue, ScheduleRule, ScheduleTicked, read
from libs.events.ids import new_schedule_id
from tests.fakes import events
from tests.simulation.scheduler.test_scheduler_service import Harness, running

SECOND_MS = 1_000


async def every_second(minutes: int) -> None:
    """Let it tick for so many virtual minutes, with a new owner each minute; fail unless each second has its call, none early."""
    async with running(Harness()) as harness:
        now = harness.clock.now()
        anchor_at = now - 700
        first_at = anchor_at + SECOND_MS
        rule = ScheduleRule(every_s=1, anchor_at=anchor_at)
        defined = events.defined(new_schedule_id(now, 0, bytes(8)), now, rule=rule, next_run_at=first_at)
        await harness.append(defined)
        for part in range(3 * minutes):  # one account may have 50 attempts under way here
            await harness.clock.advance(first_at + (part + 1) * 20 * SECOND_MS - 500 - harness.clock.now())
            under_way = [job.job_id for job in harness.store.jobs.values() if job.status is JobStatus.RUNNING]
            at = harness.clock.now()
            await harness.append(*[events.finished(job_id, at, 1, ok=True, status_code=200) for job_id in under_way])
            if part % 3 == 2:
                await harness.service.on_lost(0)
                await harness.keeper.grant()
                await harness.settle()

        count = minutes * 60
        records = []
        while page := await harness.log.read(0, len(records), max_records=10_000):
            records += [read(0, record.envelope) for record in page]
        found = [event for event in records if isinstance(event, ScheduleTicked | AttemptDue)]
        wanted = [first_at + number * SECOND_MS for number in range(count)]
        assert [event.tick_at for event in found if isinstance(event, ScheduleTicked)][:count] == wanted
        dues = [event for event in found if isinstance(event, AttemptDue)][:count]
        assert [event.scheduled_at for event in dues] == wanted
        assert all(event.not_before >= event.scheduled_at for event in dues)


async def test_every_second_has_its_call() -> None:
    """For two minutes: 120 jobs, none early, and the anchor holds through each change of the owner."""
    await every_second(2)


@pytest.mark.nightly
async def test_every_second_of_an_hour_has_its_call() -> None:
    """3,600 jobs, none early, 60 owners."""
    await every_second(60)
