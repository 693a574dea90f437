"""A job's state: under which id its spec is kept, when it waits, and how many positions it remembers."""

from __future__ import annotations

from libs.domain.job import MAX_OFFSETS, create, evolve, spawn
from libs.domain.schedule import ScheduleState
from libs.events import JobRetryScheduled, ScheduleTicked
from libs.events.ids import new_job_id, new_schedule_id, tick_job_id
from tests.fakes import events

NOW = 1_000_000
LONGEST = 21  # attempts: twenty retries are the most
ENDS = 3  # a cancel that came too late, the end, the webhook's outcome
JOB = new_job_id(NOW, 0, bytes(8))
SCHEDULE = new_schedule_id(NOW, 0, bytes(8))
ASKED = events.asked(JOB, NOW, max_retries=99)


def test_the_spec_is_the_schedules_where_there_is_one() -> None:
    """A schedule's jobs share the schedule's; any other job has its own."""
    tick = ScheduleTicked(schedule_id=SCHEDULE, at=NOW, tick_at=NOW, job_id=tick_job_id(SCHEDULE, NOW))
    schedule = ScheduleState(
        schedule_id=SCHEDULE, account="acme", cron="* * * * *", created_at=NOW, next_run_at=NOW, changed_at=1
    )
    ticked = spawn(tick, 7, schedule)

    assert ticked.spec_id == SCHEDULE
    assert create(ASKED, 7).spec_id == JOB


def test_a_run_of_a_schedule_may_bring_a_spec_of_its_own() -> None:
    """Such a job names no other spec: its own is kept under its own id, not under the schedule's."""
    assert create(events.asked(JOB, NOW, schedule_id=SCHEDULE, tick_at=NOW), 7).spec_id == JOB
    assert create(events.asked(JOB, NOW, schedule_id=SCHEDULE, spec_id=SCHEDULE, tick_at=NOW), 7).spec_id == SCHEDULE


def test_positions_have_a_bound_and_the_life_goes_on() -> None:
    """A job waits between attempts and remembers `MAX_OFFSETS` positions: all of the longest life that can be asked for."""
    state = create(ASKED, 0)
    for attempt in range(1, 31):
        for event in (
            events.due(JOB, NOW, attempt, timeout_ms=1_000),
            events.finished(JOB, NOW, attempt, ok=False),
            JobRetryScheduled(job_id=JOB, at=NOW, attempt=attempt + 1, fire_at=NOW),
        ):
            before, state = state, evolve(state, event, state.offsets[-1] + 1)
            assert state is not before
            assert state.is_waiting == isinstance(event, JobRetryScheduled)

        if attempt == LONGEST:
            assert len(state.offsets) + ENDS <= MAX_OFFSETS
    assert state.attempt == 30
    assert state.offsets == tuple(range(MAX_OFFSETS))
