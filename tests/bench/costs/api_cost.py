"""
What a request costs the API process, beyond what aiohttp costs anybody.

    python tests/bench/costs/api_cost.py

A log that answers at once and tokens that are remembered: what is measured is auth, parsing, validation, encoding and answering.
Server and client run in separate processes; the figure is the server's CPU time per request. Never part of a test run.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import uvloop
from aiohttp import web

from libs.egress.url_rules import EgressPolicy
from libs.events import Envelope
from libs.runtime.clock import SystemClock, SystemEntropy
from libs.store.control.accounts import Token
from services.api.contract import validation
from services.api.contract.field_table import Rules
from services.api.contract.json_body import parse
from services.api.contract.token_text import new_token
from services.api.handlers.job_creation import _body, _scheduled
from services.api.service import ApiService, Ports
from services.api.state.minting import Mint

TOKEN = new_token(SystemEntropy().entropy)
JOB = {
    "url": "https://yourapp.com/api/charge",
    "http_method": "POST",
    "scheduled_at": "2032-04-01T09:00:00Z",
    "headers": {"Content-Type": "application/json", "Authorization": "Bearer abcdefgh", "X-Request": "1234567"},
    "body": json.dumps({"customer": "cus_1234567890", "amount": 1999, "currency": "eur", "note": "x" * 100}),
    "max_retries": 3,
}
REQUESTS = 8000
CONNECTIONS = 32
ROUNDS = 5


class InstantLog:
    """Takes everything at once."""

    async def partitions(self) -> int:
        return 4

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        return 0

    async def end(self, partition: int) -> int:
        return 0


class Everyone:
    """Knows one token."""

    async def find(self, token_hash: bytes) -> Token:
        return Token("tok_1", "default", "bench", frozenset({"read", "write"}), "1234", 0)


class Nowhere:
    """Has no positions."""

    def known(self, partition: int) -> int:
        return -1


async def _fliq() -> int:
    nothing: Any = None
    log: Any = InstantLog()
    tokens: Any = Everyone()
    progress: Any = Nowhere()
    ports = Ports(
        log=log,
        queries=nothing,
        keys=nothing,
        accounts=tokens,
        progress=progress,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        check_url=EgressPolicy.parse(None).check_url,
        pepper=b"pepper",
        cursor_key=b"cursor",
    )
    service = ApiService(ports, host="127.0.0.1", port=0)
    await service.start()
    return service.port


async def _bare() -> int:
    async def create(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=201, body=b"{}" * 120, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/jobs", create)
    app.router.add_post("/v1/jobs/batch", create)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port: int = runner.addresses[0][1]
    return port


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _serve(kind: str, pipe: Connection) -> None:
    async def run() -> None:
        pipe.send(await (_fliq() if kind == "fliq" else _bare()))
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, pipe.recv):
            pipe.send(_cpu_s())

    uvloop.run(run())


async def _load(port: int, path: str, body: bytes, count: int) -> float:
    """Post *body* *count* times over keep-alive connections with a client that costs little; return the seconds."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // CONNECTIONS):
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer[9:12] in (b"201", b"200"), answer
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()
        await writer.wait_closed()

    began = time.perf_counter()
    await asyncio.gather(*[one() for _ in range(CONNECTIONS)])
    return time.perf_counter() - began


def _measure(kind: str, path: str, body: bytes, count: int) -> tuple[float, float]:
    """Return the server's CPU microseconds per request and the requests per second."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(kind, theirs), daemon=True)
    process.start()
    port = ours.recv()
    uvloop.run(_load(port, path, body, count // 8))
    ours.send(True)
    before = ours.recv()
    seconds = uvloop.run(_load(port, path, body, count))
    ours.send(True)
    cpu = ours.recv() - before
    ours.send(False)
    process.join(5)
    return cpu / count * 1e6, count / seconds


def _pure() -> tuple[float, float]:
    """Return microseconds per job of parse, validate, mint, encode and present: single, and in a batch of 100."""
    rules = Rules(EgressPolicy.parse(None).check_url)
    mint = Mint(SystemEntropy(), partition_count=4)
    single = json.dumps(JOB).encode()
    batch = json.dumps({"jobs": [JOB] * 100}).encode()
    now = SystemClock().now()

    def one(item: Any) -> Any:
        job = validation.job_request(item, rules)
        validation.check_schedulable(job.fire_at, now)
        job_id = mint.job_id(now, 1)
        _scheduled(job, job_id, "default", now)
        return _body(job, job_id, now)

    began = time.perf_counter()
    for _ in range(5000):
        one(parse(single))
    alone = (time.perf_counter() - began) / 5000
    began = time.perf_counter()
    for _ in range(50):
        for item in validation.batch_items(parse(batch)):
            one(item)
    return alone * 1e6, (time.perf_counter() - began) / 5000 * 1e6


def main() -> None:
    """Print the figures: medians of alternating rounds."""
    multiprocessing.set_start_method("spawn")
    single = json.dumps(JOB).encode()
    batch = json.dumps({"jobs": [JOB] * 100}).encode()
    alone, in_batch = _pure()
    print(f"parse+validate+encode+present   {alone:6.1f} us alone, {in_batch:6.1f} us in a batch of 100")
    runs: dict[str, list[tuple[float, float]]] = {"bare": [], "fliq": [], "batch": []}
    for _ in range(ROUNDS):
        runs["bare"].append(_measure("bare", "/v1/jobs", single, REQUESTS))
        runs["fliq"].append(_measure("fliq", "/v1/jobs", single, REQUESTS))
        runs["batch"].append(_measure("fliq", "/v1/jobs/batch", batch, REQUESTS // 50))
    for name, figures in runs.items():
        cpu = statistics.median(cpu for cpu, _ in figures)
        rate = statistics.median(rate for _, rate in figures)
        print(f"{name:6} {cpu:8.1f} us CPU per request, {rate:8.0f} requests/s")


if __name__ == "__main__":
    main()
