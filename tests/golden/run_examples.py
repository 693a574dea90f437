"""Examples of the events about the runs of a schedule: overlap, and pauses after failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.events import (
    Event,
    JobCancelled,
    JobFinished,
    JobScheduled,
    RunPolicy,
    ScheduleAutopaused,
    ScheduleChanged,
    ScheduleDefined,
    ScheduleRule,
    ScheduleRunStopped,
    ScheduleSpawned,
    ScheduleTicked,
    Spec,
)

AT: Final = 1_800_000_000_123
JOB: Final = "job_01mcc5rm3v001h4d2pf28aqkff"
SCHEDULE: Final = "sched_01mcc5rm3v001zzzzzzzzzzzzz"
PLAIN: Final = Spec(url="https://example.com/")
RUNS: Final = RunPolicy(overlap="buffer_all", buffer_max=3, pause_after_failures=5)

RUN_EXAMPLES: Final[Mapping[str, Event]] = {
    "job.scheduled tracked": JobScheduled(
        job_id=JOB, account="acme", at=AT, spec=PLAIN, fire_at=AT, schedule_id=SCHEDULE, is_tracked=True
    ),
    "job.cancelled tracked": JobCancelled(job_id=JOB, account="acme", at=AT, schedule_id=SCHEDULE),
    "job.finished tracked": JobFinished(
        job_id=JOB, account="acme", at=AT, status="completed", attempt=1, schedule_id=SCHEDULE
    ),
    "schedule.defined with runs": ScheduleDefined(
        schedule_id=SCHEDULE,
        account="acme",
        at=AT,
        spec=PLAIN,
        rule=ScheduleRule(cron="* * * * *"),
        next_run_at=1_800_000_060_000,
        runs=RUNS,
    ),
    "schedule.changed of runs": ScheduleChanged(
        schedule_id=SCHEDULE,
        at=AT,
        version=2,
        change_id="0123456789abcdef",
        rule=ScheduleRule(cron="* * * * *"),
        runs=RunPolicy(overlap="skip"),
    ),
    "schedule.defined with a grace": ScheduleDefined(
        schedule_id=SCHEDULE,
        account="acme",
        at=AT,
        spec=PLAIN,
        rule=ScheduleRule(cron="* * * * *"),
        next_run_at=1_800_000_060_000,
        runs=RunPolicy(overlap="skip", grace_s=600),
    ),
    "schedule.changed to a grace": ScheduleChanged(
        schedule_id=SCHEDULE,
        at=AT,
        version=2,
        change_id="0123456789abcdef",
        rule=ScheduleRule(cron="* * * * *"),
        runs=RunPolicy(overlap="buffer_one", grace_s=1),
    ),
    "schedule.ticked that waits": ScheduleTicked(
        schedule_id=SCHEDULE,
        at=AT,
        tick_at=1_800_000_060_000,
        job_id=JOB,
        next_run_at=1_800_000_120_000,
        version=1,
        action="buffered",
        reason="overlap",
        skipped=(1_800_000_000_000,),
    ),
    "schedule.spawned": ScheduleSpawned(
        schedule_id=SCHEDULE,
        at=AT,
        tick_at=1_800_000_060_000,
        job_id=JOB,
        fire_at=AT,
        local_time="2027-01-15T17:01:00+09:00[Asia/Tokyo]",
    ),
    "schedule.run_stopped": ScheduleRunStopped(schedule_id=SCHEDULE, at=AT, job_id=JOB),
    "schedule.autopaused": ScheduleAutopaused(schedule_id=SCHEDULE, account="acme", at=AT, failures=5, version=2),
}
