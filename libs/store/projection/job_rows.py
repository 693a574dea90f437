"""Job rows: how a job stands in the table `jobs`."""

from typing import Final

from libs.domain import job
from libs.domain.job import TERMINAL, UNDER_WAY, WAITING, JobState, JobStatus
from libs.store.projection.state_table import StateTable, one_of

_NULL_AT_FIRST: Final = dict.fromkeys(
    ("started_at", "completed_at", "last_ok", "last_status_code", "last_error", "retry_after_ms", "webhook_at", "more")
)

JOBS: Final[StateTable[JobState]] = StateTable(
    job.KIND,
    "jobs",
    {
        "job_id": "uuid",
        "account": "text",
        "schedule_id": "uuid",
        "status": "int2",
        "attempt": "int2",
        "max_retries": "int2",
        "timeout_ms": "int8",
        "has_webhook": "bool",
        "cancel_requested": "bool",
        "held": "bool",
        "scheduled_at": "int8",
        "fire_at": "int8",
        "created_at": "int8",
        "started_at": "int8",
        "completed_at": "int8",
        "last_ok": "bool",
        "last_status_code": "int4",
        "last_error": "text",
        "retry_after_ms": "int8",
        "idempotency_key": "text",
        "replay_of": "uuid",
        "shared_spec_id": "uuid",
        "webhook_at": "int8",
        "offsets": "bytea",
        "more": "bytea",
    },
    newborn={"status": JobStatus.SCHEDULED, "attempt": 0, "cancel_requested": False, "held": False, **_NULL_AT_FIRST},
    changing=("fire_at", "offsets"),
    waits=f"{one_of('status', WAITING)} AND NOT held",
    is_open=f"({one_of('status', UNDER_WAY)} OR cancel_requested)",
)

# The SQL condition for jobs at their end whose webhook has no outcome yet: exactly that of the partial index jobs_webhook.
PENDING_WEBHOOK: Final = f"has_webhook AND webhook_at IS NULL AND {one_of('status', TERMINAL)}"
