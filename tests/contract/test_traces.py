"""`traceparent`: accepted with a request, kept in the log, sent to target and webhook, and in the log lines of an attempt."""

from __future__ import annotations

import json

from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, RunningFliq, in_seconds

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRIES = 5
GIVEN = f"00-{TRACE}-{SPAN}-01"


async def make(client: Client, sink: Sink, path: str, traceparent: str | None, **fields: object) -> str:
    body = {"url": f"{sink.url}/{path}", "webhook_url": f"{sink.url}/hook", **fields}
    headers = {} if traceparent is None else {"traceparent": traceparent}
    for _ in range(TRIES):  # its instant may have passed by the time it is read
        timed = body | {"scheduled_at": in_seconds(0.3)}
        status, job, _ = await client.call("POST", "/v1/jobs", timed, headers=headers)
        if status != 400:
            break
    assert status == 201, job
    assert set(job) == {"id", "url", "http_method", "scheduled_at", "max_retries", "status", "created_at"}
    return str(job["id"])


async def test_a_trace_goes_on_to_target_and_webhook(client: Client, sink: Sink) -> None:
    """The same trace and flags everywhere, a span of its own for every attempt and for the webhook."""
    job_id = await make(client, sink, "flaky/1/traced", GIVEN, max_retries=1)
    await client.wait_status(job_id, "success")
    await sink.wait_for(lambda: sink.at("/hook"))
    sent = [
        call.headers["traceparent"] for call in [*sink.of(job_id), *sink.at("/hook")] if "traceparent" in call.headers
    ]
    assert len(sent) == 3
    assert {each[:36] + each[52:] for each in sent} == {f"00-{TRACE}--01"}
    assert len({each[36:52] for each in sent} | {SPAN}) == 4


async def test_a_malformed_trace_is_ignored(client: Client, sink: Sink) -> None:
    """The job is made all the same, and nothing is sent along."""
    for bad in (None, "00-0-0-01", GIVEN.upper(), f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01"):
        job_id = await make(client, sink, "ok", bad)
        await client.wait_status(job_id, "success")
        [call] = sink.of(job_id)
        assert "traceparent" not in call.headers


async def test_a_trace_of_the_jobs_own_wins(client: Client, sink: Sink) -> None:
    """What the caller sets as a header of the job is sent as it is, once."""
    own = f"00-{'1' * 32}-{'2' * 16}-00"
    job_id = await make(client, sink, "ok", GIVEN, headers={"traceparent": own})
    await client.wait_status(job_id, "success")
    [call] = sink.of(job_id)
    assert [value for name, value in call.raw_headers if name.lower() == "traceparent"] == [own]


async def test_a_trace_is_kept_in_the_log(fliq: RunningFliq, client: Client, sink: Sink) -> None:
    """It stands in the job's first event, once; replays and batches carry it, too."""
    job_id = await make(client, sink, "ok", GIVEN)
    request = {"url": f"{sink.url}/ok", "scheduled_at": in_seconds(3)}
    _, batch, _ = await client.call("POST", "/v1/jobs/batch", {"jobs": [request]}, headers={"traceparent": GIVEN})
    ids = {job_id, batch["results"][0]["job"]["id"]}
    kept: dict[str, list[str]] = {}
    async with fliq.open_log() as log:
        for partition in range(await log.partitions()):
            position = await log.begin(partition)
            while records := await log.read(partition, position):
                position = records[-1].position + 1
                for record in records:
                    if record.envelope.key in ids and GIVEN in record.envelope.value.decode():
                        event = json.loads(record.envelope.value)
                        kept.setdefault(record.envelope.key, []).append(event["spec"]["traceparent"])
    assert kept == {key: [GIVEN] for key in ids}
