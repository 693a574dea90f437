"""The protocol's edge (table P, B18): whatever arrives, the answer has the contract's shape, and slow peers are cut off."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
import structlog

from services.api.http import connection as connections
from services.api.http import request_body, server
from services.api.service import ApiService
from tests.contract.harness import Harness
from tests.contract.raw import RawConnection, exchange
from tests.fakes.running.topologies import Client, in_seconds

HEAD = b"Host: fliq\r\n"
WITHIN_S = 15.0  # what takes half a second, on a machine that stalls


def post(token: str, body: bytes, *headers: str, path: str = "/v1/jobs") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: fliq", f"Authorization: Bearer {token}", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"GARBAGE\r\n\r\n", 400, "invalid_request"),
        (b"GET /v1/jobs HTTP/1.1\r\n\r\n", 400, "invalid_request"),  # P6: no Host
        (b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "invalid_request"),  # P5
        (
            b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "invalid_request",
        ),
        (
            b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            400,
            "invalid_request",
        ),
        (b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n", 400, "invalid_request"),
        (b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400, "invalid_request"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"),  # P7
        (b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431, "headers_too_large"),
        (
            b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + b"x" * 1_000_000 + b"\r\n\r\n",
            431,
            "headers_too_large",
        ),
        (b"GET /v1/jobs HTTP/1.1\r\n" + HEAD + b"X: 1\r\n" * 129 + b"\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not_found"),
        (b"GET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not_found"),
        (b"GET /v1/jobs/ HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not_found"),
        (b"GET /v2/jobs HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not_found"),
        (b"GET /v1/%6aobs HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not_found"),
        (b"GET /v1/jobs/a/b/c HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not_found"),
        (b"GET /v1/\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_request"),
        (b"CONNECT fliq:443 HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not_found"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not_found"),
        (b"PUT /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405, "method_not_allowed"),
        (b"BREW /v1/jobs HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_request"),
        (b"GET /v1/jobs HTTP/2.0\r\nHost: a\r\n\r\n", 400, "invalid_request"),
        (b"GET /v1/jobs HTTP/0.9\r\nHost: a\r\n\r\n", 400, "invalid_request"),
    ],
)
async def test_refused_in_shape(service: ApiService, request_bytes: bytes, status: int, code: str) -> None:
    """What the HTTP parser or the router refuses is answered as JSON, and a broken connection is closed (P4 to P7)."""
    answer = await exchange(service.port, request_bytes)

    assert (answer.status, answer.code) == (status, code)
    assert set(answer.body) == {"error"}
    assert set(answer.body["error"]) == {"code", "message"}
    assert answer.headers["content-type"] == "application/json"
    if status in (400, 414, 431):
        assert answer.closed


async def test_secrets_do_not_come_back(service: ApiService) -> None:
    """An answer to a malformed request does not quote it."""
    answer = await exchange(
        service.port, b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer canary\x00\r\n\r\n"
    )

    assert "canary" not in json.dumps(answer.body)


async def test_allow(api: Client) -> None:
    """A 405 lists the methods that the route knows."""
    status, _, headers = await api.call("PATCH", "/v1/jobs")
    assert (status, headers["Allow"]) == (405, "GET, HEAD, POST")
    status, _, headers = await api.call("DELETE", "/v1/jobs/batch")
    assert (status, headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "path", ["/v1/jobs/%00", "/v1/jobs/%ff", "/v1/jobs/job_%30" + "0" * 25, "/v1/schedules/..%2f", "/v1/tokens/'"]
)
async def test_odd_ids(harness: Harness, service: ApiService, path: str) -> None:
    """Odd bytes in an id are a missing id, never a 500 (P7, B9)."""
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {harness.token()}\r\n\r\n".encode()

    assert (await exchange(service.port, request)).status in (404, 405)


async def test_bodies(harness: Harness, service: ApiService) -> None:
    """Type, coding, size and shape of a body are judged in the error shape (B18)."""
    token = harness.token()
    job = json.dumps({"url": "https://example.com/", "scheduled_at": in_seconds(60)}).encode()
    long = b'{"url":"' + b"x" * request_body.BODY_MAX + b'"}'
    for data, status, code in (
        (post(token, b""), 400, "invalid_json"),
        (post(token, b"[]"), 400, "invalid_json"),
        (post(token, job, "Content-Type: text/plain"), 400, "invalid_content_type"),
        (post(token, job, "Content-Type: application/json; charset=latin-1"), 400, "invalid_content_type"),
        (post(token, gzip.compress(job), "Content-Encoding: gzip"), 400, "invalid_content_type"),
        (post(token, job, "Content-Encoding: identity, gzip"), 400, "invalid_content_type"),
        (post(token, job, "Content-Encoding: identity", "Content-Encoding: gzip"), 400, "invalid_content_type"),
        (post(token, b'{"a":[' + b"[]," * 100_000 + b"[]]}"), 400, "invalid_json"),
        (post(token, b"0\r\n\r\n", "Transfer-Encoding: gzip, chunked"), 400, "invalid_content_type"),
        (post(token, long), 413, "payload_too_large"),
        (post(token, b"5\r\nhello\r\nzz\r\n", "Transfer-Encoding: chunked"), 400, "invalid_request"),
    ):
        answer = await exchange(service.port, data)
        assert (answer.status, answer.code) == (status, code)
    for header in (
        "Content-Type: application/json",
        "Content-Type: Application/JSON; charset=UTF-8",
        "Content-Type: application/x-www-form-urlencoded",  # curl -d says so by itself
        "X: 1",
    ):
        assert (await exchange(service.port, post(token, job, header))).status == 201


@pytest.mark.parametrize("origin", ["http://fliq", "HTTPS://fliq:8080", "http://u:p@[::1]:1"])
async def test_absolute_form(service: ApiService, origin: str) -> None:
    """A request target in absolute form means its path, as RFC 9112 §3.2.2 demands of every server."""
    for path, status in (
        ("/v1/openapi.json", 200),
        ("/v1/openapi.json?x", 400),
        ("/v1/jobs?url=http://a/", 401),
        ("/v2", 404),
        ("", 404),
        ("?a/v1/jobs", 404),
    ):
        answer = await exchange(service.port, f"GET {origin}{path} HTTP/1.1\r\nHost: fliq\r\n\r\n".encode())
        assert (path, answer.status) == (path, status)


async def test_chunked_and_expect(harness: Harness, service: ApiService) -> None:
    """A chunked body is read to its end, and `Expect: 100-continue` is answered before the body is sent."""
    token = harness.token()
    job = json.dumps({"url": "https://example.com/", "scheduled_at": in_seconds(60)}).encode()
    chunks = b"".join(f"{len(job[i : i + 9]):x}\r\n".encode() + job[i : i + 9] + b"\r\n" for i in range(0, len(job), 9))
    answer = await exchange(service.port, post(token, chunks + b"0\r\n\r\n", "Transfer-Encoding: chunked"))
    assert answer.status == 201

    connection = await RawConnection.open(service.port)
    head = post(token, b"", "Expect: 100-continue", f"Content-Length: {len(job)}")
    connection.send(head)
    assert (await connection.reader.readline()).startswith(b"HTTP/1.1 100 ")
    await connection.reader.readline()
    connection.send(job)
    assert (await connection.answer()).status == 201
    await connection.close()


async def test_endless_chunks(harness: Harness, service: ApiService) -> None:
    """A chunked body without end is refused once it is too long, and the connection closed."""
    connection = await RawConnection.open(service.port)
    connection.send(post(harness.token(), b"", "Transfer-Encoding: chunked"))
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    for _ in range(17):
        connection.send(chunk)

    answer = await connection.answer()
    assert (answer.status, answer.code, answer.closed) == (413, "payload_too_large", True)
    await connection.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of tenths of seconds instead of seconds."""
    monkeypatch.setattr(connections, "HEADER_READ_S", 0.4)
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    monkeypatch.setattr(server, "SWEEP_S", 0.05)
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.5)
    monkeypatch.setattr(server, "LINGER_S", 0.2)
    assert request_body.read_json_body.__kwdefaults__ is not None
    monkeypatch.setitem(request_body.read_json_body.__kwdefaults__, "timeout_s", 0.3)


@pytest.mark.parametrize("beginning", [b"", b"GET /v1/jobs HT", b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\n"])
async def test_silence(hasty: None, service: ApiService, beginning: bytes) -> None:
    """A connection that brings no whole header in time is closed (P1, P2)."""
    connection = await RawConnection.open(service.port)
    connection.send(beginning)

    assert await connection.ended(timeout_s=WITHIN_S)
    await connection.close()


async def test_half_a_body(hasty: None, harness: Harness, service: ApiService) -> None:
    """A body that does not come is answered 408 in time, and the connection closed (P3)."""
    answer = await exchange(service.port, post(harness.token(), b'{"url"', "Content-Length: 500"))

    assert (answer.status, answer.code, answer.closed) == (408, "request_timeout", True)


async def test_hanging_up_is_no_fault(harness: Harness, service: ApiService) -> None:
    """A peer that hangs up in the middle of its body leaves no error in the log."""
    answered = asyncio.Event()

    def observe(_route: str, _method: str, _status: int, _seconds: float) -> None:
        answered.set()

    replica = await harness.replica(observe=observe)
    with structlog.testing.capture_logs() as lines:
        connection = await RawConnection.open(replica.port)
        connection.send(post(harness.token(), b'{"url"', "Content-Length: 500"))
        await connection.writer.drain()
        await connection.close()
        await asyncio.wait_for(answered.wait(), 5)
    assert [line for line in lines if line["log_level"] in ("error", "warning")] == []


async def test_slow_header_behind_a_request(hasty: None, service: ApiService) -> None:
    """The bound on headers holds for later requests of a connection too, and idling ends it in the end."""
    for follow in (b"GET /v1/jobs HT", b""):
        connection = await RawConnection.open(service.port)
        connection.send(b"GET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await connection.answer()).status == 404
        connection.send(follow)
        assert await connection.ended(timeout_s=WITHIN_S)
        await connection.close()


async def test_idle_connections_do_not_slow_others(api: Client, service: ApiService) -> None:
    """500 silent connections leave a normal call as it is (P1)."""
    idle = await asyncio.gather(*[RawConnection.open(service.port) for _ in range(500)])
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(5):  # one that met a stall of the machine says nothing
        began_at = loop.time()
        await api.create("https://example.com/", 60)
        took.append(loop.time() - began_at)

    assert sorted(took)[2] < 0.5
    await asyncio.gather(*[connection.close() for connection in idle])


async def test_pipelined(service: ApiService) -> None:
    """Pipelined requests are answered one by one, in order (P8)."""
    connection = await RawConnection.open(service.port)
    connection.send(b"GET /v1/a HTTP/1.1\r\nHost: a\r\n\r\nPUT /v1/jobs HTTP/1.1\r\nHost: a\r\n\r\n" * 500)

    for _ in range(500):
        assert (await connection.answer()).status == 404
        assert (await connection.answer()).status == 405
    await connection.close()


async def test_too_many_connections(harness: Harness) -> None:
    """If a request is under way on every connection, one more is told 503 and closed; when one ends there is room again."""
    service = await harness.replica(connections_max=2)
    taken = [await RawConnection.open(service.port) for _ in range(2)]
    for connection in taken:
        connection.send(post(harness.token(), b"{", "Content-Length: 2", "Expect: 100-continue"))
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"

    third = await RawConnection.open(service.port)
    answer = await third.answer()
    assert (answer.status, answer.code, answer.closed) == (503, "unavailable", True)
    assert answer.headers["retry-after"] == "1"
    await third.close()
    for connection in taken:
        await connection.close()
    while (await exchange(service.port, b"GET /v1/a HTTP/1.1\r\nHost: a\r\n\r\n")).status == 503:
        pass


async def test_head_and_versions(harness: Harness, service: ApiService) -> None:
    """HEAD is answered as GET without a body; HTTP/1.0 closes unless asked to keep alive; Date is there."""
    connection = await RawConnection.open(service.port)
    connection.send(f"HEAD /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {harness.token()}\r\n\r\n".encode())
    answer = await connection.answer(has_body=False)
    assert answer.status == 200
    assert int(answer.headers["content-length"]) > 0
    assert answer.headers["date"].endswith("GMT")
    connection.send(b"GET /v1/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (await connection.answer()).headers["connection"] == "keep-alive"
    connection.send(b"GET /v1/a HTTP/1.0\r\n\r\n")
    assert (await connection.answer()).closed
    await connection.close()
