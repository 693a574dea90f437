"""Golden events that say what is kept of answers, and what was."""

from collections.abc import Mapping
from typing import Final

from libs.events import (
    AttemptFinished,
    Capture,
    Event,
    HistoryForgotten,
    JobChangeRequested,
    JobMergeRequested,
    JobScheduled,
    Response,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleRule,
    Spec,
)

AT: Final = 1_800_000_000_123
JOB: Final = "job_01mcc5rm3v001g000000000000"
OLDER_JOB: Final = "job_01mcc5rm3v001g000000000001"
SCHEDULE: Final = "sched_01mcc5rm3v001zzzzzzzzzzzzz"
SPEC: Final = Spec(
    url="https://example.com/",
    capture=Capture(when="always", redact=("password", "pin")),
    headers={"A": "b"},
    body="{}",
)
_REQUEST: Final = "0123456789abcdef"

RESPONSE_EXAMPLES: Final[Mapping[str, Event]] = {
    "job.scheduled that keeps answers": JobScheduled(job_id=JOB, account="acme", at=AT, spec=SPEC, fire_at=AT),
    "job.change_requested that keeps answers": JobChangeRequested(
        job_id=JOB, at=AT, request_id=_REQUEST, version=0, fire_at=AT, spec=SPEC, new_spec_id=OLDER_JOB
    ),
    "job.merge_requested that keeps answers": JobMergeRequested(
        job_id=JOB, at=AT, request_id=_REQUEST, how="replace", fire_at=AT, spec=SPEC, new_spec_id=OLDER_JOB
    ),
    "attempt.finished with an answer": AttemptFinished(
        job_id=JOB,
        at=AT,
        attempt=1,
        execution_id="exec_01mcc5rm3v001g000000000000",
        ok=False,
        started_at=AT,
        duration_ms=9,
        status_code=500,
        error="HTTP 500",
        response=Response(data=b'{"headers":{},"length":2,"sha256":"00","head":"no"}'),
    ),
    "attempt.finished with a sealed answer": AttemptFinished(
        job_id=JOB,
        at=AT,
        attempt=1,
        execution_id="exec_01mcc5rm3v001g000000000000",
        ok=False,
        started_at=AT,
        duration_ms=9,
        status_code=500,
        error="HTTP 500",
        response=Response(data=b"\x00sealed\xff", key="dk_0123456789abcdef"),
    ),
    "schedule.created that keeps answers": ScheduleCreated(
        schedule_id=SCHEDULE,
        account="acme",
        at=AT,
        spec=Spec(url="https://example.com/", capture=Capture(when="none")),
        cron="* * * * *",
        next_run_at=1_800_000_060_000,
    ),
    "schedule.defined that keeps answers": ScheduleDefined(
        schedule_id=SCHEDULE,
        account="acme",
        at=AT,
        spec=Spec(url="https://example.com/", capture=Capture(redact=("pin",))),
        rule=ScheduleRule(cron="* * * * *"),
        next_run_at=1_800_000_060_000,
    ),
    "schedule.changed that keeps answers": ScheduleChanged(
        schedule_id=SCHEDULE,
        at=AT,
        version=2,
        change_id=_REQUEST,
        rule=ScheduleRule(cron="* * * * *"),
        spec=SPEC,
    ),
    "history.forgotten of answers": HistoryForgotten(through=7, responses_before=AT - 604_800_000, at=AT),
}
