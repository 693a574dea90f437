"""What callers entrust to a running Fliq can be read nowhere but where it is sent."""

from __future__ import annotations

import asyncio
import base64
import hmac
import io
import json
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from libs.runtime.embedded_postgres.binaries import PostgresBinaries
from libs.runtime.embedded_postgres.unprivileged import server_user
from tests.fakes.running.fold import fold_differences
from tests.fakes.running.operating import command
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Arrival, Sink
from tests.fakes.running.topologies import Client, FliqOf

CANARY = "canary-4711-in-the-mine"
LATER_S = 3600


def secrets(sink: Sink, path: str) -> dict[str, Any]:
    """Return the fields of a request with a canary in each that is sealed."""
    return {
        "url": f"{sink.url}/{path}?q={CANARY}",
        "http_method": "POST",
        "headers": {"X-Secret": f"Bearer {CANARY}"},
        "body": f'{{"token": "{CANARY}"}}' + "x" * 3000,
        "webhook_url": f"{sink.url}/hook?w={CANARY}",
        "webhook_headers": {"X-Hook-Secret": CANARY},
    }


async def rows_of(dsn: str) -> bytes:
    """Return every byte of every table of Fliq and of its log, as the database has it."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema LIKE 'fliq%'"
        )
        found = io.BytesIO()
        for schema, table in tables:
            await connection.copy_from_table(table, schema_name=schema, output=found, format="binary")
        return found.getvalue()
    finally:
        await connection.close()


async def made_by(client: Client, method: str, path: str, body: Any) -> Any:
    """Return the answer to a request that must succeed."""
    status, answer, _ = await client.call(method, path, body)
    assert status in (200, 201, 202), answer
    return answer


async def make_endpoint(client: Client, sink: Sink) -> list[str]:
    """Make and change a webhook endpoint with a canary in each sealed field, and replace secrets; return all secrets."""
    fields = {"url": f"{sink.url}/ok?e={CANARY}", "headers": {"X-Told-Secret": CANARY}, "events": ["job.failed"]}
    made = await made_by(client, "POST", "/v1/webhooks/endpoints", fields)
    path = f"/v1/webhooks/endpoints/{made['id']}"
    changed = {"url": f"{sink.url}/told-of?f={CANARY}", "headers": {"X-Told-Secret": f"new {CANARY}"}}
    shown = await made_by(client, "PATCH", path, changed)
    assert (shown["url"], shown["headers"]) == (changed["url"], changed["headers"])
    own = await made_by(client, "POST", "/v1/signing-secret/rotate", {})
    theirs = await made_by(client, "POST", f"{path}/secret/rotate", {"overlap_seconds": 3600})
    assert own == (await client.call("GET", "/v1/signing-secret"))[1]
    assert theirs == (await client.call("GET", f"{path}/secret"))[1]
    await made_by(client, "POST", f"{path}/test", {})
    await sink.wait_for(lambda: sink.at("/told-of"))
    assert_signed(sink.at("/told-of")[0], theirs["secret"])
    found = [own["secret"], *own["previous_secrets"], theirs["secret"], *theirs["previous_secrets"]]
    assert len({*found}) == 4
    return found


def assert_signed(call: Arrival, secret: str) -> None:
    """Make sure that *secret* signed *call*, as Standard Webhooks says."""
    text = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), text, "sha256")
    assert f"v1,{base64.b64encode(digest).decode()}" in call.headers["webhook-signature"].split(" ")


async def use_everything(client: Client, sink: Sink) -> list[str]:
    """Make, change, merge, run and deliver with a canary in every sealed field; return the ids of the jobs that end."""
    made = partial(made_by, client)
    soon = {"delay_seconds": 1, "max_retries": 1}
    ids = [(await made("POST", "/v1/jobs", secrets(sink, "echo") | {"redact": ["token"]} | soon))["id"]]
    batch = await made("POST", "/v1/jobs/batch", {"jobs": [secrets(sink, "ok") | soon]})
    ids.append(batch["results"][0]["job"]["id"])
    keyed = secrets(sink, "ok") | {"waiting_key": "k", "on_waiting": "replace"}
    await made("POST", "/v1/jobs", keyed | {"delay_seconds": LATER_S})
    ids.append((await made("POST", "/v1/jobs", keyed | {"delay_seconds": 2}))["id"])
    later = await made("POST", "/v1/jobs", secrets(sink, "ok") | {"delay_seconds": LATER_S, "idempotency_key": "i"})
    await made("PATCH", f"/v1/jobs/{later['id']}", {"headers": {"X-New": CANARY}, "body": CANARY})
    schedule = await made("POST", "/v1/schedules", secrets(sink, "ok") | {"cron": "0 0 1 1 *"})
    await made("PATCH", f"/v1/schedules/{schedule['id']}", {"body": f"new {CANARY}"})
    ids.append((await made("POST", f"/v1/schedules/{schedule['id']}/run", {"body": f"own {CANARY}"}))["id"])
    ids.append((await made("POST", f"/v1/schedules/{schedule['id']}/run", {}))["id"])
    for job_id in ids:
        await client.wait_status(job_id, "success", "failed")
    failed = ids[0]
    ids.append((await made("POST", f"/v1/jobs/{failed}/replay", {}))["id"])
    await client.wait_status(ids[-1], "success", "failed")
    await sink.wait_for(lambda: len(sink.at("/hook")) == len(ids))
    for job_id, attempt in ((failed, 1), (failed, 2), (ids[-1], 1)):  # what was kept of the echo, opened
        _, kept, _ = await client.call("GET", f"/v1/jobs/{job_id}/executions/{attempt}/response")
        assert CANARY not in json.dumps(kept)
        assert (kept["status_code"], kept["redacted"] >= 3) == (500, True), kept
        assert "[redacted]" in kept["head"]
        assert "X-Secret" in kept["head"]
    shown = (await client.call("GET", f"/v1/jobs/{later['id']}"))[1]
    assert CANARY in shown["url"]
    assert CANARY in (await client.call("GET", f"/v1/schedules/{schedule['id']}"))[1]["url"]
    return ids


@pytest.fixture
async def collector() -> AsyncIterator[Sink]:
    """Where spans are sent."""
    async with Sink() as made:
        yield made


@pytest.mark.parametrize("topology", ["split", pytest.param("kafka", marks=pytest.mark.nightly)])
async def test_a_canary_is_found_nowhere_but_where_it_is_sent(
    topology: str, fliq_of: FliqOf, sink: Sink, collector: Sink
) -> None:
    """
    Not in tables, log, log lines at DEBUG, metrics, traces, dumps or process lists, although the target echoes it; and it arrives.

    Nor are signing secrets, which sign all the same.
    """
    tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    fliq = fliq_of(topology, FLIQ_LOG_LEVEL="debug", **tracing)
    dsn = fliq.settings["FLIQ_DATABASE_URL"]
    with fliq:
        async with Client(fliq.url) as client:
            signing = await make_endpoint(client, sink)
            ids = await use_everything(client, sink)
            # The first job failed: its endpoint is told.
            await sink.wait_for(lambda: any(ids[0].encode() in call.body for call in sink.at("/told-of")))
            metrics = await asyncio.to_thread(_metrics, fliq)
            await collector.wait_for(lambda: ids[-1].encode() in _bodies(collector))
        for call in [*sink.arrivals]:
            assert CANARY in call.query + call.body.decode() + str(call.headers)
        assert {call.body for call in sink.of(ids[3])} == {f"own {CANARY}".encode()}
        assert {call.body for call in sink.of(ids[4])} == {f"new {CANARY}".encode()}
        assert all(f"Bearer {CANARY}" in call.headers["X-Secret"] for call in sink.of(ids[0]) if call.path == "/echo")
        assert all(CANARY in call.headers["X-Hook-Secret"] for call in sink.at("/hook"))

        assert all(call.headers["X-Told-Secret"] == f"new {CANARY}" for call in sink.at("/told-of"))
        dump = await command(fliq, "log", "dump", "--show-secrets")
        found = {
            "tables": await rows_of(dsn),
            "log lines": b"".join(process.output.read_bytes() for process in fliq.processes),
            "metrics": metrics,
            "dump": (dump.out + dump.err).encode(),
            "dump of the database": await dump_of(dsn),
            "traces": _bodies(collector),
            "process list": b"".join(path.read_bytes() for path in _command_lines(fliq)),
        }
        assert ids[0].encode() in found["dump"]
        assert ids[0].encode() in found["log lines"]
        assert b"X-Secret" in found["tables"]
        assert b"X-Told-Secret" in found["dump of the database"]
        wanted = [CANARY.encode(), *(secret.removeprefix("whsec_").encode() for secret in signing)]
        wanted += [text.hex().encode() for text in wanted]  # as a dump shows bytes
        assert [(place, each) for place, text in found.items() for each in wanted if each in text] == []
    assert await fold_differences(fliq) == []


def _metrics(fliq: RunningFliq) -> bytes:
    found = b""
    for process in fliq.processes:
        with urllib.request.urlopen(f"{process.admin_url}/metrics", timeout=10) as answer:  # noqa: S310 - loopback
            found += answer.read()
    return found


def _bodies(collector: Sink) -> bytes:
    return b"".join(call.body for call in collector.arrivals)


async def dump_of(dsn: str) -> bytes:
    """Return the text of a dump of the whole database, as backups are made."""
    directory = PostgresBinaries.find(server_user(Path.cwd()), say=lambda _: None).directory
    done = await asyncio.to_thread(
        subprocess.run, [directory / "pg_dump", dsn], capture_output=True, timeout=60, check=True
    )
    return done.stdout


def _command_lines(fliq: RunningFliq) -> list[Path]:
    """Return where the system shows with what the processes were started, to others and to their own user."""
    return [Path(f"/proc/{process.pid}/{name}") for process in fliq.processes for name in ("cmdline", "environ")]
