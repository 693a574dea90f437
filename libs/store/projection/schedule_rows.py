"""Schedule rows: how a schedule stands in the table `schedules`."""

from typing import Final

from libs.domain import schedule
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.store.projection.rows import Row, schedule_id_of
from libs.store.projection.state_table import StateTable, one_of

_COLUMNS: Final = ScheduleState.__struct_fields__


def schedule_of(row: Row) -> ScheduleState:
    """Return the state in a row whose first columns are the struct's fields, in their order."""
    fields = dict(zip(_COLUMNS, row, strict=False))  # a spec may follow
    fields["schedule_id"] = schedule_id_of(fields["schedule_id"])
    fields["status"] = ScheduleStatus(fields["status"])
    return ScheduleState(**fields)


SCHEDULES: Final = StateTable(
    kind=schedule.KIND,
    name="schedules",
    types={
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
    },
    fixed=frozenset({"schedule_id", "account", "cron", "max_retries", "timeout_ms", "has_webhook", "created_at"}),
    state_of=schedule_of,
    waits=f"{one_of('status', {ScheduleStatus.ACTIVE})} AND NOT held AND next_run_at IS NOT NULL",
)
