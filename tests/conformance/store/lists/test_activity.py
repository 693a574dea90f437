"""What the API counts, and what the stream asks, in the real tables."""

from __future__ import annotations

import pytest

from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.optional_state import JobMore
from libs.store.projection.changes import ExecutionRow
from libs.store.reads import activity
from libs.store.reads.activity import HOUR_MS, Activity, ActivityReader
from libs.store.reads.stream_tables import StreamFacts, StreamTables
from tests.conformance.store.conftest import NOW, PARTITIONS, Harness, schedule, state
from tests.conformance.store.lists.test_queries import fill

NONE = dict.fromkeys(JobStatus, 0)


def ended(number: int, status: JobStatus, at: int, **fields: object) -> JobState:
    return state(number, status, completed_at=at, started_at=NOW, **fields)


async def read(harness: Harness, account: str = "acme") -> Activity:
    return await ActivityReader(harness.pool).activity(
        account, range(PARTITIONS), since=NOW - HOUR_MS, calls_since=NOW - HOUR_MS, now=NOW
    )


async def test_ends_calls_and_overdue_jobs(harness: Harness) -> None:
    """Ends by hour and outcome; lateness of first calls; jobs whose instant has come; all of the account alone."""
    calls = [ended(number, JobStatus.COMPLETED, NOW + 1, attempt=1) for number in range(4)]
    await fill(
        harness,
        *calls,
        ended(10, JobStatus.FAILED, NOW - 1, attempt=3),
        ended(11, JobStatus.CANCELLED, NOW - 2 * HOUR_MS),
        state(12, fire_at=NOW - 5),
        state(13, JobStatus.RETRYING, fire_at=NOW),
        state(14, fire_at=NOW + 1),
        state(15, fire_at=NOW - 5, held=True),
        state(16, fire_at=NOW - 9, account="other"),
        ended(17, JobStatus.COMPLETED, NOW, account="other"),
        executions=tuple(
            ExecutionRow(job.job_id, 1, NOW + late, ok=True) for job, late in zip(calls, (1, 2, 3, 90), strict=True)
        ),
    )
    assert await read(harness) == Activity(
        ended=[(0, JobStatus.FAILED, 1), (1, JobStatus.COMPLETED, 4)],
        due=2,
        oldest_due_at=NOW - 5,
        calls=4,
        lateness_ms=(2, 90, 90),
        is_partial=False,
        counts={**NONE, JobStatus.SCHEDULED: 3, JobStatus.RETRYING: 1, JobStatus.COMPLETED: 4}
        | dict.fromkeys((JobStatus.FAILED, JobStatus.CANCELLED), 1),
    )
    assert await read(harness, "nobody") == Activity([], 0, None, 0, None, is_partial=False, counts=NONE)


async def test_what_is_not_counted_is_told(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more ends than are looked at, the answer is partial."""
    monkeypatch.setattr(activity, "_QUERY", activity._QUERY.replace(str(activity.ENDED_MAX), "3"))
    await fill(harness, *[ended(number, JobStatus.COMPLETED, NOW) for number in range(2)])
    assert not (await read(harness)).is_partial
    await fill(harness, *[ended(number, JobStatus.COMPLETED, NOW) for number in range(10, 12)])
    found = await read(harness)
    assert (found.is_partial, found.ended) == (True, [(1, JobStatus.COMPLETED, 3)])


async def test_each_status_is_counted_up_to_a_bound(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """No count costs more than that, however many jobs there are."""
    monkeypatch.setattr(activity, "_QUERY", activity._QUERY.replace(f"LIMIT {activity.STATUS_MAX})", "LIMIT 2)"))
    await fill(harness, *[state(number) for number in range(3)], state(3, JobStatus.FAILED))
    assert (await read(harness)).counts == {**NONE, JobStatus.SCHEDULED: 2, JobStatus.FAILED: 1}


async def test_whose_a_job_or_schedule_is(harness: Harness) -> None:
    """With its labels and its schedule; what another partition has, or nobody, is left out."""
    rule = schedule(1)
    mine = state(0, more=JobMore(labels={"tenant": "acme"}))
    run = state(4, schedule_id=rule.schedule_id)
    await fill(harness, mine, rule)
    await fill(harness, run)
    tables = StreamTables(harness.pool)
    ids = [mine.job_id, run.job_id, rule.schedule_id, state(8).job_id]
    position, found = await tables.facts_of(0, ids)
    assert found == {
        mine.job_id: StreamFacts("acme", None, {"tenant": "acme"}, 0),
        run.job_id: StreamFacts("acme", rule.schedule_id, {}, 0),
        rule.schedule_id: StreamFacts("acme", rule.schedule_id, {}, 1),
    }
    assert (await tables.facts_of(1, ids))[1] == {}
    assert (await tables.positions())[0][0] == position
