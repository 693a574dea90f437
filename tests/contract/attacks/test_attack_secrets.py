"""
X1, as far as logs, metrics and answers go: other people's secrets stay where they belong.

A Fliq that logs everything works through jobs whose every part is a canary, with failures of all kinds on the way; then
whatever it wrote is searched.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from tests.contract.raw import RawConnection
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import TOKEN, Client, FliqOf, RunningFliq, in_seconds

CANARY = "c4n4ry"
TRACE = "0af7651916cd43dd8448eb211c80319c"
# Every way in which text may hide in a log.
FORMS = (CANARY, CANARY.encode().hex(), base64.b64encode(f"xx{CANARY}".encode()).decode()[4:12])


@pytest.fixture
def talkative(topology: str, fliq_of: FliqOf) -> Iterator[RunningFliq]:
    """A Fliq of the test's own that logs all it has to say."""
    with fliq_of(topology, FLIQ_LOG_LEVEL="debug") as running:
        yield running


async def test_secrets_stay_out(talkative: RunningFliq, sink: Sink) -> None:
    """X1, V8: no part of a job, no token and no signing secret is in a log line, a metric or an error, whatever goes wrong."""
    answers: list[str] = []
    async with Client(talkative.url) as client:
        await _work(client, sink, answers)
        await _break_the_tables(talkative, client, answers)
        _, secret, _ = await client.call("GET", "/v1/signing-secret")
        _, made, _ = await client.call("POST", "/v1/tokens", {"name": CANARY})
        async with Client(talkative.url, made["token"]) as stranger:
            await stranger.call("GET", "/v1/jobs")
    await _talk_nonsense(talkative.port, answers)
    pages = [(process.admin_url, path) for process in talkative.processes for path in ("/metrics", "/readyz")]
    shown = "".join([await _page(url, path) for url, path in pages])
    command, log = _ended(talkative)

    assert "request_crashed" in log, "no defect was provoked"
    ends = [json.loads(line) for line in log.splitlines() if '"attempt_ended"' in line]
    assert ends, "attempts leave a line at level debug"
    assert all({"job_id", "execution_id", "attempt_num", "outcome", "duration_ms"} <= set(line) for line in ends)
    assert {line["trace_id"] for line in ends} == {None, TRACE}, "and the trace of those that belong to one"
    for name, text in {"log": log, "metrics": shown, "answers": "\n".join(answers), "command": command}.items():
        found = [line[:300] for line in text.splitlines() if any(form in line for form in FORMS)]
        assert not found, f"{name}: {found[:3]}"
        assert TOKEN not in text
        assert made["token"] not in text
        assert secret["secret"] not in text


def _ended(fliq: RunningFliq) -> tuple[str, str]:
    """Stop; return the command lines, as everybody on the machine could read them, and all that was logged."""
    commands = [Path(f"/proc/{process.pid}/cmdline").read_text(errors="replace") for process in fliq.processes]
    fliq.stop()
    return "\n".join(commands), "\n".join(process.output.read_text(errors="replace") for process in fliq.processes)


async def _work(client: Client, sink: Sink, answers: list[str]) -> None:
    """Let jobs succeed, fail, be redirected, be cancelled, find nobody and be replayed."""
    secret = {"headers": {"Authorization": f"Bearer {CANARY}", "X-Key": CANARY}, "body": CANARY}
    hook = {"webhook_url": f"{sink.url}/hook?key={CANARY}", "webhook_headers": {"Cookie": CANARY}}
    jobs = [
        await client.create(f"{url}?key={CANARY}", 0.2, timeout_seconds=1, **secret, **hook)
        for url in (
            *(f"{sink.url}/{path}" for path in ("ok", "status/500", "status/599", "redirect", "hang")),
            "http://127.0.0.1:9/closed",
            f"http://{CANARY}.example.invalid/",
        )
    ]
    traced = {"url": f"{sink.url}/ok?key={CANARY}", "scheduled_at": in_seconds(1), **secret}
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    status, job, _ = await client.call("POST", "/v1/jobs", traced | hook, headers=headers)
    assert status == 201, job
    jobs.append(job)
    cancelled = await client.create(f"{sink.url}/ok?key={CANARY}", 60, **secret, **hook)
    assert (await client.call("DELETE", f"/v1/jobs/{cancelled['id']}"))[0] == 204
    for job in jobs:
        ended = await client.wait_status(job["id"])
        answers.append(str(ended["last_error"]))
        _, executions, _ = await client.call("GET", f"/v1/jobs/{job['id']}/executions")
        _, timeline, _ = await client.call("GET", f"/v1/jobs/{job['id']}/events")
        answers += [json.dumps(executions), json.dumps(timeline)]
    await sink.wait_for(lambda: len(sink.at("/hook")) == len(jobs) + 1)
    for wrong in (
        {"url": f"http://127.0.0.1:0/{CANARY}"},
        {"headers": {"Host": CANARY}},
        {"headers": {"X": f"{CANARY}\n"}},
        {"body": [CANARY]},
        {"scheduled_at": CANARY},
        {"http_method": CANARY},
        {"webhook_url": f"http://{CANARY}@h.example/"},
        {"idempotency_key": f"{CANARY}\n"},
        {"max_retries": CANARY},
    ):
        body = {"url": f"{sink.url}/ok", "scheduled_at": in_seconds(60)} | wrong
        status, answer, _ = await client.call("POST", "/v1/jobs", body)
        assert status == 400
        answers.append(json.dumps(answer))


async def _break_the_tables(fliq: RunningFliq, client: Client, answers: list[str]) -> None:
    """Let the database refuse rows that hold the canary: its complaints quote the row."""
    connection = await asyncpg.connect(fliq.settings["FLIQ_DATABASE_URL"])
    try:
        for table, column in (("idempotency", "key"), ("api_tokens", "name")):
            await connection.execute(
                f"ALTER TABLE fliq.{table} ADD CONSTRAINT broken CHECK ({column} NOT LIKE '%{CANARY}%') NOT VALID"
            )
        job = {"url": "https://example.com/", "scheduled_at": in_seconds(60), "idempotency_key": CANARY}
        for path, body in (("/v1/jobs", job), ("/v1/jobs/batch", {"jobs": [job]}), ("/v1/tokens", {"name": CANARY})):
            status, answer, _ = await client.call("POST", path, body)
            assert (status, answer["error"]["code"]) == (500, "internal_error")
            answers.append(json.dumps(answer))
        for table in ("idempotency", "api_tokens"):
            await connection.execute(f"ALTER TABLE fliq.{table} DROP CONSTRAINT broken")
    finally:
        await connection.close()


async def _talk_nonsense(port: int, answers: list[str]) -> None:
    """Send what the parser refuses, with the canary in every place."""
    for data in (
        f"GET /v1/jobs?key={CANARY} HTTX/1.1\r\nHost: a\r\n\r\n",
        f"G@T /{CANARY} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"{CANARY} / HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET http://[{CANARY}/ HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization {CANARY}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {CANARY}\x00\r\n\r\n",
        f"GET /{CANARY} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {CANARY}\r\n\r\n",
        f"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer fliq_sk_{CANARY}\r\n\r\n",
        f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: {CANARY}\r\n\r\n",
        f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {CANARY}\r\n\r\n",
        f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n",
    ):
        connection = await RawConnection.open(port)
        connection.send(data.encode())
        answers.append(json.dumps((await connection.answer()).body))
        await connection.close()


async def _page(url: str, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url + path) as answer, asyncio.timeout(10):
        return await answer.text()
