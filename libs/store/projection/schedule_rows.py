"""Schedule rows: how a schedule stands in the table `schedules`."""

from typing import Final

from libs.domain import schedule
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.store.projection.state_table import StateTable, one_of

SCHEDULES: Final[StateTable[ScheduleState]] = StateTable(
    schedule.KIND,
    "schedules",
    {
        "schedule_id": "uuid",
        "account": "text",
        "status": "int2",
        "cron": "text",
        "max_retries": "int2",
        "timeout_ms": "int8",
        "has_webhook": "bool",
        "held": "bool",
        "created_at": "int8",
        "next_run_at": "int8",
        "last_run_at": "int8",
        "changed_at": "int8",
        "more": "bytea",
        "changed_spec_id": "uuid",
    },
    changing=(
        *("status", "cron", "max_retries", "timeout_ms", "has_webhook", "held"),
        *("next_run_at", "last_run_at", "changed_at", "more", "changed_spec_id"),
    ),
    waits=f"{one_of('status', {ScheduleStatus.ACTIVE})} AND NOT held AND next_run_at IS NOT NULL",
)

# Active schedules with a time zone other than UTC: exactly the condition of the index that holds them.
HAS_ZONE: Final = f"{one_of('status', {ScheduleStatus.ACTIVE})} AND position('\"zone\":'::bytea in more) > 0"
