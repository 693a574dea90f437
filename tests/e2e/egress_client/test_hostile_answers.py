"""Table V of the attack cases: what comes back may be anything; what we make of it is fixed."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from libs.egress.http1.exchange import BODY_LIMIT, RAW_LIMIT
from tests.e2e.egress_client.hostile import LONG_S, OK, Connection, Script, answer, called, client, request, target
from tests.fakes.running.stalls import Stalls

SHORT_S = 0.3  # the limit of calls that are expected to run into it


async def test_good_answer() -> None:
    """A plain 200 is a success with its status, its duration and the instant it was sent."""
    async with called(answer(OK), path="/hook?x=1") as (outcome, there):
        assert outcome.ok
        assert (outcome.status_code, outcome.error, outcome.is_truncated) == (200, None, False)
        assert outcome.sent_at == 1_775_034_000_000
        assert 0 <= outcome.duration_ms < 5_000
        assert there.requests == [
            f"POST /hook?x=1 HTTP/1.1\r\nHost: 127.0.0.1:{there.port}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
            "Content-Length: 2\r\n\r\n{}".encode()
        ]


async def silent(connection: Connection) -> None:
    """Never answer."""
    await connection.until_closed()


def drip(start: bytes, drop: bytes) -> Script:
    """A script that sends *start*, then *drop* again and again, a little at a time."""

    async def script(connection: Connection) -> None:
        await connection.send(start)
        for _ in range(1_000):
            await connection.send(drop)
            # The pace of the drip is the attack itself; nothing is waited for here.
            await asyncio.sleep(0.02)

    return script


@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param(silent, None, id="silence"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nX: ", b"a"), None, id="drip of a header"),
        pytest.param(drip(b"HTTP/1.1 200 OK\nX: ", b"a"), None, id="drip of an odd header"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"), 200, id="drip of a body"),
        pytest.param(
            drip(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), 503, id="drip of chunks"
        ),
        pytest.param(drip(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), None, id="endless 103"),
    ],
)
async def test_v1_case_7_slow_targets_end_by_the_total(script: Script, status: int | None, stalls: Stalls) -> None:
    """V1: whatever keeps a call waiting is ended by its limit, as `timeout`; the status is kept if it was read."""
    async with called(script, timeout_s=SHORT_S) as (outcome, there):
        assert (outcome.ok, outcome.error) == (False, "timeout")
        assert outcome.status_code == status
        assert 250 <= outcome.duration_ms < 1_500 + 2 * stalls.longest_ms
        await asyncio.wait_for(there.peer_closed.wait(), LONG_S)


def flood(start: bytes, piece: bytes) -> Script:
    """A script that sends *start*, then *piece* as fast as it is taken."""

    async def script(connection: Connection) -> None:
        await connection.send(start)
        for _ in range(100_000):
            await connection.send(piece)

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        pytest.param(flood(HEAD + b"\r\n", b"a" * 65536), None, id="endless body"),
        pytest.param(flood(CHUNKED, b"1\r\na\r\n" * 5_000), None, id="endless small chunks"),
        pytest.param(flood(CHUNKED + b"1;", b"a" * 65536), None, id="endless chunk extension"),
        pytest.param(flood(CHUNKED + b"0\r\nX: ", b"a" * 65536), None, id="endless trailer"),
        pytest.param(flood(HEAD + b"Content-Encoding: gzip\r\n\r\n", b"\x1f\x8b\x08" + b"\0" * 65536), None, id="bomb"),
        pytest.param(flood(HEAD + b"X: ", b"a" * 65536), "protocol_error", id="endless header"),
        pytest.param(flood(HEAD, b"X: a\r\n" * 5_000), "protocol_error", id="endless headers"),
        pytest.param(flood(b"", b"HTTP/1.1 103 Early\r\n\r\n" * 5_000), "protocol_error", id="fast endless 103"),
        pytest.param(answer(HEAD + b"X: " + b"a" * 1_048_576 + b"\r\n\r\n"), "protocol_error", id="1 MiB header"),
        pytest.param(answer(HEAD + b"X: a\r\n" * 5_000 + b"\r\n"), "protocol_error", id="5,000 headers"),
    ],
)
async def test_v2_floods_are_cut(script: Script, error: str | None) -> None:
    """V2: an endless answer is cut at its budget, long before the limit of the call, and costs little memory."""
    async with called(script) as (outcome, there):
        assert outcome.error == error
        assert outcome.ok is (error is None)
        assert outcome.is_truncated is (error is None)
        assert outcome.duration_ms < 5_000
        await asyncio.wait_for(there.peer_closed.wait(), LONG_S)


async def test_v2_memory() -> None:
    """V2: fifty endless bodies at once keep less than 5 MiB of Python memory beyond what they had before."""
    async with target(flood(HEAD + b"\r\n", b"a" * 65536)) as there, client(there) as fliq:
        await fliq.call(request(there.url()), timeout_s=LONG_S)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            outcomes = await asyncio.gather(*(fliq.call(request(there.url()), timeout_s=LONG_S) for _ in range(50)))
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()

        assert all(outcome.ok for outcome in outcomes)
        assert grown < 5 * 1024 * 1024


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x00\x01\x02garbage\r\n\r\n", id="garbage"),
        pytest.param(b"<html>hello</html>", id="HTTP/0.9 body"),
        pytest.param(b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", id="version 0.9"),
        pytest.param(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="version 2.0"),
        pytest.param(b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="RTSP"),
        pytest.param(b"ICE/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="ICE"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="SSH"),
        pytest.param(b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", id="blank lines in front"),
        pytest.param(HEAD + b"Content-Length: abc\r\n\r\n", id="length abc"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", id="length -1"),
        pytest.param(HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", id="length beyond 64 bits"),
        pytest.param(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", id="two lengths"),
        pytest.param(HEAD + b"X: a\x00b\r\n\r\n", id="NUL in a header"),
        pytest.param(HEAD + b"no colon\r\n\r\n", id="no colon"),
        pytest.param(HEAD + b" folded\r\n\r\n", id="folded line"),
        pytest.param(b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n", id="V4 status 000"),
        pytest.param(b"HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n", id="V4 status 99"),
        pytest.param(b"HTTP/1.1 99999 X\r\nContent-Length: 0\r\n\r\n", id="V4 status 99999"),
        pytest.param(b"HTTP/1.1 abc X\r\nContent-Length: 0\r\n\r\n", id="V4 status abc"),
    ],
)
async def test_v3_not_http(raw: bytes) -> None:
    """V3, case 6: what has no safe reading as HTTP/1.x is a `protocol_error` without a status, and says why in a line of ours."""
    async with called(answer(raw, keeps_open=True)) as (outcome, _):
        assert (outcome.ok, outcome.status_code, outcome.error) == (False, None, "protocol_error")
        assert outcome.error_detail
        assert outcome.error_detail.isprintable()
        assert len(outcome.error_detail) <= 100


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(HEAD + b"X-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok", id="case 5 folded line"),
        pytest.param(HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", id="case 6 two equal lengths"),
        pytest.param(
            HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="case 6 length and chunks"
        ),
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", id="case 6 LF"),
        pytest.param(b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\r\n\r\n", id="case 6 LF in chunks"),
        pytest.param(
            HEAD + (b"X-A: " + b"a" * 120 + b"\r\n") * 150 + b"Content-Length: 2\r\n\r\nok", id="case 6 150 headers"
        ),
        pytest.param(b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", id="case 6 HTTP/1.2"),
        pytest.param(HEAD + b"X A: b\r\nContent-Length: 2\r\n\r\nok", id="space in a name"),
        pytest.param(HEAD + b"Content-Length : 2\r\n\r\nok", id="space before the colon"),
        pytest.param(
            b"HTTP/1.1 103 Early\nLink: a\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", id="informational, LF"
        ),
    ],
)
@pytest.mark.parametrize("is_cut", [False, True])
async def test_case_5_6_odd_answers_are_read(raw: bytes, is_cut: bool) -> None:
    """What curl reads is read, however it is cut into packets."""
    async with called(answer(raw, piece=7 if is_cut else None, keeps_open=True)) as (outcome, there):
        assert (outcome.status_code, outcome.error, outcome.error_detail) == (200, None, None)
        assert there.connection_count == 1


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", id="bad chunk size"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n", id="bad chunk end"),
    ],
)
async def test_case_6_a_broken_body_keeps_the_status(raw: bytes) -> None:
    """The head was read; what is broken behind it is a `protocol_error` with its status and its reason."""
    async with called(answer(raw)) as (outcome, _):
        assert (outcome.ok, outcome.status_code, outcome.error) == (False, 200, "protocol_error")
        assert outcome.error_detail


async def test_v3_one_byte_at_a_time() -> None:
    """V3: how an answer is cut into packets changes nothing."""
    async with called(answer(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, piece=1)) as (outcome, _):
        assert (outcome.status_code, outcome.error) == (200, None)


@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        ("204 No Content", 204, None),
        ("299 Fine", 299, None),
        ("101 Switching Protocols", 101, "HTTP 101"),
        ("300 Choices", 300, "redirect_not_followed"),
        ("404 Not Found", 404, "HTTP 404"),
        ("500", 500, "HTTP 500"),
        ("999 Denied", 999, "HTTP 999"),
    ],
)
async def test_v4_statuses(line: str, status: int, error: str | None) -> None:
    """V4: only 200–299 is success; every other status is stored as given. A body behind a 204 or a 101 is ignored."""
    raw = f"HTTP/1.1 {line}\r\nContent-Length: 5\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nhello".encode()
    async with called(answer(raw)) as (outcome, _):
        assert (outcome.status_code, outcome.error, outcome.ok) == (status, error, error is None)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        pytest.param(HEAD + b"Content-Length: 10\r\n\r\n12345", "incomplete_answer", id="5 of 10 bytes"),
        pytest.param(HEAD + b"Content-Length: 100\r\n\r\nabc", "incomplete_answer", id="case 7"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "incomplete_answer", id="no last chunk"
        ),
        pytest.param(HEAD + b"\r\n12345", None, id="ends with the connection"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n12345", None, id="HTTP/1.0"),
        pytest.param(HEAD + b"Content-Length: 5\r\n\r\n12345HTTP/1.1 500 Surplus\r\n\r\n", None, id="surplus"),
    ],
)
async def test_v5_case_7_a_cut_off_answer_fails(raw: bytes, error: str | None) -> None:
    """V5: an answer that ends before its end is `incomplete_answer`, with the status that was read."""
    async with called(answer(raw)) as (outcome, _):
        assert (outcome.status_code, outcome.error, outcome.ok) == (200, error, error is None)


async def reset(connection: Connection) -> None:
    """RST after the request."""
    connection.reset()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(reset, id="RST after the request"),
        pytest.param(answer(b""), id="FIN before the status"),
        pytest.param(answer(b"HTTP/1.1 200 OK\r\nX: a"), id="FIN within the head"),
        pytest.param(answer(b"HTTP/1.1 103 Early Hints\r\n\r\n"), id="FIN after a 103"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST", "HEAD"])
async def test_v6_v9_one_arrival(script: Script, method: str) -> None:
    """V6, V9: a connection that ends without an answer is one failed attempt, and the target saw exactly one request."""
    async with called(script, method=method) as (outcome, there):
        assert (outcome.ok, outcome.status_code, outcome.error) == (False, None, "connection_error")
        assert (there.connection_count, len(there.requests)) == (1, 1)


async def test_v7_retry_after() -> None:
    """V7: a 429 or 503 may ask for a wait, in its final head only."""
    early = b"HTTP/1.1 103 Early\r\nRetry-After: 7\r\n\r\n"
    body = b"\r\nRetry-After: 9\r\n\r\n"
    tail = b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    cases = [
        (b"HTTP/1.1 503 Busy\r\nretry-AFTER: 10\r\n" + tail, 10_000),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: Wed, 01 Apr 2026 09:01:00 GMT\r\n" + tail, 60_000),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 99999999\r\n" + tail, 366 * 86_400_000),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: later\r\n" + tail, None),
        (early + b"HTTP/1.1 503 Busy\r\n" + tail, None),
        (b"HTTP/1.1 500 Broken\r\nRetry-After: 10\r\n" + tail, None),
    ]
    for raw, wait_ms in cases:
        async with called(answer(raw)) as (outcome, _):
            assert outcome.retry_after_ms == wait_ms, raw


async def test_lingering_connection_is_closed(stalls: Stalls) -> None:
    """A target that never closes loses its connection within the time to linger; the call does not wait for that."""
    async with called(answer(OK, keeps_open=True)) as (outcome, there):
        assert outcome.duration_ms < 900 + 2 * stalls.longest_ms
        assert stalls.longest_ms > 500 or not there.peer_closed.is_set()
        await asyncio.wait_for(there.peer_closed.wait(), LONG_S)


async def test_answer_to_head_has_no_body() -> None:
    """The length in an answer to HEAD is not waited for."""
    raw = HEAD + b"Content-Length: 1000\r\n\r\n"
    async with called(answer(raw, keeps_open=True), method="HEAD", body=None) as (outcome, _):
        assert (outcome.ok, outcome.is_truncated) == (True, False)


async def test_body_at_the_limit_is_read_whole() -> None:
    """A body of exactly the limit is complete; one byte more is cut."""
    for size, is_truncated in ((BODY_LIMIT, False), (BODY_LIMIT + 1, True)):
        raw = HEAD + f"Content-Length: {size}\r\n\r\n".encode() + b"a" * size
        async with called(answer(raw)) as (outcome, _):
            assert (outcome.ok, outcome.is_truncated) == (True, is_truncated)
    assert RAW_LIMIT > 2 * BODY_LIMIT


async def test_answer_before_the_request_was_read() -> None:
    """A large request and a target that answers at once without reading it all: the answer counts."""
    body = b"x" * 262_144

    async def script(connection: Connection) -> None:
        assert connection.request.endswith(body)
        await connection.send(OK)

    async with called(script, body=body) as (outcome, _):
        assert outcome.ok
