"""The events behind the golden bytes of webhooks that are repeated (examples.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.events import (
    Event,
    JobScheduled,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleRule,
    Spec,
    WebhookAttempted,
    WebhookRedeliverRequested,
)
from libs.events.retry_policy import RetryPolicy

AT: Final = 1_800_000_000_123
JOB: Final = "job_01mcc5rm3v001h4d2pf28aqkff"
SCHEDULE: Final = "sched_01mcc5rm3v001zzzzzzzzzzzzz"
RETRIES: Final = RetryPolicy(max_retries=3, delay_ms=5_000)
DURABLE: Final = Spec(
    url="https://example.com/", webhook_url="https://example.com/hook", webhook_retry=RetryPolicy(max_retries=3)
)
DELIVERY: Final = "whd_01mcc5rm3v001qyf4bqj0q3c5t"

DELIVERY_EXAMPLES: Final[Mapping[str, Event]] = {
    "job.scheduled with a webhook that is repeated": JobScheduled(
        job_id=JOB, account="acme", at=AT, spec=DURABLE, fire_at=AT
    ),
    "schedule.created with a webhook that is repeated": ScheduleCreated(
        schedule_id=SCHEDULE, account="acme", at=AT, spec=DURABLE, cron="* * * * *", next_run_at=AT
    ),
    "schedule.defined with a webhook that is repeated": ScheduleDefined(
        schedule_id=SCHEDULE,
        account="acme",
        at=AT,
        spec=DURABLE,
        rule=ScheduleRule(every_s=90, anchor_at=AT),
        next_run_at=AT,
    ),
    "webhook.attempted first": WebhookAttempted(
        delivery_id=DELIVERY,
        account="acme",
        at=AT,
        attempt=1,
        outcome="failure",
        duration_ms=31,
        status_code=503,
        error="HTTP 503",
        asked_ms=7_000,
        job_id=JOB,
        event="job.failed",
        retry=RETRIES,
        spec_id=JOB,
    ),
    "webhook.attempted again": WebhookAttempted(
        delivery_id=DELIVERY,
        account="acme",
        at=AT,
        attempt=2,
        outcome="success",
        duration_ms=0,
        job_id=JOB,
    ),
    "webhook.redeliver_requested": WebhookRedeliverRequested(
        delivery_id=DELIVERY, at=AT, request_id="0123456789abcdef"
    ),
}
