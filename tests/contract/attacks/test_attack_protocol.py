"""
The protocol's edge on a running Fliq: seeded nonsense, floods, and peers that are slow, silent or greedy.

What each case is answered is tested in test_protocol.py; here it is shown that nothing of it costs others anything.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.contract.raw import RawConnection
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import Client, RunningFliq

Shared = tuple[RunningFliq, Iterator[int]]
MIB = 1024 * 1024
REQUESTS = int(os.environ.get("FLIQ_TEST_EXAMPLES", "20")) * 40

PATHS = [
    *(
        "/v1/jobs",
        "/v1/jobs?limit=1",
        "/v1/jobs/batch",
        "/v1/schedules",
        "/v1/tokens",
        "/v1/signing-secret",
        "/v1/openapi.json",
    ),
    *(f"/v1/jobs/job_{'0' * 26}{part}" for part in ("", "/executions", "/events", "/replay")),
    *(f"/v1/schedules/sched_{'0' * 26}{part}" for part in ("", "/pause", "/resume", "/jobs")),
]
BODIES = [
    {"url": "https://e.example/x", "scheduled_at": "2031-01-01T00:00:00Z", "idempotency_key": "k"},
    {"url": "https://e.example/", "cron": "0 8 * * *"},
    {"jobs": [{"url": "https://e.example/x", "scheduled_at": "2031-01-01T00:00:00Z"}]},
    {"name": "x", "scopes": ["read"]},
    *([], {}, None),
]
HEADERS = [
    *(b"", b"Idempotency-Key: k\r\n", b"Content-Type: application/json\r\n", b"Expect: 100-continue\r\n"),
    *(b"Content-Encoding: gzip\r\n", b"traceparent: 00-aa-bb-01\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
]
INSERTS = [
    *(
        b"\r\n",
        b"\x00",
        b"%00",
        b"\xff\xfe",
        b" ",
        b"\t",
        b":",
        b"?",
        b"#",
        b"&&",
        b"\\ud800",
        b'"',
        b"{",
        b"[",
        b"\n\n",
    ),
    *(b"9" * 30, b"A" * 9000, b"\r\nX: y", b"/../", b"%2f", b"//", b"-1", b"1e999"),
]


def requests(draw: random.Random, token: str) -> Iterator[bytes]:
    """Yield valid requests, bent in up to eight places: bytes changed, cut, doubled, put in, or another request behind."""
    while True:
        bent = bytearray(_valid(draw, token))
        for _ in range(draw.choice([0, 1, 1, 1, 2, 3, 8])):
            at = draw.randrange(len(bent) + 1)
            match draw.randrange(6):
                case 0:
                    bent[at : at + 1] = draw.randbytes(1)
                case 1:
                    del bent[at : at + draw.randrange(1, 20)]
                case 2:
                    bent[at:at] = draw.choice(INSERTS)
                case 3:
                    bent[at:at] = bent[max(0, at - draw.randrange(300)) : at]
                case 4:
                    del bent[at:]
                case _:
                    bent += _valid(draw, token)
        yield bytes(bent)


def _valid(draw: random.Random, token: str) -> bytes:
    method = draw.choice(["GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS"])
    head = (
        f"{method} {draw.choice(PATHS)} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n".encode()
        + draw.choice(HEADERS)
    )
    body = b"" if method in ("GET", "HEAD") else json.dumps(draw.choice(BODIES)).encode()
    if body and draw.random() < 0.3:
        step = draw.randrange(1, 9)
        chunks = [
            b"%x\r\n%b\r\n" % (len(body[at : at + step]), body[at : at + step]) for at in range(0, len(body), step)
        ]
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n"
    return head + (f"Content-Length: {len(body)}\r\n\r\n".encode() if body else b"\r\n") + body


async def test_nonsense(contract_fliq: Shared, strict_token: str) -> None:
    """P4 to P7, B18: hundreds of bent requests, in pieces and pipelined, get no 5xx, and every refusal has the contract's shape."""
    fliq, _ = contract_fliq
    made = requests(random.Random(5), strict_token)
    seen: Counter[bytes] = Counter()
    slots = asyncio.Semaphore(160)

    async def one(data: bytes) -> None:
        async with slots:
            for part in (await _talk(fliq.port, data)).split(b"HTTP/1.1 ")[1:]:
                head, _, body = part.partition(b"\r\n\r\n")
                seen[part[:3]] += 1
                assert part[:1] != b"5", (part[:300], data)
                if part[:1] == b"4" and b"HEAD" not in data:
                    error = json.loads(body)["error"]
                    assert (set(error), b"Content-Type: application/json" in head) == ({"code", "message"}, True)

    await asyncio.gather(*[one(next(made)) for _ in range(REQUESTS)])
    print(dict(seen))
    assert {b"200", b"201", b"400", b"404", b"405"} <= set(seen)


async def _talk(port: int, data: bytes) -> bytes:
    """Send *data* in pieces; return what came until the server closed or was silent, as it is when it waits for more."""
    connection = await RawConnection.open(port)
    received = b""
    try:
        for at in range(0, len(data), 700):
            connection.send(data[at : at + 700])
            await asyncio.sleep(0)
        while True:
            async with asyncio.timeout(1.0):
                piece = await connection.reader.read(65536)
            if not piece:
                break
            received += piece
    except (TimeoutError, ConnectionError):
        pass  # silence: the request has no end; a reset: the server refused the rest
    await connection.close()
    return received


def _memory(fliq: RunningFliq) -> int:
    """Return the resident bytes of the process with the API."""
    return int(Path(f"/proc/{fliq.processes[0].pid}/statm").read_text().split()[1]) * 4096


FLOOD = 10_000
GET_NOTHING = b"GET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_ten_thousand_pipelined(contract_fliq: Shared, running: Client, stalls: Stalls) -> None:
    """P8: 10,000 pipelined requests that nobody reads the answers of cost little memory; others are served meanwhile."""
    fliq, _ = contract_fliq
    before = _memory(fliq)
    flood = await RawConnection.open(fliq.port)
    flood.send(GET_NOTHING * FLOOD)
    began_at = time.monotonic()
    for _ in range(20):
        assert (await running.call("GET", "/v1/tokens"))[0] == 200
    assert time.monotonic() - began_at < 5 + 2 * stalls.longest_ms / 1000
    assert _memory(fliq) - before < 32 * MIB
    answered = b""
    async with asyncio.timeout(30):
        while answered.count(b"HTTP/1.1 404") < FLOOD:
            answered += await flood.reader.read(MIB)
    await flood.close()


FLOODED = [
    b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",  # without a token
    b"POST /v1/nothing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /v1/nothing HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
]


async def test_floods_are_cut_off(contract_fliq: Shared, running: Client) -> None:
    """B18, P3: who goes on sending after a refusal, or a chunk's extension for ever, is cut off in seconds; nothing is kept."""
    fliq, _ = contract_fliq
    before = _memory(fliq)
    post = f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {running.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    heads = [*FLOODED, post.encode() + b"2;"]
    assert await asyncio.gather(*[_is_cut_off(fliq.port, head) for head in heads]) == [True] * len(heads)
    assert _memory(fliq) - before < 32 * MIB


async def _is_cut_off(port: int, head: bytes) -> bool:
    connection = await RawConnection.open(port)
    connection.send(head)
    began_at = time.monotonic()
    try:
        while time.monotonic() - began_at < 20:
            connection.send(b"x" * 65_536 if head.endswith(b";") else b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await connection.writer.drain()
    except ConnectionError:
        return True
    finally:
        await connection.close()
    return False


async def test_slow_crowds(contract_fliq: Shared, running: Client, stalls: Stalls) -> None:
    """P1 to P3: 500 connections that are silent, or stop within a header or a body, do not slow a normal call."""
    fliq, _ = contract_fliq
    beginnings = [
        b"",
        b"GET /v1/jobs HT",
        b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\n",
        f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {running.token}\r\nContent-Length: 50\r\n\r\n{{".encode(),
    ]
    opened_at = time.monotonic()
    crowd = await asyncio.gather(*[RawConnection.open(fliq.port) for _ in range(500)])
    for number, connection in enumerate(crowd):
        connection.send(beginnings[number % len(beginnings)])
    took = []
    for _ in range(20):
        began_at = time.monotonic()
        await running.create("https://example.com/", 3600)
        took.append(time.monotonic() - began_at)
    assert sorted(took)[10] < 0.5
    # The header's bound is 5 s: the silent ones are gone by then.
    for connection in crowd[:2]:
        assert await connection.ended(timeout_s=30)
    assert time.monotonic() - opened_at < 8 + 2 * stalls.longest_ms / 1000
    await asyncio.gather(*[connection.close() for connection in crowd])
