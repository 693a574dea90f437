"""What the webhooks service reads: pending webhooks, in pages, and specs without bodies."""

from typing import Any

import pytest

from libs.domain.job import JobState, JobStatus
from libs.events import JobCancelled, JobFinished, WebhookFinished
from libs.events.ids import new_job_id
from libs.store.projection.job_rows import PENDING_WEBHOOK
from libs.store.reads.partition_tables import decode_spec
from libs.store.reads.pending_webhooks import PendingWebhooks
from tests.conformance.store.conftest import CLAIM, NOW, Harness, state
from tests.fakes import events


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
