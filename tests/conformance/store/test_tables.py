"""What owners, dispatchers and the webhooks service read back."""

from typing import Any

import pytest

from libs.domain import job
from libs.domain import schedule as schedules
from libs.domain.job import JobState, JobStatus
from libs.domain.schedule import ScheduleStatus
from libs.domain.schedules.optional_state import ScheduleMore
from libs.events import JobCancelled, JobFinished, ScheduleRule, WebhookFinished
from libs.events.ids import new_job_id, new_schedule_id
from libs.store.projection.job_rows import PENDING_WEBHOOK
from libs.store.reads.partition_tables import CHUNK, decode_spec
from libs.store.reads.pending_webhooks import PendingWebhooks
from tests.conformance.store.conftest import CLAIM, NOW, Harness, schedule, state
from tests.fakes import events


async def test_due_jobs_come_in_the_order_of_their_instants_up_to_the_limit(harness: Harness) -> None:
    """Only waiting jobs that are not held, only before the bound, earliest first."""
    await harness.put(
        *[state(n, fire_at=NOW + (n * 37) % 100) for n in range(50)],
        state(60, JobStatus.RETRYING, fire_at=NOW - 1),
        state(61, held=True, fire_at=NOW - 2),
        state(62, JobStatus.RUNNING, fire_at=NOW - 3),
        state(63, JobStatus.CANCELLED, fire_at=NOW - 4),
    )
    due = await harness.tables.load_due(job.KIND, 0, NOW + 50, 10)
    assert [job.fire_at for job in due] == sorted([NOW - 1, *(NOW + (n * 37) % 100 for n in range(50))])[:10]
    assert due[0].status is JobStatus.RETRYING
    everything = await harness.tables.load_due(job.KIND, 0, NOW + 50, 1000)
    assert {job.fire_at < NOW + 50 for job in everything} == {True}
    assert await harness.tables.load_due(job.KIND, 1, NOW + 50, 10) == []
    later = await harness.tables.load_due(job.KIND, 0, NOW + 50, 1000, since=NOW + 20)
    assert later == [job for job in everything if job.fire_at >= NOW + 20]


async def test_one_accounts_jobs_can_be_left_out_or_taken_alone(harness: Harness) -> None:
    """What is loaded without an account and what is loaded of it make up the whole; the bounds are the same."""
    await harness.put(*[state(n, fire_at=NOW + n, account="hog" if n % 3 else "other") for n in range(30)])
    everything = await harness.tables.load_due(job.KIND, 0, NOW + 20, 1000)
    others = await harness.tables.load_due(job.KIND, 0, NOW + 20, 1000, avoid=["hog", "nobody"])
    hogs = await harness.tables.load_backlog(0, "hog", NOW + 20, 1000)
    assert others == [job for job in everything if job.account == "other"]
    assert hogs == [job for job in everything if job.account == "hog"]
    assert await harness.tables.load_backlog(0, "hog", NOW + 20, 3) == hogs[:3]
    assert await harness.tables.load_backlog(1, "hog", NOW + 20, 3) == []


async def test_schedules_with_a_zone_are_found_by_the_zone_data_of_their_next_run(harness: Harness) -> None:
    """Active ones with another stamp, by id, page by page; not those of UTC, without a next run, held or paused."""
    berlin = ScheduleRule(cron="0 9 * * *", zone="Europe/Berlin")
    old = ScheduleMore(rule=berlin, zone_data="2026e", note='"zone_data":"2026f"')
    found = [schedule(n, cron="", more=old, next_run_at=NOW) for n in range(5)]
    others = [
        schedule(10, cron="", more=ScheduleMore(rule=berlin, zone_data="2026f"), next_run_at=NOW),
        schedule(11, cron="", more=ScheduleMore(rule=ScheduleRule(cron="0 9 * * *"), note='"zone":'), next_run_at=NOW),
        schedule(12, cron="", more=old, next_run_at=NOW, held=True),
        schedule(13, cron="", more=old, next_run_at=None),
        schedule(14, status=ScheduleStatus.PAUSED, cron="", more=old, next_run_at=None),
        schedule(15, next_run_at=NOW),
    ]
    await harness.put(*others, *found)

    first = await harness.tables.load_zoned(0, "2026f", "", 3)
    assert [*first, *await harness.tables.load_zoned(0, "2026f", first[-1].schedule_id, 3)] == found
    assert await harness.tables.load_zoned(1, "2026f", "", 3) == []


async def test_a_large_load_lets_others_run_in_between(harness: Harness) -> None:
    """States are made in chunks; all of them come, in order."""
    await harness.put(*[state(n, fire_at=NOW + n) for n in range(2 * CHUNK + 1)])
    due = await harness.tables.load_due(job.KIND, 0, NOW * 2, 10_000)
    assert [job.fire_at - NOW for job in due] == list(range(2 * CHUNK + 1))


async def test_open_jobs_are_what_a_new_owner_must_know(harness: Harness) -> None:
    """Running, finishing, and those whose cancel waits for an answer; held ones too."""
    jobs = [
        state(1, JobStatus.RUNNING),
        state(2, JobStatus.FINISHING, held=True),
        state(3, cancel_requested=True),
    ]
    await harness.put(*jobs, state(4), state(5, JobStatus.RETRYING), state(6, JobStatus.FAILED))
    assert {job.job_id: job for job in await harness.tables.load_open(0)} == {job.job_id: job for job in jobs}


async def test_the_newest_job_is_the_highest_of_all_ids(harness: Harness) -> None:
    """An owner takes what is above it for new; what tables without jobs say is below every id."""
    assert await harness.tables.newest_job(0) < state(1).job_id
    await harness.put(state(2), state(9), state(5, JobStatus.FAILED))
    assert await harness.tables.newest_job(0) == state(9).job_id


async def test_running_attempts_come_with_position_and_claim(harness: Harness) -> None:
    """The snapshot holds the due events of the running jobs, and what position that is the truth of."""
    schedule_id = new_schedule_id(NOW, 0, bytes(8))
    running = state(1, JobStatus.RUNNING, attempt=3, fire_at=NOW + 5, schedule_id=schedule_id, timeout_ms=77)
    await harness.put(running, state(2, JobStatus.FINISHING), state(3, JobStatus.RUNNING, held=True), state(4))
    assert await harness.tables.running(0) == (
        0,
        CLAIM,
        [
            events.due(
                running.job_id,
                NOW + 5,
                3,
                scheduled_at=NOW,
                timeout_ms=77,
                spec_id=schedule_id,
                schedule_id=schedule_id,
            )
        ],
    )


async def test_schedules_that_tick_before_an_instant(harness: Harness) -> None:
    """Only active ones that are not held and run again, earliest first."""
    wanted = [schedule(n) for n in (3, 4, 5)]
    await harness.put(
        *reversed(wanted),
        schedule(1, status=ScheduleStatus.PAUSED),
        schedule(2, held=True),
        schedule(6, next_run_at=None),
        schedule(90),
    )
    assert await harness.tables.load_due(schedules.KIND, 0, NOW + 90, 10) == wanted
    assert await harness.tables.load_due(schedules.KIND, 0, NOW + 90, 2) == wanted[:2]
    assert await harness.tables.load_due(schedules.KIND, 0, NOW + 90, 10, since=NOW + 4) == wanted[1:]


async def test_what_does_not_exist_is_left_out(harness: Harness) -> None:
    """Loading unknown ids gives nothing, and so do ids of another partition."""
    job = state(1)
    await harness.put(job)
    assert await harness.tables.load(0, [job.job_id, new_schedule_id(NOW, 0, bytes(8))]) == [job]
    assert await harness.tables.load(1, [job.job_id]) == []
    assert await harness.tables.load(0, []) == []
    assert await harness.tables.stored_specs([job.job_id], size_max=None) == {}
    assert await harness.tables.progress(77) == (-1, None)


def ended(number: int, status: JobStatus = JobStatus.COMPLETED, **fields: Any) -> JobState:
    """Return a job of partition 0 that ended at `NOW + number` and whose webhook is pending."""
    fields = {"job_id": new_job_id(NOW, 0, number.to_bytes(8, "big")), "completed_at": NOW + number} | fields
    return state(4 * number, status, has_webhook=True, **fields)


@pytest.fixture
def pending(harness: Harness) -> PendingWebhooks:
    return PendingWebhooks(harness.pool)


async def test_only_jobs_at_their_end_with_a_webhook_that_has_no_outcome_are_pending(
    harness: Harness, pending: PendingWebhooks
) -> None:
    """By account the oldest of them, with the position and the claim at which that holds; nothing of another partition."""
    await harness.put(
        ended(9),
        ended(3, JobStatus.FAILED),
        ended(5, JobStatus.CANCELLED, account="other"),
        ended(1, webhook_at=NOW),
        ended(2, JobStatus.RUNNING, completed_at=None),
        state(8, JobStatus.COMPLETED, completed_at=NOW),
    )
    snapshot = await pending.pending(0)

    assert (snapshot.position, snapshot.claim, snapshot.pending_count) == (0, CLAIM, 3)
    assert snapshot.oldest == {"acme": (NOW + 3, ended(3).job_id), "other": (NOW + 5, ended(5).job_id)}
    assert (await pending.pending(1)).oldest == {}


async def test_pages_go_on_where_the_one_before_ended(harness: Harness, pending: PendingWebhooks) -> None:
    """By account, then by end and id; a page may reach into the next account, and begin anywhere in one."""
    jobs = [ended(n + 10 * (account == "other"), account=account) for account in ("acme", "other") for n in (7, 3, 5)]
    await harness.put(*jobs)
    found, account, place = [], "", (0, "")
    while page := await pending.pending_page(0, account, place, 3):
        found += page[:2]
        if len(page) < 3:
            found += page[2:]
            break
        account, place = page[2].account, (page[2].at, page[2].job_id)

    assert [(event.account, event.at - NOW) for event in found] == [
        *(("acme", n) for n in (3, 5, 7)),
        *(("other", n) for n in (13, 15, 17)),
    ]


async def test_a_page_holds_the_events_that_ended_the_jobs(harness: Harness, pending: PendingWebhooks) -> None:
    """As they stand in the log, as far as a webhook says it."""
    failed = ended(1, JobStatus.FAILED, attempt=3, last_status_code=503, last_error="HTTP 503")
    cancelled = ended(2, JobStatus.CANCELLED)
    await harness.put(failed, cancelled)

    assert await pending.pending_page(0, "acme", (0, ""), 9) == [
        JobFinished(
            job_id=failed.job_id,
            account="acme",
            at=NOW + 1,
            status="failed",
            attempt=3,
            status_code=503,
            last_error="HTTP 503",
            has_webhook=True,
            spec_id=failed.job_id,
        ),
        JobCancelled(job_id=cancelled.job_id, account="acme", at=NOW + 2, has_webhook=True, spec_id=cancelled.job_id),
    ]


async def test_the_outcome_of_a_webhook_ends_its_waiting(harness: Harness, pending: PendingWebhooks) -> None:
    """Also if it failed: the first contract's webhook has one try."""
    job = ended(1)
    await harness.put(job)
    harness.ledgers[0].states[job.job_id] = job
    harness.ledgers[0].position = 0
    await harness.write(0, WebhookFinished(job_id=job.job_id, at=NOW + 9, ok=False, duration_ms=3, error="timeout"))

    assert (await pending.pending(0)).pending_count == 0


async def test_specs_come_without_bodies(harness: Harness, pending: PendingWebhooks) -> None:
    """However large the body, the URL of the webhook and its headers are read, and little else."""
    spec = events.asked(new_job_id(NOW, 0, bytes(8)), NOW).spec
    asked = events.asked(
        new_job_id(NOW, 0, bytes(8)),
        NOW,
        spec=type(spec)(
            url=spec.url, body='"' * 200_000, webhook_url="http://hooks.example/x", webhook_headers={"a": "b"}
        ),
    )
    await harness.write(0, asked)
    (found,) = (await pending.webhook_specs([asked.job_id], size_max=4_096)).values()

    assert found.spec is not None
    assert found.size == len(found.spec) < 1_000
    assert decode_spec(found.spec).webhook_url == "http://hooks.example/x"
    assert decode_spec(found.spec).webhook_headers == {"a": "b"}


async def test_pending_webhooks_are_found_by_their_own_index(harness: Harness) -> None:
    """Among many jobs that ended: one probe for an account, one range for a page; plain jobs are not in the index."""
    await harness.put(*[state(n, JobStatus.COMPLETED, completed_at=NOW) for n in range(2_000)], ended(1), ended(2))
    await harness.pool.execute("ANALYZE jobs")
    for query in (
        f"SELECT job_id FROM jobs WHERE part = 0 AND {PENDING_WEBHOOK} AND (account, completed_at, job_id)"
        f" >= ('a', 1, '{'0' * 32}') ORDER BY account, completed_at, job_id LIMIT 500",
        f"SELECT count(*) FROM (SELECT FROM jobs WHERE part = 0 AND {PENDING_WEBHOOK} LIMIT 100) AS pending",
    ):
        plan = "\n".join(row[0] for row in await harness.pool.fetch(f"EXPLAIN {query}"))
        assert "jobs_webhook" in plan, plan
        assert "Sort" not in plan, plan
    tuples = "SELECT reltuples::int FROM pg_class WHERE oid = 'fliq.jobs_webhook'::regclass"
    assert await harness.pool.fetchval(tuples) == 2


async def test_schedules_that_are_owed_something_at_once_are_open(harness: Harness) -> None:
    """A new owner finds them whatever their next run is; a note that says the same does not count."""
    rule = ScheduleRule(cron="0 9 * * *")
    owing = schedule(1, cron="", more=ScheduleMore(rule=rule, buffered=(NOW,), owes_now=True), next_run_at=None)
    others = [
        schedule(2, cron="", more=ScheduleMore(rule=rule, buffered=(NOW,)), next_run_at=NOW),
        schedule(3, cron="", more=ScheduleMore(rule=rule, note='"owes_now":true'), next_run_at=NOW),
        schedule(4, next_run_at=NOW),
    ]
    await harness.put(owing, *others)

    assert await harness.tables.load_open(0) == [owing]
