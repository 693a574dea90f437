"""The events behind the golden bytes of jobs and schedules with labels (examples.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.events import Event, JobScheduled, ScheduleChanged, ScheduleDefined, ScheduleRule, Spec

AT: Final = 1_800_000_000_123
JOB: Final = "job_01mcc5rm3v001h4d2pf28aqkff"
SCHEDULE: Final = "sched_01mcc5rm3v001zzzzzzzzzzzzz"
PLAIN: Final = Spec(url="https://example.com/")

LABEL_EXAMPLES: Final[Mapping[str, Event]] = {
    "job.scheduled with labels": JobScheduled(
        job_id=JOB,
        account="acme",
        at=AT,
        spec=PLAIN,
        fire_at=AT,
        labels={"billing/kind": "invoice: ÄÖ 😀", "tenant": "acme"},
    ),
    "schedule.defined with labels": ScheduleDefined(
        schedule_id=SCHEDULE,
        account="acme",
        at=AT,
        spec=PLAIN,
        rule=ScheduleRule(cron="* * * * *"),
        next_run_at=1_800_000_060_000,
        labels={"tenant": "acme"},
    ),
    "schedule.changed with labels": ScheduleChanged(
        schedule_id=SCHEDULE,
        at=AT,
        version=2,
        change_id="0123456789abcdef",
        rule=ScheduleRule(cron="* * * * *"),
        labels={"tenant": "other"},
    ),
}
