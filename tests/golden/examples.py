"""
The events behind the golden bytes: one with every field set and one with as few as may be, for each stored name.

Lines of `events_v1.jsonl` are added and never changed: what was once written in a log must be readable for ever. When an event
gains a field, add an example that sets it and the line that `encode` makes of it; the older lines stay and still decode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.events import (
    AttemptDue,
    AttemptFinished,
    Claim,
    Event,
    JobCancelled,
    JobCancelRequested,
    JobFinished,
    JobRetryScheduled,
    JobScheduled,
    JobStopRequested,
    LogBarrier,
    OwnerClaimed,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    ScheduleRule,
    ScheduleTicked,
    Spec,
    WebhookFinished,
)
from libs.events.retry_policy import RetryPolicy

PARTITION: Final = 3
CLAIM: Final = Claim(42, "0123456789abcdef")
AT: Final = 1_800_000_000_123
JOB: Final = "job_01mcc5rm3v001h4d2pf28aqkff"
OLDER_JOB: Final = "job_01mcc5rm3v001g000000000000"
SCHEDULE: Final = "sched_01mcc5rm3v001zzzzzzzzzzzzz"
EXECUTION: Final = "exec_01mcc5rm3v001grnj5hbg6sfrs"

SPEC: Final = Spec(
    url="https://example.com/charge?order=7",
    method="PUT",
    headers={"Content-Type": "application/json", "X-Trace": "ünïcode ✓"},
    body='{"amount": 1250, "note": "naïve \\u0000 \\" \\\\ 😀"}',
    timeout_ms=45_000,
    webhook_url="https://example.com/hook",
    webhook_headers={"Authorization": "Bearer x"},
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
PLAIN: Final = Spec(url="https://example.com/")

EXAMPLES: Final[Mapping[str, Event]] = {
    "owner.claimed": OwnerClaimed(epoch=42, nonce="0123456789abcdef", node="node-1", at=AT),
    "log.barrier": LogBarrier(min_version=7, at=AT),
    "job.scheduled full": JobScheduled(
        job_id=JOB,
        account="acme.eu-1_x",
        at=AT,
        spec=SPEC,
        fire_at=AT + 60_000,
        max_retries=20,
        idempotency_key="order-7/😀",
        replay_of=OLDER_JOB,
    ),
    "job.scheduled plain": JobScheduled(job_id=JOB, account="acme", at=AT, spec=PLAIN, fire_at=AT),
    "job.scheduled shared": JobScheduled(
        job_id=JOB, account="acme", at=AT, spec=PLAIN, fire_at=AT, replay_of=OLDER_JOB, spec_id=OLDER_JOB
    ),
    "job.scheduled with a policy": JobScheduled(
        job_id=JOB,
        account="acme",
        at=AT,
        spec=PLAIN,
        fire_at=AT,
        max_retries=5,
        retry=RetryPolicy(
            max_retries=5,
            backoff="list",
            delay_ms=1_000,
            factor=1.5,
            delays_ms=(0, 2_500),
            max_delay_ms=60_000,
            jitter="equal",
            max_elapsed_ms=3_600_000,
            retry_on=("5xx", "network", "429"),
            heeds_retry_after=False,
            retry_after_max_ms=30_000,
            retry_after_is_free=False,
        ),
        success_on=("2xx", "404"),
        expires_at=AT + 7_200_000,
    ),
    "job.cancel_requested": JobCancelRequested(job_id=JOB, at=AT),
    "job.stop_requested": JobStopRequested(job_id=JOB, at=AT),
    "job.stop_requested by its schedule": JobStopRequested(job_id=JOB, at=AT, reason="replaced"),
    "attempt.due full": AttemptDue(
        job_id=JOB,
        account="acme",
        at=AT,
        attempt=21,
        execution_id=EXECUTION,
        not_before=AT + 75,
        scheduled_at=AT + 75,
        timeout_ms=45_000,
        spec_id=SCHEDULE,
        schedule_id=SCHEDULE,
    ),
    "attempt.due with a policy": AttemptDue(
        job_id=JOB,
        account="acme",
        at=AT,
        attempt=2,
        execution_id=EXECUTION,
        not_before=AT,
        scheduled_at=AT,
        timeout_ms=30_000,
        spec_id=JOB,
        retry=RetryPolicy(max_retries=5),
        success_on=("404",),
        too_late_at=AT + 7_200_000,
        previous_status_code=503,
        max_attempts=6,
    ),
    "attempt.due plain": AttemptDue(
        job_id=JOB,
        account="acme",
        at=AT,
        attempt=1,
        execution_id=EXECUTION,
        not_before=AT,
        scheduled_at=AT,
        timeout_ms=30_000,
        spec_id=JOB,
    ),
    "attempt.finished full": AttemptFinished(
        job_id=JOB,
        at=AT,
        attempt=2,
        execution_id=EXECUTION,
        ok=False,
        started_at=AT - 143,
        duration_ms=143,
        status_code=503,
        error="503 Service Unavailable",
        retry_after_ms=120_000,
    ),
    "attempt.finished detailed": AttemptFinished(
        job_id=JOB,
        at=AT,
        attempt=3,
        execution_id=EXECUTION,
        ok=False,
        started_at=AT - 20,
        duration_ms=20,
        error="protocol_error",
        error_detail="a header line has no colon",
    ),
    "attempt.finished snoozed": AttemptFinished(
        job_id=JOB,
        at=AT,
        attempt=1_201,
        execution_id=EXECUTION,
        ok=False,
        started_at=AT,
        duration_ms=9,
        status_code=202,
        error="snoozed",
        retry_after_ms=86_400_000,
        outcome="snoozed",
    ),
    "attempt.finished plain": AttemptFinished(
        job_id=JOB, at=AT, attempt=1, execution_id=EXECUTION, ok=True, started_at=AT, duration_ms=0
    ),
    "job.retry_scheduled": JobRetryScheduled(job_id=JOB, at=AT, attempt=2, fire_at=AT + 31_557),
    "job.cancelled full": JobCancelled(job_id=JOB, account="acme", at=AT, has_webhook=True, spec_id=JOB),
    "job.cancelled plain": JobCancelled(job_id=JOB, account="acme", at=AT),
    "job.finished full": JobFinished(
        job_id=JOB,
        account="acme",
        at=AT,
        status="failed",
        attempt=4,
        status_code=500,
        last_error="500 Internal Server Error",
        has_webhook=True,
        spec_id=SCHEDULE,
    ),
    "job.finished expired": JobFinished(
        job_id=JOB, account="acme", at=AT, status="failed", attempt=0, last_error="expired", ended_by="expired"
    ),
    "job.finished plain": JobFinished(job_id=JOB, account="acme", at=AT, status="completed", attempt=1),
    "schedule.created full": ScheduleCreated(
        schedule_id=SCHEDULE,
        account="acme",
        at=AT,
        spec=SPEC,
        cron="0 8 * * MON-FRI",
        next_run_at=1_800_000_060_000,
        max_retries=3,
    ),
    "schedule.created plain": ScheduleCreated(
        schedule_id=SCHEDULE, account="acme", at=AT, spec=PLAIN, cron="* * * * *", next_run_at=1_800_000_060_000
    ),
    "schedule.defined full": ScheduleDefined(
        schedule_id=SCHEDULE,
        account="acme",
        at=AT,
        spec=SPEC,
        rule=ScheduleRule(
            cron="30 2 * * *",
            zone="Europe/Berlin",
            gap="skip",
            fold="both",
            starts_at=AT,
            ends_at=AT + 31_536_000_000,
            exclude=("2027-12-24/2027-12-26", "2028-01-01"),
            spread_s=600,
            spread_by="run",
        ),
        next_run_at=1_800_000_090_000,
        next_tick_at=1_800_000_060_000,
        zone_data="2026f",
        max_runs=365,
        max_retries=3,
    ),
    "schedule.defined interval": ScheduleDefined(
        schedule_id=SCHEDULE,
        account="acme",
        at=AT,
        spec=PLAIN,
        rule=ScheduleRule(every_s=90, anchor_at=1_800_000_000_000),
        next_run_at=1_800_000_090_000,
    ),
    "schedule.defined under a key": ScheduleDefined(
        schedule_id=SCHEDULE,
        account="acme",
        at=AT,
        spec=PLAIN,
        rule=ScheduleRule(cron="* * * * *"),
        next_run_at=1_800_000_060_000,
        key="nightly-report",
    ),
    "schedule.changed full": ScheduleChanged(
        schedule_id=SCHEDULE,
        at=AT,
        version=7,
        change_id="0123456789abcdef",
        rule=ScheduleRule(cron="0 9 * * *", zone="Asia/Tokyo", spread_s=60),
        max_runs=100,
        max_retries=5,
        spec=SPEC,
        after_at=AT,
        next_run_at=1_800_000_090_000,
        next_tick_at=1_800_000_060_000,
        zone_data="2026f",
    ),
    "schedule.changed plain": ScheduleChanged(
        schedule_id=SCHEDULE, at=AT, version=2, change_id="0123456789abcdef", rule=ScheduleRule(cron="* * * * *")
    ),
    "schedule.paused until": SchedulePaused(
        schedule_id=SCHEDULE,
        at=AT,
        note="the shop is closed",
        until=1_800_000_100_000,
        next_run_at=1_800_000_150_000,
        next_tick_at=1_800_000_120_000,
        zone_data="2026f",
        version=2,
    ),
    "schedule.paused": SchedulePaused(schedule_id=SCHEDULE, at=AT),
    "schedule.resumed": ScheduleResumed(schedule_id=SCHEDULE, at=AT, next_run_at=1_800_000_120_000),
    "schedule.resumed by a rule": ScheduleResumed(
        schedule_id=SCHEDULE,
        at=AT,
        next_run_at=1_800_000_150_000,
        next_tick_at=1_800_000_120_000,
        zone_data="2026f",
        version=2,
    ),
    "schedule.deleted": ScheduleDeleted(schedule_id=SCHEDULE, at=AT),
    "schedule.ticked full": ScheduleTicked(
        schedule_id=SCHEDULE,
        at=AT,
        tick_at=1_800_000_060_000,
        job_id=JOB,
        next_run_at=1_800_000_120_000,
        missed_count=5,
    ),
    "schedule.ticked last": ScheduleTicked(schedule_id=SCHEDULE, at=AT, tick_at=1_800_000_060_000, job_id=JOB),
    "schedule.ticked by a rule": ScheduleTicked(
        schedule_id=SCHEDULE,
        at=AT,
        tick_at=1_800_000_060_000,
        job_id=JOB,
        next_run_at=1_800_000_150_000,
        fire_at=1_800_000_090_000,
        next_tick_at=1_800_000_120_000,
        zone_data="2026f",
        version=2,
    ),
    "webhook.finished full": WebhookFinished(
        job_id=JOB, at=AT, ok=False, duration_ms=10_000, status_code=502, error="502 Bad Gateway"
    ),
    "webhook.finished plain": WebhookFinished(job_id=JOB, at=AT, ok=True, duration_ms=1),
}
