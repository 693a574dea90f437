"""Webhook deliveries: a log of what endpoints and repeated webhooks were told, and telling them once more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.domain.endpoints.delivery import delivery_job
from libs.domain.endpoints.endpoint import Endpoint
from libs.domain.endpoints.fan_out import Told
from libs.domain.endpoints.webhook_event import of_end
from libs.domain.state_registry import decide
from libs.events import JobFinished, JobScheduled, WebhookAttempted, WebhookRedeliverRequested, encode, read
from libs.events.ids import delivery_id, job_of_delivery, partition_of
from libs.events.retry_policy import RetryPolicy
from services.api.handlers.webhooks import deliveries
from tests.contract.harness import Harness
from tests.contract.webhooks.test_endpoints import ALL, URL, create, refused
from tests.fakes.running.client import Client
from tests.property.calendar.made_zones import ZONES

LOG = "/v1/webhooks/deliveries"
UNKNOWN = "whd_01m8mfsb6j000hnbjj6f4rh1ft"
JOB = "job_01m8mfsb6j000hnbjj6f4rh1ft"


async def told(harness: Harness, endpoint_id: str, *, at: int = 0, job_id: str = JOB, **changed: Any) -> str:
    """Let fan-out tell an endpoint that a job failed; return the id of the delivery."""
    endpoint: Endpoint = harness.endpoints.table.by_id[endpoint_id]
    end = JobFinished(job_id=job_id, account="default", at=at or harness.clock.now(), status="failed", attempt=1)
    job = delivery_job(Told(of_end(end, schedule_id=None, host=None), endpoint, "job.failed"), 1)
    await harness.log.append(1, [encode(job)])
    await harness.caught_up()
    return delivery_id(job.job_id)


async def call(harness: Harness, any_delivery_id: str, *, ok: bool) -> None:
    """Make the first call of a delivery; it is not repeated."""
    job_id = job_of_delivery(any_delivery_id)
    await harness.fire(job_id)
    await harness.finish(job_id, ok=ok, status_code=200 if ok else 500, error=None if ok else "HTTP 500")


async def listed(api: Client, query: str = "") -> list[str]:
    """Return the ids of the deliveries in a list."""
    status, found, _ = await api.call("GET", f"{LOG}{query}")
    assert status == 200, found
    return [each["id"] for each in found["deliveries"]]


async def shown(api: Client, any_delivery_id: str) -> dict[str, Any]:
    """Return a delivery with its attempts."""
    status, found, _ = await api.call("GET", f"{LOG}/{any_delivery_id}")
    assert status == 200, found
    return dict(found)


async def redeliveries(harness: Harness) -> list[JobScheduled]:
    """Return the jobs that tell endpoints once more."""
    found = [
        read(partition, record.envelope)
        for partition in range(3)
        for record in await harness.log.read(partition, 0, max_records=1_000)
    ]
    return [each for each in found if isinstance(each, JobScheduled) and each.account.endswith(".again")]


async def test_a_delivery_and_its_redelivery(api: Client, other: Client, harness: Harness) -> None:
    """One that failed is sent once more, under its id, as its endpoint is now; if that is taken it counts as delivered."""
    endpoint = await create(api, retry={"max_retries": 0}, headers={"X-Mine": "old"})
    first = await told(harness, endpoint["id"])
    assert (await shown(api, first))["status"] == "pending"
    assert await refused(api, "POST", f"{LOG}/{first}/redeliver") == (409, "delivery_pending")
    await call(harness, first, ok=False)
    assert (await shown(api, first))["status"] == "exhausted"
    await api.call("PATCH", f"{ALL}/{endpoint['id']}", {"url": f"{URL}/new", "headers": {"X-Mine": "new"}})

    status, sent, _ = await api.call("POST", f"{LOG}/{first}/redeliver")
    assert (status, sent) == (202, {"delivery_id": first})
    await harness.caught_up()
    (again,) = await redeliveries(harness)
    assert (again.spec.url, again.max_retries, again.retry, again.replay_of) == (
        f"{URL}/new",
        0,
        None,
        job_of_delivery(first),
    )
    assert again.spec.headers == {
        "X-Mine": "new",
        "Content-Type": "application/json",
        "X-Fliq-Event": "job.failed",
        "X-Fliq-Subject": JOB,
        "X-Fliq-Delivery": first,
    }
    await call(harness, delivery_id(again.job_id), ok=True)

    found = await shown(api, first)
    assert (found["status"], found["attempt_count"], found["job_id"], found["event"]) == (
        *("delivered", 2, JOB, "job.failed"),
    )
    assert [(each["is_redelivery"], each["status"], each["status_code"]) for each in found["attempts"]] == [
        (False, "failed", 500),
        (True, "success", 200),
    ]
    assert json.loads(found["body"])["data"]["job_id"] == JOB
    assert await listed(api) == [first]
    assert await listed(api, "?status=delivered") == [first]
    assert await listed(api, "?status=exhausted") == []
    assert await listed(other) == []
    assert await refused(other, "GET", f"{LOG}/{first}") == (404, "not_found")
    assert await refused(other, "POST", f"{LOG}/{first}/redeliver") == (404, "not_found")
    assert await refused(api, "GET", f"{LOG}/{delivery_id(again.job_id)}") == (404, "not_found")


async def test_what_a_disabled_endpoint_is_not_sent_is_kept(api: Client, harness: Harness) -> None:
    """It is `dropped`, without an attempt and with the reason; it can be redelivered, and that does not enable the endpoint."""
    endpoint = await create(api, disabled=True)
    dropped = await told(harness, endpoint["id"])
    job = harness.tables.jobs[job_of_delivery(dropped)]
    await harness.decide(decide(job, harness.clock.now(), jitter=0.5, retry_base_s=30, zones=ZONES.find))

    found = await shown(api, dropped)
    assert (found["status"], found["last_error"], found["attempts"], found["attempt_count"]) == (
        *("dropped", "endpoint_disabled", [], 0),
    )
    assert await listed(api, "?status=dropped") == [dropped]
    assert await listed(api, "?status=exhausted") == []
    assert (await api.call("POST", f"{LOG}/{dropped}/redeliver"))[0] == 202
    await harness.caught_up()
    (again,) = await redeliveries(harness)
    await call(harness, delivery_id(again.job_id), ok=True)
    assert (await shown(api, dropped))["status"] == "delivered"
    assert (await api.call("GET", f"{ALL}/{endpoint['id']}"))[1]["disabled"] is True


async def test_filters(api: Client, harness: Harness) -> None:
    """A list has what all its parameters ask for, newest first, page by page."""
    one, two = [await create(api, retry={"max_retries": 0}) for _ in range(2)]
    now = harness.clock.now()
    other_job = "job_01m8mfsb6j000hnbjj6f4rh1fv"
    ids = [
        await told(harness, one["id"], at=now - 3_000),
        await told(harness, two["id"], at=now - 2_000, job_id=other_job),
        await told(harness, one["id"], at=now - 1_000, job_id=other_job),
    ]
    _, sent, _ = await api.call("POST", f"{ALL}/{one['id']}/test")
    await call(harness, ids[0], ok=False)
    await call(harness, ids[1], ok=True)
    first, second, third = ids
    newest = [sent["delivery_id"], third, second, first]

    assert await listed(api) == newest
    assert await listed(api, f"?endpoint={two['id']}") == [second]
    assert await listed(api, f"?job={other_job}") == [third, second]
    assert await listed(api, f"?job={other_job}&endpoint={one['id']}&status=pending") == [third]
    assert await listed(api, "?event=job.failed") == newest[1:]
    assert await listed(api, "?event=endpoint.test") == newest[:1]
    assert await listed(api, "?status=exhausted") == [first]
    assert await listed(api, "?status=delivered") == [second]
    assert await listed(api, "?status=pending") == newest[:2]
    since, until = [(await shown(api, each))["created_at"] for each in (second, third)]
    assert await listed(api, f"?since={since}&until={until}") == [second]
    for query in ("", "&event=job.failed"):
        pages, cursor = [], ""
        for _ in range(10):
            _, page, _ = await api.call("GET", f"{LOG}?limit=1{query}{cursor}")
            pages += [each["id"] for each in page["deliveries"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert pages == (newest if not query else newest[1:])
    assert await refused(api, "GET", f"{LOG}?limit=2{cursor}") == (400, "invalid_cursor")  # of another filter


async def test_a_page_that_ends_early_says_so(api: Client, harness: Harness) -> None:
    """A filter that the tables cannot find is looked for in a bounded number of deliveries; the cursor goes on behind them."""
    endpoint = await create(api)
    now = harness.clock.now()
    count = deliveries.LOOK_AT * deliveries.LOOKS_MAX
    ids = [await told(harness, endpoint["id"], at=now - number) for number in range(count + 2)]
    await call(harness, ids[-1], ok=False)

    _, page, _ = await api.call("GET", f"{LOG}?event=schedule.missed")
    assert (page["deliveries"], page["partial"]) == ([], True)
    _, page, _ = await api.call("GET", f"{LOG}?event=schedule.missed&cursor={page['next_cursor']}")
    assert page == {"deliveries": [], "next_cursor": None}
    _, page, _ = await api.call("GET", f"{LOG}?event=job.failed&limit=2")
    assert ([each["id"] for each in page["deliveries"]], page.get("partial")) == (ids[:2], None)


async def test_webhooks_that_are_repeated(api: Client, harness: Harness) -> None:
    """A job's own webhook with `webhook_retry` stands in the log, too; a redelivery is asked for, and made by the service."""
    _, job, _ = await api.call(
        "POST", "/v1/jobs", {"url": URL, "delay_seconds": 1, "webhook_url": f"{URL}/hook", "webhook_retry": {}}
    )
    assert "id" in job, job
    await harness.fire(job["id"])
    await harness.finish(job["id"], ok=True)
    state = harness.tables.jobs[job["id"]]
    made = delivery_id(job["id"])
    failed = WebhookAttempted(
        delivery_id=made,
        job_id=job["id"],
        account="default",
        at=harness.clock.now(),
        attempt=1,
        outcome="failure",
        duration_ms=7,
        status_code=500,
        error="HTTP 500",
        event="job.completed",
        retry=RetryPolicy(),
        spec_id=state.spec_id,
    )
    partition = partition_of(made)
    await harness.log.append(partition, [encode(failed)])
    found = await shown(api, made)
    assert (found["status"], found["endpoint_id"], found["url"], found["attempt_count"]) == (
        *("exhausted", None, f"{URL}/hook", 1),
    )
    assert json.loads(found["body"])["job_id"] == job["id"]
    assert await listed(api, f"?job={job['id']}") == [made]
    assert await listed(api, "?status=dropped") == await listed(api, "?status=delivered") == []

    assert (await api.call("POST", f"{LOG}/{made}/redeliver"))[0] == 202
    await harness.caught_up()
    asked = read(partition, (await harness.log.read(partition, 0, max_records=99))[-1].envelope)
    assert isinstance(asked, WebhookRedeliverRequested)
    assert await refused(api, "POST", f"{LOG}/{made}/redeliver") == (409, "delivery_pending")
    taken = WebhookAttempted(
        delivery_id=made,
        job_id=job["id"],
        account="default",
        at=harness.clock.now(),
        attempt=2,
        outcome="success",
        duration_ms=7,
        status_code=200,
    )
    await harness.log.append(partition, [encode(taken)])
    found = await shown(api, made)
    assert (found["status"], [each["is_redelivery"] for each in found["attempts"]]) == ("delivered", [False, True])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?status=failed", "invalid_status"),
        ("?event=job.made", "invalid_parameter"),
        ("?endpoint=x", "invalid_parameter"),
        ("?job=whe_01m8mfsb6j000hnbjj6f4rh1ft", "invalid_parameter"),
        ("?since=yesterday", "invalid_parameter"),
        ("?until=2026-02-30T00:00:00Z", "invalid_parameter"),
        ("?schedule=x", "invalid_parameter"),
        ("?limit=0", "invalid_limit"),
        ("?cursor=x", "invalid_cursor"),
    ],
)
async def test_refused(api: Client, query: str, code: str) -> None:
    """A parameter that is wrong has its code."""
    assert await refused(api, "GET", f"{LOG}{query}") == (400, code)


async def test_unknown(api: Client) -> None:
    """What is no delivery of the account is 404; a list of an endpoint that is not there is empty."""
    for gone in (UNKNOWN, "x", JOB):
        assert await refused(api, "GET", f"{LOG}/{gone}") == (404, "not_found")
        assert await refused(api, "POST", f"{LOG}/{gone}/redeliver") == (404, "not_found")
    assert await refused(api, "POST", f"{LOG}/{UNKNOWN}/redeliver", {"a": 1}) == (400, "unknown_field")
    assert await listed(api, f"?endpoint={UNKNOWN.replace('whd', 'whe')}") == []


async def test_scopes(api: Client, harness: Harness) -> None:
    """`read:webhooks` shows deliveries, `read:payloads` what was sent; `write:webhooks` redelivers."""
    endpoint = await create(api, retry={"max_retries": 0})
    first = await told(harness, endpoint["id"])
    await call(harness, first, ok=False)
    for scopes, is_shown, has_body, may_redeliver in (
        (["read:webhooks"], True, False, False),
        (["read:webhooks", "read:payloads"], True, True, False),
        (["write:webhooks"], False, False, True),
        (["read:jobs", "write:jobs"], False, False, False),
    ):
        _, token, _ = await api.call("POST", "/v1/tokens", {"scopes": scopes})
        async with Client(api.url, token["token"]) as client:
            status, found, _ = await client.call("GET", f"{LOG}/{first}")
            assert ((status == 200), "body" in found) == (is_shown, has_body)
            assert ((await client.call("GET", LOG))[0] == 200) == is_shown
            assert ((await client.call("POST", f"{LOG}/{first}/redeliver"))[0] == 202) == may_redeliver


async def test_recovery(api: Client, other: Client) -> None:
    """It is begun for an endpoint that is enabled and has none running, and shown; what it sends is the service's business."""
    path = f"{ALL}/{(await create(api))['id']}/recover"
    assert await refused(api, "GET", path) == (404, "not_found")
    status, begun, _ = await api.call("POST", path, {"since": "2026-04-01T00:00:00Z", "until": "2026-04-02T00:00:00Z"})
    assert (status, begun["status"], begun["recovered_count"], begun["since"], begun["until"], begun["ended_at"]) == (
        *(202, "running", 0, "2026-04-01T00:00:00Z", "2026-04-02T00:00:00Z", None),
    )
    status, shown_again, _ = await api.call("GET", path)
    assert (status, shown_again["created_at"], shown_again["since"]) == (200, begun["created_at"], begun["since"])
    for wrong, code in (
        ({}, "invalid_since"),
        ({"since": "yesterday"}, "invalid_since"),
        ({"since": 1}, "invalid_since"),
        ({"since": "2026-04-01T00:00:00Z", "until": "soon"}, "invalid_until"),
        ({"since": "2026-04-01T00:00:00Z", "only": "failed"}, "unknown_field"),
    ):
        assert await refused(api, "POST", path, wrong) == (400, code)
    whole = {"since": "2026-04-01T00:00:00Z"}
    assert await refused(other, "POST", path, whole) == (404, "not_found")
    assert await refused(other, "GET", path) == (404, "not_found")
    disabled = await create(api, disabled=True)
    assert await refused(api, "POST", f"{ALL}/{disabled['id']}/recover", whole) == (409, "endpoint_disabled")


async def test_one_recovery_at_a_time(api: Client, harness: Harness) -> None:
    """A second one is refused while the first is running."""
    path = f"{ALL}/{(await create(api))['id']}/recover"
    assert (await api.call("POST", path, {"since": "2026-04-01T00:00:00Z"}))[0] == 202
    assert await refused(api, "POST", path, {"since": "2026-04-01T00:00:00Z"}) == (409, "recovery_running")
