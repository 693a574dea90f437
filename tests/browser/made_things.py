"""What journeys look at: jobs, schedules, webhook endpoints, and tokens."""

from __future__ import annotations

from typing import Any

from tests.fakes.running.operating import command
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, RunningFliq


async def failed_job(client: Client, sink: Sink) -> dict[str, Any]:
    job = await client.create(f"{sink.url}/status/503", 0.2, body="{}", max_retries=0)
    return await client.wait_status(job["id"], "failed")


async def schedule(client: Client, url: str, **fields: Any) -> dict[str, Any]:
    status, made, _ = await client.call("POST", "/v1/schedules", {"url": url, "cron": "0 8 * * 1-5", **fields})
    assert status == 201, made
    return made  # type: ignore[no-any-return]


async def endpoint(client: Client, url: str, **fields: Any) -> dict[str, Any]:
    status, made, _ = await client.call("POST", "/v1/webhooks/endpoints", {"url": url, **fields})
    assert status == 201, made
    return made  # type: ignore[no-any-return]


async def read_token(client: Client) -> str:
    _, made, _ = await client.call("POST", "/v1/tokens", {"name": "reader", "scopes": ["read"]})
    return str(made["token"])


async def operator_token(fliq: RunningFliq) -> str:
    words = ("tokens", "create", "--account", "default", "--scopes", "read,operator", "--json")
    return str((await command(fliq, *words)).json["token"])
