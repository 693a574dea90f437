"""Job rows: how a job stands in the table `jobs`."""

from typing import Final

from libs.domain import job
from libs.domain.job import UNDER_WAY, WAITING, JobState, JobStatus
from libs.events.ids import from_int
from libs.store.projection.rows import Row, job_id_of, schedule_id_of, unpack_offsets
from libs.store.projection.state_table import StateTable, one_of

_STATUS: Final = tuple(JobStatus)  # by number: they count from 0
_COLUMNS: Final = JobState.__struct_fields__


def job_of(row: Row) -> JobState:
    """Return the state in a row whose first columns are the struct's fields, in their order."""
    fields = dict(zip(_COLUMNS, row, strict=False))  # a spec may follow
    fields["job_id"] = from_int("job", fields["job_id"].int)
    fields["status"] = _STATUS[fields["status"]]
    fields["offsets"] = unpack_offsets(fields["offsets"])
    if fields["schedule_id"] is not None:
        fields["schedule_id"] = schedule_id_of(fields["schedule_id"])
    if fields["replay_of"] is not None:
        fields["replay_of"] = job_id_of(fields["replay_of"])
    return JobState(**fields)


JOBS: Final = StateTable(
    kind=job.KIND,
    name="jobs",
    types={
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
        "webhook_at": "int8",
        "offsets": "bytea",
    },
    fixed=frozenset(
        {
            "job_id",
            "account",
            "schedule_id",
            "max_retries",
            "timeout_ms",
            "has_webhook",
            "scheduled_at",
            "created_at",
            "idempotency_key",
            "replay_of",
        }
    ),
    newborn={
        "status": JobStatus.SCHEDULED,
        "attempt": 0,
        "cancel_requested": False,
        "held": False,
        "started_at": None,
        "completed_at": None,
        "last_ok": None,
        "last_status_code": None,
        "last_error": None,
        "retry_after_ms": None,
        "webhook_at": None,
    },
    state_of=job_of,
    waits=f"{one_of('status', WAITING)} AND NOT held",
    is_open=f"({one_of('status', UNDER_WAY)} OR cancel_requested)",
)
