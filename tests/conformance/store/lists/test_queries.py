"""What callers see: their own rows only, newest first, page by page without gaps or repeats."""

from datetime import UTC, datetime

import msgspec
import pytest

from libs.domain.job import JobState, JobStatus
from libs.domain.schedule import ScheduleMore, ScheduleState, ScheduleStatus
from libs.domain.state_registry import id_of
from libs.events import ScheduleRule, Spec
from libs.events.ids import from_int, new_schedule_id, to_int
from libs.store.projection import rows
from libs.store.projection.changes import ExecutionRow
from libs.store.reads.account_queries import AccountQueries, JobRow, ScheduleRow, _list_of
from libs.store.reads.bodiless_spec import LARGE_SPEC
from libs.store.reads.partition_tables import decode_spec
from tests.conformance.store.conftest import NOW, Harness, schedule, state

SPEC = Spec(url="https://example.com/", headers={"a": "b"}, body="x")


async def fill(
    harness: Harness, *states: JobState | ScheduleState, executions: tuple[ExecutionRow, ...] = (), spec: Spec = SPEC
) -> AccountQueries:
    """Write rows of any partition under the fence of partition 0."""
    spawned = [each for each in states if isinstance(each, JobState) and each.schedule_id is not None]
    rows_by_key = {(row.job_id, row.attempt): row for row in executions}
    await harness.put(
        *states,
        specs={id_of(each): msgspec.json.encode(spec) for each in states if each not in spawned},
        executions=rows_by_key,
        new_executions=set(rows_by_key),
    )
    return AccountQueries(harness.pool)


async def test_a_job_is_its_accounts_only(harness: Harness) -> None:
    """The owner reads state and spec; for another account the id does not exist."""
    job = state(1)
    queries = await fill(harness, job)
    assert await queries.get_job("acme", job.job_id) == JobRow(job, SPEC)
    assert await queries.get_job("other", job.job_id) is None
    assert await queries.get_job("acme", state(2).job_id) is None
    assert await queries.job_status(job.job_id) is JobStatus.SCHEDULED
    assert await queries.job_status(state(2).job_id) is None


@pytest.mark.parametrize(
    "statuses",
    [
        None,
        (JobStatus.SCHEDULED,),
        (JobStatus.RUNNING, JobStatus.FINISHING, JobStatus.RETRYING),
        (JobStatus.COMPLETED, JobStatus.CANCELLED),
    ],
)
async def test_the_filter_takes_any_set_of_statuses(harness: Harness, statuses: tuple[JobStatus, ...] | None) -> None:
    """Each set finds exactly its jobs, newest first, of this account only."""
    jobs = [state(number, list(JobStatus)[number % 7]) for number in range(21)]
    queries = await fill(harness, *jobs, state(90, account="other"))
    expected = [job for job in reversed(jobs) if job.status in (statuses or JobStatus)]
    found = await queries.list_jobs("acme", statuses=statuses, limit=100)
    assert [row.job for row in found] == expected
    assert all(row.spec == SPEC for row in found)
    assert [row.job for row in await queries.list_jobs("acme", statuses=statuses, limit=2)] == expected[:2]


@pytest.mark.parametrize("webhook_url", [None, "https://example.com/done"])
@pytest.mark.parametrize("headers", [None, {"A": ',"body":"', "B": ',"webhook_url":"'}])
@pytest.mark.parametrize("body", [None, "short", '\0",é"body":"\\","webhook_url":"no"}' * 9_000])
async def test_lists_leave_large_bodies_in_the_database(
    harness: Harness, body: str | None, headers: dict[str, str] | None, webhook_url: str | None
) -> None:
    """What a list shows is there, whatever body and headers hold; of a large spec neither body nor secrets come."""
    spec = Spec(
        url="https://example.com/",
        method="PUT",
        headers=headers,
        body=body,
        timeout_ms=1_000,
        webhook_url=webhook_url,
        traceparent="t",
    )
    queries = await fill(harness, state(1), schedule(2), spec=spec)
    (job,), (listed,) = await queries.list_jobs("acme", limit=9), await queries.list_schedules("acme", limit=9)

    is_large = body is not None and len(body) > LARGE_SPEC
    for shown in (job.spec, listed.spec):
        assert (shown.url, shown.method, shown.webhook_url) == ("https://example.com/", "PUT", webhook_url)
        assert shown.body == (None if is_large else body)
    assert (await queries.get_job("acme", job.job.job_id) or job).spec == spec


async def test_pages_over_inserts_and_changes_have_no_gaps_and_no_repeats(harness: Harness) -> None:
    """While rows arrive and statuses change, every job that was there is seen exactly once."""
    jobs = [state(number) for number in range(40)]
    queries = await fill(harness, *jobs)
    seen: list[str] = []
    before = None
    for round_number in range(100):
        page = await queries.list_jobs("acme", limit=7, before=before)
        if not page:
            break
        seen += [row.job.job_id for row in page]
        before = seen[-1]
        moved = [msgspec.structs.replace(job, status=JobStatus(round_number % 7)) for job in jobs[::3]]
        await fill(harness, state(1000 + round_number), *moved)
    assert seen == [job.job_id for job in reversed(jobs)]


async def test_the_jobs_of_a_schedule(harness: Harness) -> None:
    """They are listed under their schedule, with its spec, and with the status filter if there is one."""
    owner = schedule(1)
    jobs = [state(n, list(JobStatus)[n % 2], schedule_id=owner.schedule_id) for n in range(6)]
    queries = await fill(harness, owner, *jobs, state(50))
    found = await queries.list_jobs("acme", schedule_id=owner.schedule_id, limit=100)
    assert found == [JobRow(job, SPEC) for job in reversed(jobs)]
    running = await queries.list_jobs("acme", schedule_id=owner.schedule_id, statuses=[JobStatus.RUNNING], limit=2)
    assert [row.job for row in running] == [jobs[5], jobs[3]]
    older = await queries.list_jobs("acme", schedule_id=owner.schedule_id, limit=100, before=jobs[2].job_id)
    assert [row.job for row in older] == [jobs[1], jobs[0]]
    assert await queries.list_jobs("other", schedule_id=owner.schedule_id, limit=100) == []


async def test_a_copy_has_the_spec_of_the_first_job_or_of_the_schedule(harness: Harness) -> None:
    """It has none of its own, and is read and listed with the one that it names."""
    owner, first = schedule(1), state(2)
    of_schedule = state(3, shared_spec_id=from_int("job", to_int(owner.schedule_id)))
    copies = [state(4, shared_spec_id=first.job_id), of_schedule]
    queries = await fill(harness, owner, first, *copies)
    await harness.pool.execute(
        "DELETE FROM specs WHERE spec_id = ANY ($1)", rows.uuids_of(job.job_id for job in copies)
    )
    for job in copies:
        assert await queries.get_job("acme", job.job_id) == JobRow(job, SPEC)
        stored = await harness.tables.stored_specs([job.spec_id], size_max=None)
        spec = stored[job.spec_id].spec
        assert spec is not None
        assert decode_spec(spec) == SPEC
    assert [row.spec for row in await queries.list_jobs("acme", limit=9)] == [SPEC] * 3


async def test_schedules_are_listed_until_they_are_deleted(harness: Harness) -> None:
    """Active and paused ones, newest first; a deleted one is found by its id only."""
    kept = [schedule(1), schedule(2, status=ScheduleStatus.PAUSED), schedule(4)]
    deleted = schedule(3, status=ScheduleStatus.DELETED)
    queries = await fill(harness, *kept, deleted, schedule(9, account="other"))
    assert await queries.list_schedules("acme", limit=10) == [ScheduleRow(each, SPEC) for each in reversed(kept)]
    assert [row.schedule for row in await queries.list_schedules("acme", limit=1)] == [kept[2]]
    page = await queries.list_schedules("acme", limit=10, before=kept[1].schedule_id)
    assert [row.schedule for row in page] == [kept[0]]
    assert await queries.get_schedule("acme", deleted.schedule_id) == ScheduleRow(deleted, SPEC)
    paused = await queries.list_schedules("acme", status="paused", limit=10)
    assert [row.schedule for row in paused] == [kept[1]]
    assert await queries.get_schedule("other", deleted.schedule_id) is None


async def test_schedules_are_listed_by_what_their_callers_see(harness: Harness) -> None:
    """A pause until an instant is one until then; without a next run a schedule that is not paused is finished."""
    away = schedule(1, cron="", more=ScheduleMore(rule=ScheduleRule(cron="@daily"), paused_until=NOW + 1))
    plain, done = schedule(2), schedule(3, next_run_at=None)
    stopped = schedule(4, status=ScheduleStatus.PAUSED, next_run_at=None)
    queries = await fill(harness, away, plain, done, stopped)

    found = {
        (status, now): [row.schedule for row in await queries.list_schedules("acme", status=status, now=now, limit=9)]
        for status in ("active", "paused", "finished")
        for now in (NOW, NOW + 1)
    }

    assert found["active", NOW] == [plain]
    assert found["active", NOW + 1] == [plain, away]
    assert found["paused", NOW] == [stopped, away]
    assert found["paused", NOW + 1] == [stopped]
    assert found["finished", NOW] == found["finished", NOW + 1] == [done]


async def test_executions_come_oldest_first_and_to_their_account_only(harness: Harness) -> None:
    """One row per attempt, also while its outcome is unknown."""
    job = state(1, JobStatus.RUNNING)
    attempts = tuple(
        ExecutionRow(job.job_id, n, NOW + n, None if n == 11 else False, 500, "x", 7) for n in range(1, 12)
    )
    queries = await fill(harness, job, executions=attempts[::-1])
    assert await queries.executions("acme", job.job_id) == list(attempts)
    assert await queries.executions("other", job.job_id) == []


async def test_usage_is_the_sum_over_partitions(harness: Harness) -> None:
    """What the owners counted apart is one number per account and UTC day."""
    day = datetime(2026, 9, 1, tzinfo=UTC).date()
    await harness.pool.executemany(
        "INSERT INTO usage_daily (account, day, part, executions) VALUES ('acme', $1, $2, $3)",
        [(day, 0, 5), (day, 1, 7), (datetime(2026, 9, 2, tzinfo=UTC).date(), 0, 100)],
    )
    queries = AccountQueries(harness.pool)
    assert await queries.usage("acme", day) == 12
    assert await queries.usage("other", day) == 0
    await harness.pool.executemany(
        "INSERT INTO daily_grants (account, day, part, epoch, granted) VALUES ('acme', $1, $2, 1, $3)",
        [(day, 1, 9), (day, 2, 4)],
    )
    assert await queries.charged("acme", day) == 5 + 9 + 4
    assert await queries.charged("other", day) == 0


async def test_what_waits_is_counted_with_its_bytes(harness: Harness) -> None:
    """Scheduled and retrying jobs of the account; a spec that several share counts once; no further than asked for."""
    owner = new_schedule_id(1, 0, bytes(8))
    queries = await fill(
        harness,
        *[state(n) for n in range(3)],
        state(3, JobStatus.RETRYING),
        *[state(n, JobStatus.COMPLETED) for n in (4, 5)],
        *[state(n, schedule_id=owner) for n in (6, 7)],
        state(8, account="other"),
    )
    sizes = {row["spec_id"]: len(row["spec"]) for row in await harness.pool.fetch("SELECT spec_id, spec FROM specs")}
    wanted = {rows.uuid_of(state(n).job_id) for n in range(4)} | {rows.uuid_of(owner)}
    use = await queries.waiting_use("acme", jobs_max=100, with_bytes=True)
    assert use == (6, sum(size for spec_id, size in sizes.items() if spec_id in wanted))
    assert await queries.waiting_use("acme", jobs_max=4, with_bytes=False) == (4, 0)
    assert await queries.waiting_use("acme", jobs_max=None, with_bytes=False) == (0, 0)


@pytest.mark.parametrize(("index", "of_schedule"), [("jobs_list", False), ("jobs_schedule", True)])
async def test_lists_use_their_indexes(harness: Harness, index: str, of_schedule: bool) -> None:
    """A page costs one short index scan per status, whatever the table's size: no sequential scan, no sort of all."""
    owner = new_schedule_id(1, 0, bytes(8))
    await fill(harness, *[state(n, list(JobStatus)[n % 7], schedule_id=owner if n % 2 else None) for n in range(300)])
    await harness.pool.execute("ANALYZE jobs")
    last = [rows.uuid_of(owner)] if of_schedule else []
    async with harness.pool.acquire() as connection:
        await connection.execute("SET enable_seqscan = off")
        query = "EXPLAIN " + _list_of(7, of_schedule=of_schedule)
        plan = "\n".join(row[0] for row in await connection.fetch(query, "acme", rows.MAX_ID, 20, *range(7), *last))
        await connection.execute("RESET enable_seqscan")
    assert plan.count(f"Scan using {index} on jobs") == 7, plan
    assert "Merge Append" in plan, plan


async def test_which_jobs_there_are_and_what_is_forgotten(harness: Harness) -> None:
    """Of the ids that are asked for, those of the account's jobs; nothing is forgotten until the history says so."""
    await fill(harness, state(1), state(2, account="other"))
    queries = AccountQueries(harness.pool)
    ids = [state(n).job_id for n in (1, 2, 3)]
    assert await queries.existing_jobs("acme", ids) == {ids[0]}

    assert await queries.forgotten_before(0) == 0
    await harness.pool.execute(
        "INSERT INTO history (part, through, success_before, failed_before, heartbeat_before) VALUES (0, 1, 20, 10, 99)"
    )
    assert await queries.forgotten_before(0) == 20
