"""Every method of the client against a running Fliq, with both clients."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fliq_client import (
    AsyncFliq,
    CreatedJob,
    Forbidden,
    IdempotencyKeyReused,
    InvalidCron,
    InvalidLimit,
    InvalidScheduledAt,
    JobAlreadyFired,
    JobNotFailed,
    KeyTaken,
    NotFound,
    Unauthorized,
    VersionConflict,
    job_request,
)
from tests.fakes.running.topologies import OTHER_TOKEN, TOKEN, RunningFliq, make_token
from tests.fakes.until import until_blocking

TARGET = "http://127.0.0.1:9"  # nobody listens there: a call fails at once


@pytest.fixture
def client_of(fliq: RunningFliq, connect: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a client of the running Fliq."""
    return lambda token=TOKEN: connect(fliq.url, token)


def ahead(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**(delta or {"days": 1}))


def failed_job(fliq: Any) -> Any:
    """Return a job whose only call has failed."""
    job = fliq.jobs.create(f"{TARGET}/fails", at=ahead(seconds=1))
    return wait_for(fliq, job.id, "failed")


def wait_for(fliq: Any, job_id: str, status: str) -> Any:
    """Return the job when it has *status*."""

    def ended() -> Any:
        job = fliq.jobs.get(job_id)
        return job if job.status == status else None

    return until_blocking(ended, within_s=30, every_s=0.05, saying=lambda: fliq.jobs.get(job_id))


def test_a_job_is_created_read_and_cancelled(client_of: Callable[..., Any]) -> None:
    """What `get` shows is what was asked for; cancelling twice is cancelling."""
    fliq, at = client_of(), ahead()
    made = fliq.jobs.create(
        f"{TARGET}/charge",
        at=at,
        json={"amount": 100},
        http_method="PUT",
        headers={"X-Tenant": "acme"},
        max_retries=3,
        timeout_seconds=7,
        webhook_url=f"{TARGET}/done",
        webhook_headers={"X-Key": "k"},
    )
    job = fliq.jobs.get(made.id)
    assert (made.status, made.is_replayed) == ("scheduled", False)
    assert timedelta(0) <= job.scheduled_at - at < timedelta(milliseconds=1)
    assert (job.http_method, job.max_retries, job.body) == ("PUT", 3, '{"amount":100}')
    assert job.headers == {"X-Tenant": "acme", "Content-Type": "application/json"}
    assert (job.webhook_url, job.webhook_headers) == (f"{TARGET}/done", {"X-Key": "k"})
    assert (job.execution_count, job.started_at, job.next_attempt_at) == (0, None, job.scheduled_at)
    assert (job.idempotency_key or "").startswith("client-")
    assert fliq.jobs.cancel(made.id) is None
    assert fliq.jobs.cancel(made.id) is None
    assert fliq.jobs.get(made.id).status == "cancelled"
    assert fliq.jobs.events(made.id)[0].type == "job.scheduled"
    assert fliq.jobs.executions(made.id) == []


def test_a_key_of_the_caller_makes_one_job(client_of: Callable[..., Any]) -> None:
    """The same request gives the same job and says so; another request is refused."""
    fliq, at, key = client_of(), ahead(), f"Auftrag ü {ahead().timestamp()}"
    one, two = (fliq.jobs.create(f"{TARGET}/keyed", at=at, key=key) for _ in range(2))
    assert (one.id, one.is_replayed, two.is_replayed) == (two.id, False, True)
    with pytest.raises(IdempotencyKeyReused):
        fliq.jobs.create(f"{TARGET}/other", at=at, key=key)


def test_a_batch_is_answered_in_order(client_of: Callable[..., Any]) -> None:
    """Each request has its job or its error."""
    asked = [job_request(f"{TARGET}/batch", at=ahead(days=days), json=days) for days in (1, -1, 2)]
    results = client_of().jobs.create_many(asked)
    assert [type(each) for each in results] == [CreatedJob, InvalidScheduledAt, CreatedJob]


def test_lists_are_walked_to_their_end(client_of: Callable[..., Any]) -> None:
    """The iterator goes over page borders: it gives what the pages give, newest first, each job once."""
    fliq = client_of(OTHER_TOKEN)
    results = fliq.jobs.create_many([job_request(f"{TARGET}/{number}", at=ahead()) for number in range(230)])
    walked = [job.id for job in fliq.jobs.list(status="scheduled")]
    assert {each.id for each in results} <= set(walked)
    assert walked == sorted(set(walked), reverse=True)
    pages, cursor = [], None
    for _ in range(20):
        page = fliq.jobs.page(status="scheduled", limit=100, cursor=cursor)
        pages += [job.id for job in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pages == walked
    with pytest.raises(InvalidLimit):
        fliq.jobs.page(limit=101)


def test_a_failed_job_is_explained_and_replayed(client_of: Callable[..., Any]) -> None:
    """Executions and timeline say what went wrong; the copy names the original, and a key makes one copy."""
    fliq = client_of()
    job = failed_job(fliq)
    (execution,) = fliq.jobs.executions(job.id)
    assert (execution.attempt_num, execution.status, execution.error) == (1, "failed", "connection_refused")
    assert execution.executed_at >= job.scheduled_at
    assert fliq.jobs.events(job.id)[-1].fields["status"] == "failed"
    one, two = (fliq.jobs.replay(job.id, key=f"again {job.id}") for _ in range(2))
    assert (one.replay_of, one.id, two.is_replayed) == (job.id, two.id, True)
    with pytest.raises(JobAlreadyFired):
        fliq.jobs.cancel(job.id)
    waiting = fliq.jobs.create(TARGET, at=ahead())
    with pytest.raises(JobNotFailed):
        fliq.jobs.replay(waiting.id)


def test_a_schedule_lives_and_ends(client_of: Callable[..., Any]) -> None:
    """Created, read, listed, paused, resumed, deleted."""
    fliq = client_of()
    made = fliq.schedules.create(f"{TARGET}/digest", cron="0 8 * * 1-5", json=[1], max_retries=2)
    again = fliq.schedules.create(f"{TARGET}/digest", cron="0 8 * * 1-5", key=f"é {made.id}")
    assert fliq.schedules.create(f"{TARGET}/digest", cron="0 8 * * 1-5", key=f"é {made.id}").id == again.id
    with pytest.raises(KeyTaken):
        [fliq.schedules.create(f"{TARGET}/digest", cron="0 8 * * 1-5", schedule_key=f"k{made.id}") for _ in range(2)]
    (keyed,) = fliq.schedules.list(status="active", key=f"k{made.id}")
    with pytest.raises(VersionConflict):
        fliq.schedules.put(f"k{made.id}", f"{TARGET}/digest", cron="0 8 * * 1-5", if_none_match="*")
    fliq.schedules.delete(keyed.id)
    schedule = fliq.schedules.get(made.id)
    assert (schedule.body, schedule.max_retries, schedule.next_run_at) == ("[1]", 2, made.next_run_at)
    assert {made.id, again.id} <= {each.id for each in fliq.schedules.list()}
    assert fliq.schedules.page(limit=1).items[0].id == again.id
    assert (fliq.schedules.pause(made.id).next_run_at, fliq.schedules.pause(made.id).status) == (None, "paused")
    assert fliq.schedules.resume(made.id).status == "active"
    assert list(fliq.schedules.jobs(made.id)) == fliq.schedules.jobs_page(made.id).items == []
    for each in (made, again):
        assert fliq.schedules.delete(each.id) is None
        with pytest.raises(NotFound):
            fliq.schedules.get(each.id)
    with pytest.raises(NotFound):
        fliq.schedules.delete(made.id)
    with pytest.raises(InvalidCron):
        fliq.schedules.create(TARGET, cron="often")


def test_a_token_lives_and_ends(client_of: Callable[..., Any]) -> None:
    """A token with the scope `read` reads; a revoked one does nothing."""
    fliq = client_of()
    made = fliq.tokens.create(name="dashboard", scopes=["read"], expires_at=ahead(days=30))
    assert made.id in {token.id for token in fliq.tokens.list()}
    reader = client_of(made.token)
    assert len(reader.jobs.page(limit=1).items) <= 1
    with pytest.raises(Forbidden):
        reader.jobs.create(TARGET, at=ahead())
    assert fliq.tokens.revoke(made.id) is None
    with pytest.raises(NotFound):
        fliq.tokens.revoke(made.id)
    with pytest.raises(Unauthorized):
        client_of(make_token("nobodyhasthistoken000000000000")).jobs.page()


def test_the_account_shows_its_limits(client_of: Callable[..., Any]) -> None:
    """None where there is none."""
    account = client_of().account.get()
    assert (account.account, account.limits.waiting_jobs, account.use.waiting_jobs) == ("default", None, None)
    assert account.use.executions_today >= 0


def test_the_signing_secret_is_replaced(client_of: Callable[..., Any]) -> None:
    """The one before it still signs."""
    fliq = client_of()
    before = fliq.signing_secret.get()
    after = fliq.signing_secret.rotate()
    assert before.secret in after.previous_secrets
    assert fliq.signing_secret.get() == after


def test_another_accounts_job_is_not_found(client_of: Callable[..., Any]) -> None:
    """It answers like one that does not exist."""
    job = client_of().jobs.create(TARGET, at=ahead())
    with pytest.raises(NotFound):
        client_of(OTHER_TOKEN).jobs.get(job.id)


async def test_lists_stop_when_the_reader_stops(fliq: RunningFliq) -> None:
    """An async list may be left in the middle."""
    async with AsyncFliq(fliq.url, TOKEN) as client:
        for _ in range(3):
            await client.jobs.create(TARGET, at=ahead())
        seen = []
        async for job in client.jobs.list():
            seen.append(job)
            if len(seen) == 2:
                break
    assert len(seen) == 2
