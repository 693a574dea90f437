"""The registry: which kinds of state an event changes, and how states are told apart."""

from __future__ import annotations

from libs.domain import job, schedule
from libs.domain.job import JobState
from libs.domain.schedule import ScheduleState
from libs.domain.state_registry import FOLDED_BY, States, id_of
from libs.events import AttemptDue, JobScheduled, LogBarrier, ScheduleTicked
from libs.events.ids import new_job_id, new_schedule_id

JOB = JobState(job_id=new_job_id(1, 0, bytes(8)), account="acme", scheduled_at=1, fire_at=1, created_at=1)
SCHEDULE = ScheduleState(
    schedule_id=new_schedule_id(1, 0, bytes(8)),
    account="acme",
    cron="* * * * *",
    created_at=1,
    next_run_at=1,
    changed_at=1,
)


def test_the_kind_under_whose_key_a_record_stands_comes_first() -> None:
    """A tick stands under its schedule, which decides whether it applies; the job follows."""
    assert FOLDED_BY[ScheduleTicked] == (schedule.KIND, job.KIND)
    assert FOLDED_BY[JobScheduled] == (job.KIND, schedule.KIND)
    assert FOLDED_BY[AttemptDue] == (job.KIND,)
    assert FOLDED_BY[LogBarrier] == ()


def test_states_of_all_kinds_stand_side_by_side() -> None:
    """Each under its own id, and those of one kind can be picked."""
    states = States((id_of(each), each) for each in (JOB, SCHEDULE))

    assert set(states) == {JOB.job_id, SCHEDULE.schedule_id}
    assert states.of(JobState) == {JOB.job_id: JOB}
    assert states.of(ScheduleState) == {SCHEDULE.schedule_id: SCHEDULE}
