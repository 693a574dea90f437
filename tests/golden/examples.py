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
    HistoryForgotten,
    JobCancelled,
    JobCancelRequested,
    JobChanged,
    JobChangeRefused,
    JobChangeRequested,
    JobFinished,
    JobRetryScheduled,
    JobScheduled,
    JobStopRequested,
    LogBarrier,
    OwnerClaimed,
    WebhookFinished,
)
from libs.events.retry_policy import RetryPolicy
from tests.golden.carried_examples import CARRIED_EXAMPLES
from tests.golden.delivery_examples import DELIVERY_EXAMPLES
from tests.golden.key_examples import KEY_EXAMPLES
from tests.golden.label_examples import LABEL_EXAMPLES
from tests.golden.response_examples import RESPONSE_EXAMPLES
from tests.golden.run_examples import RUN_EXAMPLES
from tests.golden.schedule_examples import AT, JOB, PLAIN, SCHEDULE, SCHEDULE_EXAMPLES, SPEC
from tests.golden.sealed_examples import SEALED_EXAMPLES

PARTITION: Final = 3
CLAIM: Final = Claim(42, "0123456789abcdef")
OLDER_JOB: Final = "job_01mcc5rm3v001g000000000000"
EXECUTION: Final = "exec_01mcc5rm3v001grnj5hbg6sfrs"


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
    "job.scheduled for a tick that has gone by": JobScheduled(
        job_id=JOB,
        account="acme",
        at=AT,
        spec=PLAIN,
        fire_at=AT,
        spec_id=OLDER_JOB,
        schedule_id=SCHEDULE,
        tick_at=1_800_000_000_000 - 86_400_000,
        local_time="2027-01-14T09:00:00+01:00[Europe/Berlin]",
    ),
    "job.scheduled of a schedule": JobScheduled(
        job_id=JOB, account="acme", at=AT, spec=PLAIN, fire_at=AT, spec_id=OLDER_JOB, schedule_id=SCHEDULE
    ),
    "job.cancel_requested": JobCancelRequested(job_id=JOB, at=AT),
    "job.stop_requested": JobStopRequested(job_id=JOB, at=AT),
    "job.stop_requested by its schedule": JobStopRequested(job_id=JOB, at=AT, reason="replaced"),
    "job.change_requested full": JobChangeRequested(
        job_id=JOB,
        at=AT,
        request_id="0123456789abcdef",
        version=3,
        fire_at=AT + 60_000,
        max_retries=5,
        retry=RetryPolicy(max_retries=5),
        success_on=("404",),
        expires_at=AT + 120_000,
        spec=PLAIN,
        new_spec_id=OLDER_JOB,
    ),
    "job.change_requested plain": JobChangeRequested(
        job_id=JOB, at=AT, request_id="0123456789abcdef", version=0, fire_at=AT
    ),
    "job.changed": JobChanged(job_id=JOB, at=AT, request_id="0123456789abcdef", fire_at=AT + 60_000),
    "job.change_refused": JobChangeRefused(job_id=JOB, at=AT, request_id="0123456789abcdef"),
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
    "attempt.due in a time zone": AttemptDue(
        job_id=JOB,
        account="acme",
        at=AT,
        attempt=1,
        execution_id=EXECUTION,
        not_before=AT,
        scheduled_at=AT,
        timeout_ms=30_000,
        spec_id=SCHEDULE,
        schedule_id=SCHEDULE,
        trigger="catchup",
        local_time="2027-01-15T09:00:00+01:00[Europe/Berlin]",
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
    "attempt.finished resent": AttemptFinished(
        job_id=JOB, at=AT, attempt=1, execution_id=EXECUTION, ok=True, started_at=AT, duration_ms=9, resent=True
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
    **SCHEDULE_EXAMPLES,
    "webhook.finished full": WebhookFinished(
        job_id=JOB, at=AT, ok=False, duration_ms=10_000, status_code=502, error="502 Bad Gateway"
    ),
    "webhook.finished plain": WebhookFinished(job_id=JOB, at=AT, ok=True, duration_ms=1),
    "history.forgotten": HistoryForgotten(
        through=7, success_before=AT - 9, failed_before=AT - 99, heartbeat_before=AT - 5, at=AT
    ),
    "history.forgotten that closes ids": HistoryForgotten(through=7, closed_before=AT - 86_400_000, at=AT),
    **CARRIED_EXAMPLES,
    **DELIVERY_EXAMPLES,
    **KEY_EXAMPLES,
    **LABEL_EXAMPLES,
    **RESPONSE_EXAMPLES,
    **RUN_EXAMPLES,
    **SEALED_EXAMPLES,
}
