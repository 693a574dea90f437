"""What the API and the recovery of endpoints read of webhook deliveries."""

from __future__ import annotations

import msgspec

from libs.domain.endpoints.delivery import delivery_job, redelivery_job
from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig
from libs.domain.endpoints.fan_out import Told
from libs.domain.endpoints.order import Pending
from libs.domain.endpoints.webhook_event import of_end
from libs.domain.job import JobState, JobStatus, create
from libs.domain.jobs.delivery import DeliveryState, DeliveryStatus
from libs.domain.state_registry import id_of
from libs.events import JobFinished, JobScheduled, Spec
from libs.events.ids import delivery_id, from_int, new_endpoint_id
from libs.store.control.accounts import Accounts
from libs.store.control.endpoints import Endpoints
from libs.store.projection.changes import ExecutionRow
from libs.store.reads.delivery_queries import DeliveryQueries
from tests.conformance.store.conftest import NOW, Harness, state

ALL = tuple(JobStatus)


def endpoint(number: int, account: str = "acme") -> Endpoint:
    """Return an endpoint."""
    return Endpoint(
        endpoint_id=new_endpoint_id(NOW, 0, account, bytes([0, 0, 0, number])),
        account=account,
        config=EndpointConfig(url="https://example.com/hook", events=("*",)),
        version=1,
        created_at=NOW,
        changed_at=NOW,
    )


def told(one: Endpoint, number: int, at: int = NOW) -> JobScheduled:
    """Return the job that tells *one* that the job of this number failed."""
    end = JobFinished(job_id=state(number).job_id, account="acme", at=at, status="failed", attempt=1)
    return delivery_job(Told(of_end(end, schedule_id=None, host=None), one, "job.failed"), 1)


async def add(harness: Harness, *endpoints: Endpoint) -> None:
    """Write endpoints and their accounts."""
    for each in endpoints:
        await Accounts(harness.pool).ensure_account(each.account, "whsec_")
        assert await Endpoints(harness.pool).add(each, f"s{each.endpoint_id}")


async def put(harness: Harness, scheduled: JobScheduled, status: JobStatus, **changed: object) -> JobState:
    """Write the row of a job in *status*, and its spec."""
    job = msgspec.structs.replace(create(scheduled, 0), status=status, **changed)
    await harness.put(job, specs={id_of(job): msgspec.json.encode(scheduled.spec)})
    return job


async def test_what_endpoints_are_told(harness: Harness) -> None:
    """Of all endpoints of the account, newest first; by endpoint, job, statuses and ids; with what redeliveries brought."""
    one, two, other = endpoint(1), endpoint(2), endpoint(1, "other")
    await add(harness, one, two, other)
    failed = await put(harness, told(one, 1, NOW + 1), JobStatus.FAILED, attempt=2)
    waits = await put(harness, told(two, 1, NOW + 2), JobStatus.RETRYING, attempt=1)
    taken = await put(harness, told(one, 2, NOW + 3), JobStatus.COMPLETED, attempt=1)
    alien = await put(harness, told(other, 3, NOW + 4), JobStatus.COMPLETED)
    spec = told(one, 1, NOW + 1).spec
    for number, status in ((1, JobStatus.FAILED), (2, JobStatus.COMPLETED)):
        again = redelivery_job(failed, spec, one, at=NOW + 10 + number, request_id=f"r{number}")
        await put(harness, again, status, attempt=1)
        row = ExecutionRow(again.job_id, 1, NOW + 10 + number, number == 2, 200, None, 5, None)
        await harness.put(executions={(again.job_id, 1): row}, new_executions={(again.job_id, 1)})
    queries = DeliveryQueries(harness.pool)

    async def found(account: str = "acme", **asked: object) -> list[JobState]:
        wanted = {"statuses": ALL, "below": None, "since": None, "limit": 9} | asked
        return [each.first for each in await queries.to_endpoints(account, **wanted)]  # type: ignore[arg-type]

    assert await found() == [taken, waits, failed]
    assert await found(limit=2) == [taken, waits]
    assert await found(endpoint_id=one.endpoint_id) == [taken, failed]
    assert await found(endpoint_id=other.endpoint_id) == []
    assert await found("other") == [alien]
    assert await found(statuses=(JobStatus.RETRYING, JobStatus.COMPLETED)) == [taken, waits]
    about = state(1).job_id
    assert await found(job_id=about) == [waits, failed]
    assert await found(job_id=about, endpoint_id=two.endpoint_id, limit=1) == [waits]
    assert await found(job_id=about, statuses=(JobStatus.FAILED,)) == [failed]
    assert await found(below=taken.job_id, since=waits.job_id) == [waits]
    assert await found(since=from_int("whd", (NOW + 3) << 80)) == [taken]

    row = await queries.to_endpoint("acme", delivery_id(failed.job_id))
    assert row is not None
    assert (row.first, row.spec, row.again_count, row.is_delivered_again) == (failed, spec, 2, True)
    assert await queries.to_endpoint("other", delivery_id(failed.job_id)) is None
    tries = await queries.tries(delivery_id(failed.job_id))
    assert [(each.execution.ok, each.is_again) for each in tries] == [(False, True), (True, True)]


async def test_what_is_to_be_recovered(harness: Harness) -> None:
    """Of one endpoint, what failed and was not taken by a redelivery since, oldest first; and how much is under way."""
    one = endpoint(1)
    await add(harness, one)
    jobs = [await put(harness, told(one, n, NOW + n), JobStatus.FAILED, attempt=1) for n in range(1, 5)]
    await put(harness, told(one, 9, NOW), JobStatus.COMPLETED)
    for number, status in ((0, JobStatus.COMPLETED), (1, JobStatus.FAILED), (2, JobStatus.RUNNING)):
        spec = told(one, number + 1, NOW + number + 1).spec
        await put(harness, redelivery_job(jobs[number], spec, one, at=NOW + 50, request_id="r"), status)
    queries, end = DeliveryQueries(harness.pool), from_int("whd", (NOW + 4) << 80)

    found = await queries.failed(one.endpoint_id, after=from_int("whd", NOW << 80), below=end, limit=9)
    assert [job for job, _ in found] == jobs[1:3]
    assert found[0][1] == told(one, 2, NOW + 2).spec
    rest = await queries.failed(one.endpoint_id, after=jobs[1].job_id, below=end, limit=1)
    assert [job for job, _ in rest] == jobs[2:3]
    assert await queries.open_count(f"{one.endpoint_id}.again", 9) == 1


async def test_what_is_pending_about_a_job(harness: Harness) -> None:
    """To one endpoint: with the instant of the event, and that of the try; not what has ended, is held, or is a redelivery."""
    one, two = endpoint(1), endpoint(2)
    await add(harness, one, two)
    retrying = await put(harness, told(one, 1, NOW + 1), JobStatus.RETRYING, attempt=1, fire_at=NOW + 60_000)
    under_way = await put(harness, told(one, 1, NOW + 2), JobStatus.RUNNING, attempt=1)
    ended = await put(harness, told(one, 1, NOW + 3), JobStatus.FAILED, attempt=1)
    await put(harness, told(one, 1, NOW + 4), JobStatus.RUNNING, attempt=1, held=True)
    await put(harness, told(one, 2, NOW + 1), JobStatus.RUNNING, attempt=1)
    await put(harness, told(two, 1, NOW + 1), JobStatus.RUNNING, attempt=1)
    again = redelivery_job(ended, told(one, 1, NOW + 3).spec, one, at=NOW + 50, request_id="r")
    await put(harness, again, JobStatus.RUNNING)

    found = await harness.tables.pending_about(one.endpoint_id, state(1).job_id)

    assert sorted(found) == sorted(
        [Pending(retrying.job_id, NOW + 1, NOW + 60_000), Pending(under_way.job_id, NOW + 2, NOW + 2)]
    )


async def test_webhooks_that_are_repeated(harness: Harness) -> None:
    """Those of the account's jobs, newest first, with the URL that they go to."""
    spec = Spec(url="https://example.com/", body="x" * 5_000, webhook_url="https://example.com/hook")

    def delivery(number: int, status: DeliveryStatus, account: str = "acme") -> DeliveryState:
        job = state(number)
        return DeliveryState(
            delivery_id=delivery_id(job.job_id),
            account=account,
            job_id=job.job_id,
            event="job.failed",
            status=status,
            created_at=NOW,
            last_at=NOW,
            spec_id=job.job_id,
        )

    first, second = delivery(1, DeliveryStatus.EXHAUSTED), delivery(2, DeliveryStatus.PENDING)
    alien = delivery(3, DeliveryStatus.PENDING, "other")
    await harness.put(first, second, alien, specs={first.job_id: msgspec.json.encode(spec)})  # type: ignore[arg-type]
    queries = DeliveryQueries(harness.pool)

    async def found(**asked: object) -> list[DeliveryState]:
        wanted = {"statuses": tuple(DeliveryStatus), "below": None, "since": None, "limit": 9} | asked
        return [each.delivery for each in await queries.webhooks("acme", **wanted)]  # type: ignore[arg-type]

    assert await found() == [second, first]
    assert await found(limit=1) == [second]
    assert await found(statuses=(DeliveryStatus.EXHAUSTED,)) == [first]
    assert await found(job_id=second.job_id) == [second]
    assert await found(below=second.delivery_id) == [first]
    assert await found(since=second.delivery_id) == [second]
    assert await queries.webhook("acme", first.delivery_id) == (first, "https://example.com/hook")
    assert await queries.webhook("acme", second.delivery_id) == (second, None)
    assert await queries.webhook("other", first.delivery_id) is None
