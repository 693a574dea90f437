"""Webhook endpoints: what happens to jobs reaches them, signed with their own secret, again until it is taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.fakes.running.sink import Arrival, Sink
from tests.fakes.running.topologies import Client
from tests.fakes.until import until

ENDPOINTS = "/v1/webhooks/endpoints"
SOON = {"max_retries": 3, "backoff": "fixed", "delay_seconds": 0.1}


OWN: dict[str, Any] = {
    "labels": {"test": "own"}
}  # a job of the test that runs; tests before it may leave jobs that fail meanwhile
OF_OWN = {"labels": ["test:own"]}


async def endpoint(client: Client, url: str, **fields: Any) -> dict[str, Any]:
    """Make an endpoint."""
    status, made, _ = await client.call("POST", ENDPOINTS, {"url": url, **fields})
    assert status == 201, made
    return dict(made)


def flat_of(sink: Sink, job_id: str) -> list[Arrival]:
    """Return what came to `/flat` about a job; other tests may leave jobs that fail meanwhile."""
    return [each for each in sink.at("/flat") if json.loads(each.body)["job_id"] == job_id]


async def _listed(client: Client, endpoint_id: str, status: str) -> bool:
    found = (await client.call("GET", f"{ENDPOINTS}/{endpoint_id}/deliveries"))[1]["deliveries"]
    return [each["status"] for each in found] == [status]


@pytest.mark.everywhere
async def test_a_failed_job_reaches_the_endpoints_that_ask(client: Client, sink: Sink) -> None:
    """Each in its format; what is not taken is sent again with the same id, signed with the endpoint's own secret."""
    standard = await endpoint(
        client, f"{sink.url}/flaky/1/standard", filter=OF_OWN, headers={"X-Mine": "yes"}, retry=SOON
    )
    await endpoint(client, f"{sink.url}/flat", events=["attempt.failed", "job.completed"], format="flat")
    await endpoint(client, f"{sink.url}/other", events=["job.failed"], filter={"hosts": ["elsewhere.example"]})

    job = await client.create(f"{sink.url}/status/500", 0.2, **OWN)
    await sink.wait_for(lambda: len(sink.at("/flaky/1/standard")) == 2 and flat_of(sink, job["id"]))

    first, second = sink.at("/flaky/1/standard")
    ended = await client.wait_status(job["id"])
    assert first.body == second.body
    assert json.loads(first.body) == {
        "type": "job.failed",
        "timestamp": ended["completed_at"],
        "data": {
            "job_id": job["id"],
            "status": "failed",
            "status_code": 500,
            "last_error": "HTTP 500",
            "completed_at": ended["completed_at"],
            "attempt_num": 1,
        },
    }
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-id"].startswith("whd_")
    assert [each.headers["X-Fliq-Attempt"] for each in (first, second)] == ["1", "2"]
    assert (first.headers["X-Fliq-Event"], first.headers["X-Mine"]) == ("job.failed", "yes")
    assert "X-Fliq-Job-Id" not in first.headers
    _, secret, _ = await client.call("GET", f"{ENDPOINTS}/{standard['id']}/secret")
    Webhook(secret["secret"]).verify(second.body, second.headers)
    [flat] = flat_of(sink, job["id"])
    assert json.loads(flat.body)["attempt_num"] == 1
    assert flat.headers["X-Fliq-Event"] == "attempt.failed"
    assert sink.at("/other") == []

    async def delivered() -> list[dict[str, Any]]:
        found = (await client.call("GET", f"{ENDPOINTS}/{standard['id']}/deliveries"))[1]["deliveries"]
        return [each for each in found if each["job_id"] == job["id"] and each["status"] == "delivered"]

    [listed] = await until(delivered)
    assert (listed["id"], listed["job_id"], listed["event"]) == (
        first.headers["webhook-id"],
        job["id"],
        "job.failed",
    )
    assert (listed["attempt_count"], listed["last_status_code"], listed["next_attempt_at"]) == (2, 200, None)
    jobs = (await client.call("GET", "/v1/jobs"))[1]["jobs"]
    assert job["id"] in [each["id"] for each in jobs]
    assert not [
        each for each in jobs if each["url"].endswith(("/standard", "/flat", "/other"))
    ]  # deliveries are not listed


@pytest.mark.everywhere
async def test_the_events_of_a_job_arrive_in_their_order(client: Client, sink: Sink) -> None:
    """If the endpoint asks for it: the end of a job is not sent before its attempt was taken, at the third try."""
    path = "/hook-flaky/2/in-order"
    events = ["attempt.failed", "job.failed"]
    made = await endpoint(client, f"{sink.url}{path}", events=events, filter=OF_OWN, ordering="job", retry=SOON)

    job = await client.create(f"{sink.url}/status/500", 0.2, **OWN)
    await sink.wait_for(lambda: len(sink.at(path)) == 4)

    arrived = [(each.headers["X-Fliq-Event"], json.loads(each.body)["data"]["job_id"]) for each in sink.at(path)]
    assert arrived == [(name, job["id"]) for name in ["attempt.failed"] * 3 + ["job.failed"]]
    assert not any("X-Fliq-Order" in each.headers for each in sink.at(path))
    assert (await client.call("DELETE", f"{ENDPOINTS}/{made['id']}"))[0] == 204


async def test_while_a_secret_is_replaced_both_verify(client: Client, sink: Sink) -> None:
    """The library of the scheme takes a delivery with the endpoint's old secret and with its new one."""
    made = await endpoint(client, f"{sink.url}/replaced", events=["endpoint.disabled"])
    path = f"{ENDPOINTS}/{made['id']}"
    _, old, _ = await client.call("GET", f"{path}/secret")
    _, new, _ = await client.call("POST", f"{path}/secret/rotate")

    assert (await client.call("POST", f"{path}/test"))[0] == 202
    await sink.wait_for(lambda: sink.at("/replaced"))

    [sent] = sink.at("/replaced")
    assert old["secret"] != new["secret"]
    for secret in (old["secret"], new["secret"]):
        Webhook(secret).verify(sent.body, sent.headers)


async def test_an_endpoint_that_is_gone_is_disabled_and_others_are_told(client: Client, sink: Sink) -> None:
    """An answer of 410 disables an endpoint; a test is sent at once, and to a disabled endpoint it is refused."""
    gone = await endpoint(client, f"{sink.url}/status/410", filter=OF_OWN)
    await endpoint(client, f"{sink.url}/watch", events=["endpoint.disabled"], format="cloudevents")

    status, sent, _ = await client.call("POST", f"{ENDPOINTS}/{gone['id']}/test")
    assert status == 202
    await sink.wait_for(lambda: sink.at("/watch"))

    assert sink.at("/status/410")[0].headers["webhook-id"] == sent["delivery_id"]
    told = json.loads(sink.at("/watch")[0].body)
    assert (told["type"], told["data"]["endpoint_id"], told["data"]["reason"]) == (
        "endpoint.disabled",
        gone["id"],
        "gone",
    )
    shown = (await client.call("GET", f"{ENDPOINTS}/{gone['id']}"))[1]
    assert (shown["disabled"], shown["disabled_reason"], shown["version"]) == (True, "gone", 2)
    assert (await client.call("POST", f"{ENDPOINTS}/{gone['id']}/test"))[0] == 409


@pytest.mark.everywhere
async def test_what_was_told_in_vain_is_sent_again(client: Client, sink: Sink) -> None:
    """By a redelivery to a disabled endpoint, then by a recovery of all: under the same ids, and each is `delivered` then."""
    made = await endpoint(client, f"{sink.url}/status/500", filter=OF_OWN, retry={"max_retries": 0})
    path = f"{ENDPOINTS}/{made['id']}"
    log = "/v1/webhooks/deliveries"

    async def failed(status: str, count: int) -> list[dict[str, Any]]:
        endpoint_id = path.rpartition("/")[2]
        found = (await client.call("GET", f"{log}?endpoint={endpoint_id}&status={status}"))[1]["deliveries"]
        return list(found) if len(found) == count else []

    sent = [(await client.call("POST", f"{path}/test"))[1]["delivery_id"]]
    await until(lambda: failed("exhausted", 1))
    await client.call("PATCH", path, {"disabled": True, "url": f"{sink.url}/again"})
    job = await client.create(f"{sink.url}/status/500", 0.2, **OWN)
    (dropped,) = await until(lambda: failed("dropped", 1))
    await client.call("PATCH", path, {"events": ["endpoint.disabled"]})

    assert (await client.call("POST", f"{log}/{sent[0]}/redeliver"))[0] == 202
    await sink.wait_for(lambda: sink.at("/again"))
    assert sink.at("/again")[0].headers["webhook-id"] == sent[0]
    await until(lambda: failed("delivered", 1))
    assert (await client.call("GET", path))[1]["disabled"] is True

    await client.call("PATCH", path, {"disabled": False})
    assert (await client.call("POST", f"{path}/recover", {"since": job["created_at"]}))[0] == 202
    await sink.wait_for(lambda: len(sink.at("/again")) == 2)
    assert sink.at("/again")[1].headers["webhook-id"] == dropped["id"]
    assert json.loads(sink.at("/again")[1].body)["data"]["job_id"] == job["id"]
    await until(lambda: failed("delivered", 2))

    async def completed() -> bool:
        return bool((await client.call("GET", f"{path}/recover"))[1]["status"] == "completed")

    await until(completed)
    assert (await client.call("GET", f"{path}/recover"))[1]["recovered_count"] == 1
