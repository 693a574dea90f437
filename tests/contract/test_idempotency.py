"""Idempotency and batches: one key, one job, whatever happens in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.log.memory import LOST, REPLY_LOST
from services.api.service import ApiService
from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client, in_seconds

pytestmark = pytest.mark.everywhere("kafka")

URL = "https://example.com/x"


def request(**fields: Any) -> dict[str, Any]:
    return {"url": URL, "scheduled_at": in_seconds(3600), **fields}


async def test_repeat(api: Client, harness: Harness) -> None:
    """The same key and request again: 201, the first job's body, Idempotent-Replayed, one job."""
    body = request(idempotency_key="k", max_retries=2)
    first = await api.call("POST", "/v1/jobs", body)
    again = await api.call("POST", "/v1/jobs", body)

    assert first[0] == again[0] == 201
    assert first[1] == again[1]
    assert "Idempotent-Replayed" not in first[2]
    assert again[2]["Idempotent-Replayed"] == "true"
    await harness.caught_up()
    assert len(harness.tables.jobs) == 1
    assert (await api.job(first[1]["id"]))["idempotency_key"] == "k"


async def test_repeat_after_cancel(api: Client) -> None:
    """A repeat shows the first answer's body, whatever became of the job."""
    body = request(idempotency_key="k")
    _, first, _ = await api.call("POST", "/v1/jobs", body)
    await api.call("DELETE", f"/v1/jobs/{first['id']}")

    assert (await api.call("POST", "/v1/jobs", body))[:2] == (201, first)


async def test_header(api: Client) -> None:
    """The header does as well as the field; two different keys are 400."""
    body = request()
    _, first, _ = await api.call("POST", "/v1/jobs", body, headers={"Idempotency-Key": "k"})
    _, second, _ = await api.call("POST", "/v1/jobs", body | {"idempotency_key": "k"})
    status, refused, _ = await api.call(
        "POST", "/v1/jobs", body | {"idempotency_key": "k"}, headers={"Idempotency-Key": "l"}
    )

    assert first == second
    assert (status, refused["error"]["code"]) == (400, "invalid_idempotency_key")


SCHEDULE = {"url": URL, "cron": "0 8 * * 1-5"}


async def test_case_12_one_key_is_one_schedule(api: Client, harness: Harness) -> None:
    """The same key and request again: 201, the first schedule's body, Idempotent-Replayed, one schedule."""
    key = {"Idempotency-Key": "k"}
    first = await api.call("POST", "/v1/schedules", SCHEDULE, headers=key)
    again = await api.call("POST", "/v1/schedules", SCHEDULE, headers=key)

    assert first[0] == again[0] == 201
    assert first[1] == again[1]
    assert "Idempotent-Replayed" not in first[2]
    assert again[2]["Idempotent-Replayed"] == "true"
    await harness.caught_up()
    assert len(harness.tables.schedules) == 1


async def test_case_12_a_key_of_a_schedule_stands_for_nothing_else(api: Client) -> None:
    """Another rule, or a job, with the same key is 409; a key that cannot be one is 400."""
    key = {"Idempotency-Key": "k"}
    await api.call("POST", "/v1/schedules", SCHEDULE, headers=key)
    for path, body in (("/v1/schedules", SCHEDULE | {"cron": "0 9 * * *"}), ("/v1/jobs", request())):
        status, refused, _ = await api.call("POST", path, body, headers=key)
        assert (status, refused["error"]["code"]) == (409, "idempotency_key_reused")

    status, refused, _ = await api.call("POST", "/v1/schedules", SCHEDULE, headers={"Idempotency-Key": "k" * 256})
    assert (status, refused["error"]["code"]) == (400, "invalid_idempotency_key")


@pytest.mark.parametrize("fate", [LOST, REPLY_LOST])
async def test_case_12_a_schedule_whose_append_failed(api: Client, harness: Harness, fate: Any) -> None:
    """503, and the repeat of the request makes the schedule, or finds it made: one, with the id that the key took."""
    key = {"Idempotency-Key": "k"}
    harness.faults.plan(fate)
    status, _, _ = await api.call("POST", "/v1/schedules", SCHEDULE, headers=key)
    assert status == 503

    status, body, _ = await api.call("POST", "/v1/schedules", SCHEDULE, headers=key)

    assert status == 201
    await harness.caught_up()
    assert list(harness.tables.schedules) == [body["id"]]


async def test_other_request(api: Client) -> None:
    """The same key with another request is 409 idempotency_key_reused."""
    body = request(idempotency_key="k")
    await api.call("POST", "/v1/jobs", body)
    for change in ({"url": URL + "y"}, {"scheduled_at": in_seconds(7200)}, {"body": "x"}, {"max_retries": 1}):
        status, refused, _ = await api.call("POST", "/v1/jobs", body | change)
        assert (status, refused["error"]["code"]) == (409, "idempotency_key_reused")


async def test_keys_are_an_accounts_own(api: Client, other: Client) -> None:
    """The same key in two accounts makes two jobs (T2)."""
    body = request(idempotency_key="k")

    assert (await api.call("POST", "/v1/jobs", body))[1]["id"] != (await other.call("POST", "/v1/jobs", body))[1]["id"]


async def test_repeat_after_the_instant(api: Client, harness: Harness) -> None:
    """A repeat is answered after scheduled_at has passed; a first request with a past instant is refused and takes no key."""
    body = request(idempotency_key="k")
    _, first, _ = await api.call("POST", "/v1/jobs", body)
    harness.clock.ahead_ms = 7_200_000

    assert (await api.call("POST", "/v1/jobs", body))[:2] == (201, first)
    status, refused, _ = await api.call("POST", "/v1/jobs", request(idempotency_key="new"))
    assert (status, refused["error"]["code"]) == (400, "invalid_scheduled_at")
    assert ("default", "new") not in harness.tables.keys


@pytest.mark.parametrize("fate", [LOST, REPLY_LOST])
async def test_append_failed(api: Client, harness: Harness, fate: Any) -> None:
    """After a failed append (503) the same request makes the one job, whether the first append landed or not."""
    body = request(idempotency_key="k")
    harness.faults.plan(fate)
    status, refused, headers = await api.call("POST", "/v1/jobs", body)
    assert (status, refused["error"]["code"]) == (503, "unavailable")
    assert headers["Retry-After"] == "1"

    status, job, _ = await api.call("POST", "/v1/jobs", body)
    assert status == 201
    await harness.caught_up()
    assert list(harness.tables.jobs) == [job["id"]]
    assert (await api.job(job["id"]))["created_at"] == job["created_at"]


async def test_concurrent_on_two_replicas(api: Client, harness: Harness) -> None:
    """100 posts at once over two replicas with one key: one job, one body; one that differs is 409 (C1)."""
    replica = await harness.replica()
    body = request(idempotency_key="k")
    async with Client(f"http://127.0.0.1:{replica.port}", api.token) as second:
        answers = await asyncio.gather(*[(api, second)[n % 2].call("POST", "/v1/jobs", body) for n in range(100)])
        status, _, _ = await second.call("POST", "/v1/jobs", body | {"max_retries": 9})

    assert {status for status, _, _ in answers} == {201}
    assert len({job["id"] for _, job, _ in answers}) == 1
    assert sum("Idempotent-Replayed" not in headers for _, _, headers in answers) == 1
    assert status == 409
    await harness.caught_up()
    assert len(harness.tables.jobs) == 1


async def test_batch(api: Client, harness: Harness) -> None:
    """A batch answers 200 in order; each item is accepted or refused on its own."""
    items = [
        request(),
        request(url="http://127.0.0.1/"),
        request(max_retries=3),
        7,
        request(scheduled_at=in_seconds(-5)),
    ]
    status, answer, _ = await api.call("POST", "/v1/jobs/batch", {"jobs": items})

    assert status == 200
    results = answer["results"]
    assert [list(result) for result in results] == [["job"], ["error"], ["job"], ["error"], ["error"]]
    assert [result["error"]["code"] for result in results if "error" in result] == [
        "url_not_allowed",
        "invalid_json",
        "invalid_scheduled_at",
    ]
    for index in (0, 2):
        job = await api.job(results[index]["job"]["id"])
        assert {name: job[name] for name in results[index]["job"]} == results[index]["job"]
    await harness.caught_up()
    assert len(harness.tables.jobs) == 2


async def test_batch_of_a_thousand(api: Client, harness: Harness) -> None:
    """A thousand jobs fit in one batch, each with an id of its own, listed in their order; one more does not."""
    items = [request() for _ in range(1001)]
    status, answer, _ = await api.call("POST", "/v1/jobs/batch", {"jobs": items[:1000]})
    assert status == 200
    assert len({result["job"]["id"] for result in answer["results"]}) == 1000
    await harness.caught_up()
    assert len(harness.tables.jobs) == 1000
    _, page, _ = await api.call("GET", "/v1/jobs?limit=100")
    assert [job["id"] for job in page["jobs"]] == [r["job"]["id"] for r in reversed(answer["results"])][:100]

    status, refused, _ = await api.call("POST", "/v1/jobs/batch", {"jobs": items})
    assert (status, refused["error"]["code"]) == (400, "invalid_jobs")


async def test_batch_keys(api: Client, harness: Harness) -> None:
    """Keys hold per item: repeated in the batch, from before, and for another request."""
    kept = request(idempotency_key="old")
    _, old, _ = await api.call("POST", "/v1/jobs", kept)
    new = request(idempotency_key="new")
    items = [new, new, new | {"body": "other"}, kept, kept | {"max_retries": 1}, request()]
    for _ in range(2):
        status, answer, _ = await api.call("POST", "/v1/jobs/batch", {"jobs": items})
        assert status == 200
        results = answer["results"]
        assert results[0] == results[1]
        assert results[2]["error"]["code"] == "idempotency_key_reused"
        assert results[3] == {"job": old}
        assert results[4]["error"]["code"] == "idempotency_key_reused"
    await harness.caught_up()
    assert len(harness.tables.jobs) == 4  # old, new, and one without a key per batch


async def test_batch_append_failed(api: Client, harness: Harness) -> None:
    """A batch whose append fails is 503 as a whole; repeated with keys it makes each job once."""
    items = [request(idempotency_key=f"k{n}") for n in range(20)]
    harness.faults.plan(LOST)
    assert (await api.call("POST", "/v1/jobs/batch", {"jobs": items}))[0] == 503

    status, answer, _ = await api.call("POST", "/v1/jobs/batch", {"jobs": items})
    assert status == 200
    await harness.caught_up()
    assert set(harness.tables.jobs) == {result["job"]["id"] for result in answer["results"]}


async def test_batch_header_key(api: Client) -> None:
    """One key for a whole batch would stand for nothing: refused."""
    status, refused, _ = await api.call(
        "POST", "/v1/jobs/batch", {"jobs": [request()]}, headers={"Idempotency-Key": "k"}
    )
    assert (status, refused["error"]["code"]) == (400, "invalid_idempotency_key")


async def test_client_gone(api: Client, harness: Harness, service: ApiService) -> None:
    """A caller that hangs up while its POST is under way, and repeats it with its key, has one job (C5)."""
    body = request(idempotency_key="k")
    call = asyncio.create_task(api.call("POST", "/v1/jobs", body))
    await harness.tables.reserved.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    status, job, _ = await api.call("POST", "/v1/jobs", body)
    assert status == 201
    await harness.caught_up()
    assert list(harness.tables.jobs) == [job["id"]]
