"""
The bare ones: what aiohttp alone does on this machine, to hold Fliq's figures against.

    serve   a handler that parses and validates a job with Fliq's own validation, answers 201, and keeps nothing
    call    a client that makes calls to a URL, as many at once as it is told, on connections that are used again, as Fliq's are
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from libs.egress.url_rules import EgressPolicy
from services.api.contract import requests
from services.api.contract.field import Rules
from services.api.contract.json_body import parse
from tests.bench.child import serve

_rules = Rules(EgressPolicy.parse("127.0.0.0/8").check_url)


async def _create(request: web.Request) -> web.Response:
    wanted = requests.job_request(parse(await request.read()), _rules)
    now = int(time.time() * 1000)
    requests.check_schedulable(wanted, now)
    body = {
        "id": "job_00000000000000000000000000",
        "url": wanted.spec.url,
        "http_method": wanted.spec.method,
        "scheduled_at": "2032-04-01T09:00:00Z",
        "max_retries": wanted.max_retries,
        "status": "scheduled",
        "created_at": "2026-04-01T09:00:00Z",
    }
    return web.Response(status=201, body=orjson.dumps(body), content_type="application/json")


def handler() -> web.Application:
    """Return the bare handler of creates."""
    app = web.Application()
    app.router.add_post("/v1/jobs", _create)
    return app


async def answer(request: dict[str, Any]) -> dict[str, Any]:
    what = request.pop("do")
    match what:
        case "serve":
            runner = web.AppRunner(handler(), access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return {"port": runner.addresses[0][1]}
        case "call":
            return await _call(**request)
        case _:
            raise ValueError(f"no bare one can {what}")


async def _call(*, url: str, count: int, concurrency: int) -> dict[str, Any]:
    """POST *count* small bodies to `url/<now>/<number>` with *concurrency* under way at once."""
    now = int(time.time() * 1000)
    numbers = iter(range(count))
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def some() -> None:
            for number in numbers:
                async with session.post(f"{url}/{now}/{number}", data=b"x" * 150) as reply:
                    await reply.read()
                    assert reply.status == 200

        began_s = time.perf_counter()
        await asyncio.gather(*[some() for _ in range(concurrency)])
        return {"per_s": count / (time.perf_counter() - began_s)}


if __name__ == "__main__":
    serve(answer)
