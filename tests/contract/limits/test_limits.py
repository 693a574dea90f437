"""Limits of an account as a caller meets them: statuses, codes, headers, and GET /v1/account."""

from __future__ import annotations

from typing import Any

import aiohttp

from libs.store.control.limits import Limits
from libs.store.reads.account_queries import WaitingUse
from tests.contract.harness import Harness
from tests.fakes.running.client import Client, in_seconds

URL = "http://127.0.0.1:9000/"


def job() -> dict[str, Any]:
    """A request for a job."""
    return {"url": URL, "scheduled_at": in_seconds(600)}


def count_waiting(harness: Harness) -> None:
    """Let the tables count what waits."""

    async def waiting_use(account: str, **_: object) -> WaitingUse:
        return WaitingUse(sum(each.account == account and each.is_waiting for each in harness.tables.jobs.values()), 0)

    harness.tables.waiting_use = waiting_use  # type: ignore[attr-defined]


async def test_requests_a_second(harness: Harness) -> None:
    """429 with Retry-After and what is left; refusals of another kind count too; other accounts are not limited."""
    service = await harness.replica(limits_of=lambda name: Limits(requests_per_second=3 if name == "default" else 0))
    url = f"http://127.0.0.1:{service.port}"
    async with Client(url, harness.token(scopes=("read",))) as client, Client(url, harness.token("other")) as other:
        answers = [await client.call(*each) for each in (("GET", "/v1/jobs"), ("POST", "/v1/jobs", job())) * 3]

        statuses = [status for status, _, _ in answers]
        assert statuses[:3] == [200, 403, 200]
        _, answer, headers = next(each for each in answers if each[0] == 429)
        assert answer["error"]["code"] == "rate_limit_exceeded"
        assert (headers["Retry-After"], headers["RateLimit"][:16]) == ("1", '"requests";r=0;t')
        assert answers[0][2]["RateLimit-Policy"] == '"requests";q=3;w=1'
        assert answers[0][2]["RateLimit"] == '"requests";r=2;t=1'
        assert "RateLimit" not in (await other.call("GET", "/v1/jobs"))[2]


async def test_connections(harness: Harness) -> None:
    """The one beyond the limit is answered 429 and closed; those that are open go on."""
    service = await harness.replica(limits_of=lambda _: Limits(connections=2))
    url, token = f"http://127.0.0.1:{service.port}/v1/jobs", harness.token()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as one,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as two,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as three,
    ):
        for session in (one, two, one):
            async with session.get(url) as answer:
                assert answer.status == 200
        async with three.get(url) as answer:
            assert answer.status == 429
            assert (await answer.json())["error"]["code"] == "too_many_connections"
            assert answer.headers["Connection"] == "close"
        async with two.get(url) as answer:
            assert answer.status == 200


async def test_waiting_jobs(harness: Harness) -> None:
    """Creates beyond the limit are 429, each item of a batch by itself; repeats of accepted ones, reads and cancels go on."""
    count_waiting(harness)
    service = await harness.replica(limits_of=lambda _: Limits(waiting_jobs=3))
    async with Client(f"http://127.0.0.1:{service.port}", harness.token()) as client:
        keyed = job() | {"idempotency_key": "k"}
        _, first, _ = await client.call("POST", "/v1/jobs", keyed)
        status, answer, _ = await client.call("POST", "/v1/jobs/batch", {"jobs": [job() for _ in range(4)]})
        assert status == 200
        assert [each.get("error", {}).get("code") for each in answer["results"]] == [
            *(None, None, "waiting_jobs_limit_reached", "waiting_jobs_limit_reached"),
        ]
        status, answer, headers = await client.call("POST", "/v1/jobs", job())
        assert (status, answer["error"]["code"]) == (429, "waiting_jobs_limit_reached")
        assert headers["Retry-After"] == "10"
        assert (await client.call("POST", "/v1/jobs", keyed))[:2] == (201, first)
        assert (await client.call("POST", "/v1/jobs", job() | {"idempotency_key": "new"}))[0] == 429
        _, account, _ = await client.call("GET", "/v1/account")
        assert (account["account"], account["limits"]["waiting_jobs"]) == ("default", 3)
        assert account["limits"]["connections"] is None
        assert account["use"] == {"executions_today": 0, "waiting_jobs": 3, "stored_bytes": None}
        assert (await client.call("DELETE", f"/v1/jobs/{first['id']}"))[0] == 204


async def test_stored_bytes(harness: Harness) -> None:
    """A job whose URL, headers and body do not fit is refused; a smaller one is taken."""
    count_waiting(harness)
    service = await harness.replica(limits_of=lambda _: Limits(stored_bytes=1_000))
    async with Client(f"http://127.0.0.1:{service.port}", harness.token()) as client:
        status, answer, _ = await client.call("POST", "/v1/jobs", job() | {"body": "x" * 1_000})
        assert (status, answer["error"]["code"]) == (429, "stored_bytes_limit_reached")
        assert (await client.call("POST", "/v1/jobs", job() | {"body": "x" * 500}))[0] == 201
        assert (await client.call("POST", "/v1/jobs", job() | {"body": "x" * 500}))[0] == 429


async def test_a_change_takes_no_more_bytes_than_there_are(harness: Harness) -> None:
    """A job that waits is made larger only as far as the account may store; smaller, and sooner, it always may be."""
    count_waiting(harness)
    service = await harness.replica(limits_of=lambda _: Limits(stored_bytes=1_000))
    async with Client(f"http://127.0.0.1:{service.port}", harness.token()) as client:
        _, made, _ = await client.call("POST", "/v1/jobs", job() | {"body": "x" * 500})
        path = f"/v1/jobs/{made['id']}"
        status, answer, headers = await client.call("PATCH", path, {"body": "x" * 5_000})
        assert (status, answer["error"]["code"], headers["Retry-After"]) == (429, "stored_bytes_limit_reached", "10")
        assert (await client.call("PATCH", path, {"body": "x"}))[0] == 200
        assert (await client.call("PATCH", path, {"max_retries": 2}))[0] == 200
