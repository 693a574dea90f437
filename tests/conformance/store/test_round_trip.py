"""Whatever the fold holds, the tables give back."""

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.domain.job import JobState
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.schedule import ScheduleState
from libs.domain.state_registry import id_of
from libs.store.projection.changes import ExecutionRow, Flush, PartitionChanges
from tests.conformance.store.conftest import NONCE, Harness
from tests.fakes.running.all_rows import all_rows
from tests.fakes.store_states import accounts, delivery_states, execution_rows, job_states, schedule_states

_property = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _by_id(rows: list[Any], name: str) -> dict[str, Any]:
    return {getattr(row, name): row for row in rows}


@given(
    jobs=st.lists(job_states(0), max_size=6, unique_by=lambda job: job.job_id),
    schedules=st.lists(schedule_states(0), max_size=4, unique_by=lambda schedule: schedule.schedule_id),
    deliveries=st.lists(delivery_states(0), max_size=4, unique_by=lambda delivery: delivery.delivery_id),
    executions=st.lists(execution_rows(0), max_size=4, unique_by=lambda row: (row.job_id, row.attempt)),
    usage=st.dictionaries(st.tuples(accounts, st.integers(0, 40_000)), st.integers(1, 2**40), max_size=3),
)
@_property
async def test_every_field_of_every_row_comes_back(
    harness: Harness,
    jobs: list[JobState],
    schedules: list[ScheduleState],
    deliveries: list[DeliveryState],
    executions: list[ExecutionRow],
    usage: dict[tuple[str, int], int],
) -> None:
    """Any state, drawn freely, is read back equal: inserted whole, and again after an update of what can change."""
    changes = PartitionChanges(0)
    changes.states.update((id_of(each), each) for each in [*jobs, *schedules, *deliveries])
    changes.new = set(changes.states)
    changes.executions = {(row.job_id, row.attempt): row for row in executions}
    changes.new_executions = set(changes.executions)
    changes.usage = usage
    await harness.pool.execute("TRUNCATE jobs, schedules, deliveries, executions, specs, usage_daily")
    await harness.pool.execute("UPDATE progress SET position = -1 WHERE part = 0")
    assert await harness.projector.flush([Flush(0, NONCE, -1, 0, None, changes)]) == set()
    rows = await all_rows(harness.pool, 0)
    assert rows.states == changes.states
    assert rows.executions == changes.executions
    assert rows.usage == usage


@given(
    before=st.lists(job_states(0), min_size=3, max_size=3, unique_by=lambda job: job.job_id),
    after=st.lists(job_states(0), min_size=3, max_size=3),
    execution=execution_rows(0),
    outcome=execution_rows(0),
)
@_property
async def test_what_changes_is_updated(
    harness: Harness, before: list[JobState], after: list[JobState], execution: ExecutionRow, outcome: ExecutionRow
) -> None:
    """A job that was there takes every changed field, and keeps what never changes."""
    fixed = (
        "job_id",
        "account",
        "schedule_id",
        "max_retries",
        "timeout_ms",
        "has_webhook",
        "scheduled_at",
        "created_at",
    )
    fixed += ("idempotency_key", "replay_of", "shared_spec_id")
    moved = [
        msgspec.structs.replace(new, **{name: getattr(old, name) for name in fixed})
        for old, new in zip(before, after, strict=True)
    ]
    ended = outcome._replace(job_id=execution.job_id, attempt=execution.attempt)
    first, second = PartitionChanges(0), PartitionChanges(0)
    first.states.update((each.job_id, each) for each in before)
    second.states.update((each.job_id, each) for each in moved)
    first.new = set(first.states)
    first.executions = {(execution.job_id, execution.attempt): execution}
    first.new_executions = set(first.executions)
    second.executions = {(execution.job_id, execution.attempt): ended}
    await harness.pool.execute("TRUNCATE jobs, executions")
    await harness.pool.execute("UPDATE progress SET position = -1 WHERE part = 0")
    assert await harness.projector.flush([Flush(0, NONCE, -1, 0, None, first)]) == set()
    assert await harness.projector.flush([Flush(0, NONCE, 0, 1, None, second)]) == set()
    rows = await all_rows(harness.pool, 0)
    assert rows.states == second.states
    assert rows.executions == second.executions
