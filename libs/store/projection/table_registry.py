"""State tables: the tables of all kinds of state, and all tables that the fold writes. A new kind has its line here."""

from collections.abc import Mapping
from typing import Any, Final

from libs.domain.job import JobState
from libs.domain.state_registry import State
from libs.store.projection.delivery_rows import DELIVERIES
from libs.store.projection.job_rows import JOBS
from libs.store.projection.schedule_rows import SCHEDULES
from libs.store.projection.state_table import StateTable

STATE_TABLES: Final[tuple[StateTable[Any], ...]] = (JOBS, SCHEDULES, DELIVERIES)

TABLE_OF_STATE: Final[Mapping[type, StateTable[Any]]] = {table.kind.state: table for table in STATE_TABLES}
TABLE_OF_ID: Final[Mapping[str, StateTable[Any]]] = {table.kind.id_kind: table for table in STATE_TABLES}


def is_rewritten(state: State) -> bool:
    """Whether columns of the row have changed that never change otherwise: a caller changed the job while it waited."""
    return isinstance(state, JobState) and state.more is not None and state.more.version > 0


# Every table that is made again from the log -> its key, without the partition.
FOLD_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    **{table.name: (table.key,) for table in STATE_TABLES},
    "specs": ("spec_id",),
    "executions": ("job_id", "attempt"),
    "labels": ("account", "key", "value", "job_id"),
    "responses": ("job_id", "attempt"),
    "usage_daily": ("account", "day"),
    "history": ("part",),
}
