"""
The contract's sentences on a running Fliq: requests over HTTP, calls and webhooks that really arrive.

Each docstring quotes what it shows. What is shown elsewhere stands in `tests/contract/test_every_case.py`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from standardwebhooks import Webhook

from tests.contract.raw import exchange
from tests.fakes.running.sink import Arrival, Sink
from tests.fakes.running.topologies import Client, RunningFliq, free_port, in_seconds, instant_ms, make_token

pytestmark = pytest.mark.everywhere

URL = "https://example.com/api/charge"
Shared = tuple[RunningFliq, Iterator[int]]


async def refusal(client: Client, method: str, path: str, body: Any = None) -> tuple[int, str]:
    status, answer, headers = await client.call(method, path, body)
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"code", "message"}
    assert headers["Content-Type"] == "application/json"
    return status, str(answer["error"]["code"])


async def test_only_what_is_required_is_required(running: Client) -> None:
    """`"url": string, // required` · `"http_method" // optional — default "POST"` · `"max_retries" // optional — default 0`."""
    job = await running.create(URL, 60)
    status, schedule, _ = await running.call("POST", "/v1/schedules", {"url": URL, "cron": "0 8 * * 1-5"})
    shown = (await running.call("GET", f"/v1/schedules/{schedule['id']}"))[1]

    assert (job["http_method"], job["max_retries"], job["status"]) == ("POST", 0, "scheduled")
    assert (status, shown["http_method"], shown["max_retries"], shown["status"]) == (201, "POST", 0, "active")
    assert await refusal(running, "POST", "/v1/jobs", {"scheduled_at": in_seconds(60)}) == (400, "invalid_url")
    assert await refusal(running, "POST", "/v1/jobs", {"url": URL}) == (400, "invalid_scheduled_at")
    assert await refusal(running, "POST", "/v1/schedules", {"cron": "0 8 * * *"}) == (400, "invalid_url")
    assert await refusal(running, "POST", "/v1/schedules", {"url": URL}) == (400, "invalid_cron")


async def test_every_documented_field_is_taken(running: Client) -> None:
    """`"headers": object, "body": string, "idempotency_key": string, "webhook_url": string, "webhook_headers": object`."""
    fields = {
        "http_method": "PUT",
        "headers": {"X-A": "1"},
        "body": "b",
        "max_retries": 3,
        "webhook_url": "https://example.com/hook",
        "webhook_headers": {"Authorization": "Bearer x"},
    }
    job = await running.create(URL, 60, **fields, idempotency_key="order-1")
    shown = await running.job(job["id"])
    _, schedule, _ = await running.call("POST", "/v1/schedules", {"url": URL, "cron": "0 8 * * *", **fields})
    rule = (await running.call("GET", f"/v1/schedules/{schedule['id']}"))[1]

    assert {name: shown[name] for name in fields} == {name: rule[name] for name in fields} == fields
    assert shown["idempotency_key"] == "order-1"


async def test_errors_have_one_shape(running: Client) -> None:
    """`{ "error": { "code": "invalid_scheduled_at", "message": "scheduled_at must be in the future" } }` and its statuses."""
    past = {"url": URL, "scheduled_at": "2020-01-01T00:00:00Z"}
    assert (await running.call("POST", "/v1/jobs", past))[:2] == (
        400,
        {"error": {"code": "invalid_scheduled_at", "message": "scheduled_at must be in the future"}},
    )
    async with Client(running.url, None) as nobody:
        assert await refusal(nobody, "GET", "/v1/jobs") == (401, "unauthorized")
    _, made, _ = await running.call("POST", "/v1/tokens", {"scopes": ["read"]})
    async with Client(running.url, made["token"]) as reader:
        assert await refusal(reader, "POST", "/v1/jobs", past) == (403, "forbidden")
    assert await refusal(running, "GET", "/v1/jobs/job_" + "0" * 26) == (404, "not_found")
    assert await refusal(running, "GET", "/jobs") == (404, "not_found")
    assert await refusal(running, "PUT", "/v1/jobs") == (405, "method_not_allowed")


async def test_every_answer_is_json(running: Client) -> None:
    """`Request and response bodies are JSON`, of every route; a 204 has none."""
    job = await running.create(URL, 60)
    _, schedule, _ = await running.call("POST", "/v1/schedules", {"url": URL, "cron": "0 8 * * *"})
    for method, path in (
        *[
            ("GET", f"/v1/{name}")
            for name in ("jobs", "schedules", "tokens", "signing-secret", "openapi.json", "nothing")
        ],
        *[("GET", f"/v1/jobs/{job['id']}{part}") for part in ("", "/executions", "/events")],
        *[("GET", f"/v1/schedules/{schedule['id']}{part}") for part in ("", "/jobs")],
        *[("POST", f"/v1/schedules/{schedule['id']}/{part}") for part in ("pause", "resume")],
        *[("POST", path) for path in ("/v1/jobs/batch", "/v1/signing-secret/rotate", f"/v1/jobs/{job['id']}/replay")],
    ):
        _, answer, headers = await running.call(method, path)
        assert isinstance(answer, dict), path
        assert headers["Content-Type"] == "application/json", path
    for path in (f"/v1/jobs/{job['id']}", f"/v1/schedules/{schedule['id']}"):
        status, answer, headers = await running.call("DELETE", path)
        assert (status, answer) == (204, None)
        assert "Content-Type" not in headers


async def test_tokens_have_a_checksum(running: Client) -> None:
    """`fliq_sk_` + 30 random base62 characters + 6 base62 characters: the CRC32 of those 30, left-padded with `0`."""
    for _ in range(5):
        _, made, _ = await running.call("POST", "/v1/tokens", {})
        match = re.fullmatch(r"fliq_sk_([0-9A-Za-z]{30})[0-9A-Za-z]{6}", made["token"])
        assert match is not None
        assert make_token(match[1]) == made["token"]


async def test_instants_are_utc(running: Client) -> None:
    """`RFC 3339 with Z or an offset (normalised to UTC Z; millisecond precision)`, rounded up, up to the year 9999."""
    for given, shown in (
        ("2032-04-01T11:00:00+02:00", "2032-04-01T09:00:00Z"),
        ("2032-03-31T23:30:00.5-09:30", "2032-04-01T09:00:00.500Z"),
        ("2032-04-01t09:00:00.0009z", "2032-04-01T09:00:00.001Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("2032-02-29T00:00:00Z", "2032-02-29T00:00:00Z"),
    ):
        assert (await running.create(URL, given))["scheduled_at"] == shown
    beyond = {"url": URL, "scheduled_at": "9999-12-31T23:59:59.9999Z"}
    assert (await running.call("POST", "/v1/jobs", beyond))[0] == 400


async def test_a_life(running: Client, sink: Sink) -> None:
    """`Returns the job object with current status and execution count` · `409 if it has already executed` · executions."""
    job = await running.create(f"{sink.url}/ok", 0.3)
    assert (await running.job(job["id"]))["execution_count"] == 0
    ended = await running.wait_status(job["id"])
    _, answer, _ = await running.call("GET", f"/v1/jobs/{job['id']}/executions")
    (row,) = answer["executions"]

    assert (ended["status"], ended["execution_count"]) == ("success", 1)
    assert list(row) == ["id", "attempt_num", "status", "status_code", "duration_ms", "executed_at", "error"]
    assert (row["attempt_num"], row["status"], row["status_code"], row["error"]) == (1, "success", 200, None)
    assert row["id"] == sink.of(job["id"])[0].execution_id
    assert row["duration_ms"] >= 0
    assert instant_ms(row["executed_at"]) >= instant_ms(job["scheduled_at"])
    assert await refusal(running, "DELETE", f"/v1/jobs/{job['id']}") == (409, "job_already_fired")
    assert await refusal(running, "POST", f"/v1/jobs/{job['id']}/replay") == (409, "job_not_failed")


async def test_running_until_its_end(running: Client, sink: Sink) -> None:
    """`running (from the first fired attempt until terminal, retry waits included)`: 409 for good, in the list of those running."""
    job = await running.create(f"{sink.url}/retry-after/3600/{sink.port}", 0.2, max_retries=1)
    await sink.wait_for(lambda: sink.of(job["id"]))
    shown = job
    deadline = time.monotonic() + 15
    while shown.get("next_attempt_at") is None or shown["status"] != "running":
        assert time.monotonic() < deadline, shown
        shown = await running.job(job["id"])

    assert (shown["status"], shown["last_status_code"]) == ("running", 429)
    assert instant_ms(shown["next_attempt_at"]) > time.time() * 1000 + 3_500_000
    assert await refusal(running, "DELETE", f"/v1/jobs/{job['id']}") == (409, "job_already_fired")
    _, listed, _ = await running.call("GET", "/v1/jobs?status=running")
    assert [item["id"] for item in listed["jobs"]] == [job["id"]]


async def test_what_a_target_was_told_is_current(running: Client, sink: Sink) -> None:
    """`Returns the job object with current status`: whoever was called sees it running, whoever got the webhook its end."""
    for number in range(25):
        job = await running.create(
            f"{sink.url}/{'status/500' if number % 2 else 'ok'}/{number}", 0.05, webhook_url=f"{sink.url}/hook/{number}"
        )
        await sink.wait_for(lambda job=job: sink.of(job["id"]))
        called = await running.job(job["id"])
        await sink.wait_for(lambda number=number: sink.at(f"/hook/{number}"))
        if number % 2:
            assert (await running.call("POST", f"/v1/jobs/{job['id']}/replay"))[0] == 201
        told = json.loads(sink.at(f"/hook/{number}")[0].body)
        ended = await running.job(job["id"])
        assert (called["status"], called["execution_count"]) != ("scheduled", 0)
        assert ended["status"] == ("failed" if number % 2 else "success")
        assert ended["completed_at"] == told["completed_at"]


async def test_only_2xx_is_success(running: Client, sink: Sink) -> None:
    """`200–299. Everything else (3xx too: redirects are not followed), timeouts and connection errors are failures`."""
    jobs = {
        status: await running.create(f"{sink.url}/status/{status}", 0.2)
        for status in (200, 201, 204, 226, 299, 300, 304, 400, 404, 418, 500, 599)
    }
    for status, job in jobs.items():
        ended = await running.wait_status(job["id"])
        assert (ended["last_status_code"], ended["status"]) == (status, "success" if status < 300 else "failed")


async def test_replay(running: Client, sink: Sink) -> None:
    """`POST /v1/jobs/{id}/replay (clones a failed job, replay_of)`: the clone calls with the same method, headers and body."""
    job = await running.create(
        f"{sink.url}/flaky/1/{sink.port}", 0.2, http_method="PUT", headers={"X-A": "1"}, body="b"
    )
    assert (await running.wait_status(job["id"]))["status"] == "failed"
    status, clone, _ = await running.call("POST", f"/v1/jobs/{job['id']}/replay")

    assert (status, clone["replay_of"]) == (201, job["id"])
    assert (await running.wait_status(clone["id"]))["status"] == "success"
    first, second = sink.of(job["id"]) + sink.of(clone["id"])
    assert (first.method, first.body, first.headers["X-A"]) == (second.method, second.body, second.headers["X-A"])
    assert first.execution_id != second.execution_id
    assert (await running.job(job["id"]))["status"] == "failed"


async def test_batch(running: Client, sink: Sink) -> None:
    """`200 {"results": [{"job": {...}} or {"error": {...}}, ...]} in order, each item accepted or refused on its own`."""
    for turn in range(5):
        began_s, place = time.time(), f"/ok/{turn}"
        items = [{"url": f"{sink.url}{place}/{n}", "scheduled_at": in_seconds(0.4 if n % 3 else -1)} for n in range(30)]
        status, answer, _ = await running.call("POST", "/v1/jobs/batch", {"jobs": items})
        if time.time() < began_s + 0.4:  # else they may have been asked for too late
            break

    assert status == 200
    assert [list(result) for result in answer["results"]] == [["job"] if n % 3 else ["error"] for n in range(30)]
    wanted = {f"{place}/{n}" for n in range(30) if n % 3}
    await sink.wait_for(lambda: wanted <= {arrival.path for arrival in sink.arrivals})
    assert {arrival.path for arrival in sink.arrivals if arrival.path.startswith(place)} == wanted


def signed_by(secret: str, call: Arrival, url: str) -> bool:
    """Check both schemes of a call as a receiver would, with the standard's own library and by the contract's formula."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    stamp = call.headers["X-Fliq-Timestamp"]
    message = f"{stamp}.{call.method}.{url}.".encode() + call.body
    ours = f"v1={hmac.new(key, message, hashlib.sha256).hexdigest()}"
    try:
        Webhook(secret).verify(call.body or b"{}", {name.lower(): value for name, value in call.headers.items()})
    except Exception:
        return False
    return ours in call.headers["X-Fliq-Signature"].split(",")


async def test_headers_to_targets(running: Client, sink: Sink) -> None:
    """`X-Fliq-Job-Id, X-Fliq-Execution-Id, X-Fliq-Attempt, X-Fliq-Scheduled-At, Idempotency-Key`, and both signatures."""
    plain = await running.create(f"{sink.url}/flaky/1/{sink.port}", 0.2, max_retries=1, body="{}")
    own = await running.create(
        f"{sink.url}/ok", 0.2, headers={"Idempotency-Key": "mine", "User-Agent": "me"}, body="{}"
    )
    for job in (plain, own):
        await running.wait_status(job["id"])
    _, secret, _ = await running.call("GET", "/v1/signing-secret")
    calls = sink.of(plain["id"])

    assert [call.headers["X-Fliq-Attempt"] for call in calls] == ["1", "2"]
    for call in calls:
        assert call.headers["X-Fliq-Scheduled-At"] == plain["scheduled_at"]
        assert call.headers["Idempotency-Key"] == call.execution_id
        assert re.fullmatch(r"Fliq/\S+", call.headers["User-Agent"])
        assert "X-Fliq-Schedule-Id" not in call.headers
        assert signed_by(secret["secret"], call, plain["url"])
    assert calls[0].execution_id != calls[1].execution_id
    (call,) = sink.of(own["id"])
    assert (call.headers["Idempotency-Key"], call.headers["User-Agent"]) == ("mine", "me")
    names = [name.lower() for name, _ in call.raw_headers]
    assert len(names) == len(set(names))


async def test_rotation(running: Client, sink: Sink) -> None:
    """`GET /v1/signing-secret, POST /v1/signing-secret/rotate: old and new both sign`, calls and webhooks alike."""
    _, old, _ = await running.call("GET", "/v1/signing-secret")
    status, new, _ = await running.call("POST", "/v1/signing-secret/rotate")
    assert (status, new["previous_secrets"]) == (200, [old["secret"]])
    job = await running.create(f"{sink.url}/ok", 0.2, body="{}", webhook_url=f"{sink.url}/hook")
    await sink.wait_count(2)

    for call in sink.arrivals:
        url = f"{sink.url}{call.path}"
        assert signed_by(new["secret"], call, url)
        assert signed_by(old["secret"], call, url)
        assert not signed_by("whsec_" + base64.b64encode(b"x" * 32).decode(), call, url)
    assert sink.at("/hook")[0].headers["webhook-id"] == job["id"]


async def test_webhook_payload(running: Client, sink: Sink) -> None:
    """`{ "job_id", "status": "completed", "status_code": 200, "last_error": null, "completed_at", "attempt_num": 1 }` by POST."""
    ways = {"completed": f"{sink.url}/ok", "failed": f"{sink.url}/status/404", "cancelled": f"{sink.url}/ok"}
    jobs = {
        word: await running.create(
            url,
            60 if word == "cancelled" else 0.2,
            webhook_url=f"{sink.url}/{word}",
            webhook_headers={"Authorization": "Bearer w"},
        )
        for word, url in ways.items()
    }
    assert (await running.call("DELETE", f"/v1/jobs/{jobs['cancelled']['id']}"))[0] == 204
    await sink.wait_count(5)

    for word, told in {
        "completed": {"status_code": 200, "last_error": None, "attempt_num": 1},
        "failed": {"status_code": 404, "last_error": "HTTP 404", "attempt_num": 1},
        "cancelled": {"status_code": None, "last_error": None, "attempt_num": 0},
    }.items():
        (hook,) = sink.at(f"/{word}")
        job = await running.job(jobs[word]["id"])
        assert json.loads(hook.body) == {
            "job_id": job["id"],
            "status": word,
            "completed_at": job["completed_at"],
            **told,
        }
        assert list(json.loads(hook.body)) == [
            "job_id",
            "status",
            "status_code",
            "last_error",
            "completed_at",
            "attempt_num",
        ]
        assert (hook.method, hook.headers["Content-Type"], hook.headers["Authorization"]) == (
            "POST",
            "application/json",
            "Bearer w",
        )


@pytest.fixture
async def limited(contract_fliq: Shared) -> AsyncIterator[Client]:
    """A client of an API process that allows three executions a day."""
    fliq, numbers = contract_fliq
    port = free_port()
    process = fliq.spawn("api", FLIQ_PORT=str(port), FLIQ_DAILY_EXECUTION_LIMIT="3")
    try:
        process.wait_ready()
        async with Client(f"http://127.0.0.1:{port}", make_token(f"contract{next(numbers):022d}")) as client:
            yield client
    finally:
        process.stop()


async def midnight_is_far() -> None:
    """Let midnight pass, if it is near: the day begins anew then, and with it all that is counted by day."""
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    if midnight - now < timedelta(seconds=40):
        await asyncio.sleep((midnight - now).total_seconds() + 1)


async def test_daily_limit(limited: Client, sink: Sink) -> None:
    """`every attempt counts, webhooks do not`: `429 daily_limit_reached` until midnight UTC; accepted jobs stay."""
    await midnight_is_far()
    waiting = await limited.create(f"{sink.url}/ok/late", 3600)
    retried = await limited.create(
        f"{sink.url}/flaky/1/{sink.port}", 0.2, max_retries=3, webhook_url=f"{sink.url}/hook"
    )
    await limited.wait_status(retried["id"])
    await sink.wait_for(lambda: sink.at("/hook"))
    last = await limited.create(f"{sink.url}/status/500", 0.2, webhook_url=f"{sink.url}/hook")
    assert (await limited.wait_status(last["id"]))["status"] == "failed"
    job = {"url": URL, "scheduled_at": in_seconds(60)}
    for path, body in (
        ("/v1/jobs", job),
        ("/v1/jobs/batch", {"jobs": [job]}),
        ("/v1/schedules", {"url": URL, "cron": "0 8 * * *"}),
        (f"/v1/jobs/{last['id']}/replay", None),
    ):
        status, answer, headers = await limited.call("POST", path, body)
        assert (status, answer["error"]["code"]) == (429, "daily_limit_reached")
        now = datetime.now(UTC)
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        assert abs(int(headers["Retry-After"]) - (midnight - now).total_seconds()) < 5
    assert (await limited.job(waiting["id"]))["status"] == "scheduled"
    assert (await limited.call("DELETE", f"/v1/jobs/{waiting['id']}"))[0] == 204


async def test_ports(contract_fliq: Shared) -> None:
    """`/healthz, /readyz, /metrics (the last three on an admin port of their own)`; `Base URL: …/v1`."""
    fliq, _ = contract_fliq
    async with aiohttp.ClientSession() as session:
        for path in ("/healthz", "/readyz", "/metrics"):
            async with session.get(fliq.admin_url + path) as answer:
                assert answer.status == 200
            assert (await exchange(fliq.port, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())).status == 404
        async with session.get(fliq.admin_url + "/v1/jobs") as answer:
            assert answer.status == 404
