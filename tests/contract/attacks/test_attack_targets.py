"""
Tables R, V and T through the whole product: hostile targets and addresses, and what the API tells of them.

The egress client is tested row by row in tests/e2e/egress_client; here a running Fliq meets the same, with its allow-list
naming this file's targets only, a proxy and a .netrc in its environment, and an API beside it that lets everything in.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest

from tests.e2e.egress_client.hostile import OK, Connection, Script, answer, target
from tests.fakes.running.sink import Sink
from tests.fakes.running.stalls import Stalls
from tests.fakes.running.topologies import OTHER_TOKEN, Client, FliqOf, RunningFliq, free_port, in_seconds, instant_ms
from tests.fakes.until import until

TIMEOUT_S = 3  # of a call; what a machine that stalls is allowed


class Fenced(NamedTuple):
    """
    A Fliq with a narrow allow-list: 127.0.0.1 at *ports*, but for the fourth, which is a proxy's, and all loopback at the fifth.

    *lenient* is an API of it that lets all of loopback in.
    """

    fliq: RunningFliq
    lenient: str
    ports: list[int]


@pytest.fixture(scope="module")
def fenced(topology: str, fliq_of: FliqOf) -> Iterator[Fenced]:
    ports = [free_port() for _ in range(5)]
    fliq = fliq_of(
        topology,
        FLIQ_EGRESS_ALLOW=",".join([*(f"127.0.0.1/32:{port}" for port in ports[:3]), f"127.0.0.0/8:{ports[4]}"]),
        HTTP_PROXY=f"http://127.0.0.1:{ports[3]}",
        http_proxy=f"http://127.0.0.1:{ports[3]}",
        ALL_PROXY=f"http://127.0.0.1:{ports[3]}",
    )
    fliq.settings["HOME"] = str(fliq.directory)
    (fliq.directory / ".netrc").write_text("machine 127.0.0.1 login c4n4ry password c4n4ry\n")
    (fliq.directory / ".netrc").chmod(0o600)
    with fliq:
        port = free_port()
        lenient = fliq.spawn("api", FLIQ_PORT=str(port), FLIQ_EGRESS_ALLOW="127.0.0.0/8")
        fliq.processes.append(lenient)
        lenient.wait_ready()
        yield Fenced(fliq, f"http://127.0.0.1:{port}", ports)


@pytest.fixture
async def client(fenced: Fenced) -> AsyncIterator[Client]:
    async with Client(fenced.fliq.url) as client:
        yield client


@pytest.fixture
async def lenient(fenced: Fenced) -> AsyncIterator[Client]:
    async with Client(fenced.lenient) as client:
        yield client


async def ended(client: Client, job_id: str, *, timeout_s: float = 15) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the job at its end, and its executions."""
    job = await client.wait_status(job_id, timeout_s=timeout_s)
    return job, (await client.call("GET", f"/v1/jobs/{job_id}/executions"))[1]["executions"]


async def test_a_target_that_is_denied_when_it_fires(fenced: Fenced, lenient: Client, sink: Sink) -> None:
    """R1, R2, R4, R9: accepted but denied at fire time: every attempt fails in the same words, nobody is connected to."""
    closed = free_port()
    jobs = {
        name: await lenient.create(url, 0.2, max_retries=1, webhook_url=f"{sink.url}/hook")
        for name, url in {
            "open port": f"{sink.url}/ok",
            "closed port": f"http://127.0.0.1:{closed}/",
            "name": f"http://localhost:{sink.port}/",
            "other loopback": f"http://127.9.9.9:{sink.port}/",
        }.items()
    }
    for job in jobs.values():
        shown, executions = await ended(lenient, job["id"])
        assert (shown["status"], shown["last_status_code"], shown["last_error"]) == (
            "failed",
            None,
            "destination_not_allowed",
        )
        assert [row["error"] for row in executions] == ["destination_not_allowed"] * 2
        # R8: the webhook of it is judged in the same way.
        hook = await _webhook_finished(lenient, job["id"])
        assert (hook["ok"], hook["error"]) == (False, "destination_not_allowed")
    assert sink.arrivals == []


async def _webhook_finished(client: Client, job_id: str) -> dict[str, Any]:
    """Return the record of the job's webhook, once it is there."""

    async def found() -> list[dict[str, Any]]:
        return [event for event in await _timeline(client, job_id) if event["type"] == "webhook.finished"]

    return (await until(found, within_s=15, saying=lambda: "no webhook was made"))[0]


async def _timeline(client: Client, job_id: str) -> list[dict[str, Any]]:
    _, timeline, _ = await client.call("GET", f"/v1/jobs/{job_id}/events")
    return list(timeline["events"])


async def test_names_that_nobody_knows(client: Client, stalls: Stalls) -> None:
    """R6: a name without an address is a failed attempt with `dns_error`, within 3 s; never a way around the policy."""
    job = await client.create("http://c4n4ry.example.invalid/", 0.2)
    shown, executions = await ended(client, job["id"])
    assert shown["last_error"] in ("dns_error", "timeout")
    assert executions[0]["duration_ms"] < 4_000 + 2 * stalls.longest_ms


async def test_redirects(fenced: Fenced, client: Client) -> None:
    """R5: no redirect is followed, of a call or of a webhook: to another port, a file, itself; it is a failed attempt."""
    first, second = fenced.ports[:2]
    async with _at(second, answer(OK)) as elsewhere, _at(first, _redirecting(second, first)) as there:
        jobs = [
            await client.create(there.url(f"/{status}/{kind}"), 0.2, webhook_url=there.url(f"/{status}/{kind}"))
            for status in (301, 302, 303, 307, 308)
            for kind in ("other", "file", "loop")
        ]
        for job in jobs:
            shown, _ = await ended(client, job["id"])
            status = int(job["url"].split("/")[3])
            assert (shown["status"], shown["last_status_code"]) == ("failed", status)
            assert shown["last_error"] == "redirect_not_followed"
            assert (await _webhook_finished(client, job["id"]))["error"] == "redirect_not_followed"
        assert len(there.requests) == 2 * len(jobs)
        assert elsewhere.connection_count == 0


def _redirecting(other: int, own: int) -> Script:
    async def script(connection: Connection) -> None:
        path = connection.request.split()[1].decode()
        _, status, kind = path.split("/")
        location = {
            "other": f"http://127.0.0.1:{other}/",
            "file": "file:///etc/passwd",
            "loop": f"http://127.0.0.1:{own}{path}",
        }
        await connection.send(
            f"HTTP/1.1 {status} X\r\nLocation: {location[kind]}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    return script


def _at(port: int, script: Script) -> Any:
    return target(script, port=port)


async def test_the_environment_is_ignored(fenced: Fenced, client: Client) -> None:
    """R7: neither a proxy nor a .netrc in the environment of Fliq has a part in its calls."""
    async with _at(fenced.ports[3], answer(OK)) as proxy, _at(fenced.ports[0], answer(OK)) as there:
        job = await client.create(there.url("/x"), 0.2)
        assert (await client.wait_status(job["id"]))["status"] == "success"
        assert proxy.connection_count == 0
        assert b"authorization" not in there.requests[0].lower()


async def _silent(connection: Connection) -> None:
    await connection.until_closed()


async def _reset(connection: Connection) -> None:
    connection.reset()


def _flood(start: bytes, piece: bytes) -> Script:
    async def script(connection: Connection) -> None:
        await connection.send(start)
        for _ in range(100_000):
            await connection.send(piece)

    return script


def _drip(start: bytes, drop: bytes) -> Script:
    async def script(connection: Connection) -> None:
        await connection.send(start)
        for _ in range(200):
            await connection.send(drop)
            await asyncio.sleep(0.02)  # the pace of the drip is the attack itself

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"
# name -> (what the target does, the status shown, the error shown)
HOSTILE: dict[str, tuple[Script, int | None, str | None]] = {
    "V1-silence": (_silent, None, "timeout"),
    "V1-header-drip": (_drip(HEAD + b"X: ", b"a"), None, "timeout"),
    "V1-body-drip": (_drip(HEAD + b"Content-Length: 9999\r\n\r\n", b"a"), 200, "timeout"),
    "V1-103": (_drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), None, "timeout"),
    "V2-endless-body": (_flood(HEAD + b"\r\n", b"a" * 65536), 200, None),
    "V2-bomb": (_flood(HEAD + b"Content-Encoding: gzip\r\n\r\n", b"\x1f\x8b\x08" + b"\0" * 65536), 200, None),
    "V2-header": (answer(HEAD + b"X: " + b"a" * 1_048_576 + b"\r\n\r\n"), None, "protocol_error"),
    "V2-headers": (answer(HEAD + b"X: a\r\n" * 5_000 + b"\r\n"), None, "protocol_error"),
    "V3-garbage": (answer(b"\x00\xff" * 100), None, "protocol_error"),
    "V3-http-0.9": (answer(b"<html>hello</html>"), None, "protocol_error"),
    "V3-length-abc": (answer(HEAD + b"Content-Length: abc\r\n\r\n"), None, "protocol_error"),
    "V3-length-negative": (answer(HEAD + b"Content-Length: -1\r\n\r\n"), None, "protocol_error"),
    "V3-two-lengths": (answer(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), None, "protocol_error"),
    "V3-bad-chunk": (answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 200, "protocol_error"),
    "V3-nul": (answer(HEAD + b"X: a\x00b\r\n\r\n"), None, "protocol_error"),
    "V4-000": (answer(b"HTTP/1.1 000 X\r\n\r\n"), None, "protocol_error"),
    "V4-101": (
        answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        101,
        "HTTP 101",
    ),
    "V4-199": (answer(b"HTTP/1.1 199 X\r\n\r\n"), None, "connection_error"),
    "V4-204": (answer(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"), 204, None),
    "V4-299": (answer(b"HTTP/1.1 299 X\r\nContent-Length: 0\r\n\r\n"), 299, None),
    "V4-999": (answer(b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"), 999, "HTTP 999"),
    "V4-99999": (answer(b"HTTP/1.1 99999 X\r\n\r\n"), None, "protocol_error"),
    "V5-truncated": (answer(HEAD + b"Content-Length: 10\r\n\r\nhello"), 200, "incomplete_answer"),
    "V6-reset": (_reset, None, "connection_error"),
    "V6-closed": (answer(b""), None, "connection_error"),
    "V8-echo": (answer(b"HTTP/1.1 500 c4n4ry\r\nX-Echo: c4n4ry\r\nContent-Length: 6\r\n\r\nc4n4ry"), 500, "HTTP 500"),
}


async def test_hostile_answers(fenced: Fenced, client: Client, stalls: Stalls) -> None:
    """V1 to V6, V8: whatever comes back is one recorded attempt with a status or a reason, and nothing of it is repeated."""

    async def script(connection: Connection) -> None:
        await HOSTILE[connection.request.split()[1].decode().rpartition("/")[2]][0](connection)

    async with _at(fenced.ports[0], script) as there:
        jobs = {
            name: await client.create(
                there.url(f"/{name}"), 0.3, timeout_seconds=TIMEOUT_S, headers={"X-Key": "c4n4ry"}
            )
            for name in HOSTILE
        }
        for name, (_, status, error) in HOSTILE.items():
            job, executions = await ended(client, jobs[name]["id"])
            assert (name, job["last_status_code"], job["last_error"]) == (name, status, error)
            assert job["status"] == ("success" if error is None else "failed")
            assert [(row["status_code"], row["error"]) for row in executions] == [(status, error)]
            assert ("error_detail" in executions[0]) == (error == "protocol_error")  # case 6
            assert executions[0]["duration_ms"] < (TIMEOUT_S + 1) * 1000 + 2 * stalls.longest_ms
            assert "c4n4ry" not in json.dumps([executions, await _timeline(client, jobs[name]["id"])])
        arrived = Counter(request.split()[1].decode() for request in there.requests)
        assert arrived == {f"/{name}": 1 for name in HOSTILE}


async def test_only_what_a_used_connection_lost_is_sent_again(fenced: Fenced, client: Client) -> None:
    """V9: a target gets one request per recorded attempt, whatever the method; a second one only where the execution says so."""
    requests: list[bytes] = []

    async def script(connection: Connection) -> None:
        while connection.request:
            requests.append(connection.request)
            if connection.request.split()[1] == b"/then":
                return
            await connection.send(HEAD + b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
            connection.request = b""
            await connection.read_request()

    async with _at(fenced.ports[0], script) as there:
        for path in ("/first", "/then"):
            jobs = [
                await client.create(there.url(path), 0.2, http_method=method, max_retries=1)
                for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST")
            ]
            made = [each for job in jobs for each in (await ended(client, job["id"]))[1]]
            arrived = [request for request in requests if request.split()[1].decode() == path]
            assert len(made) == len(jobs) * (1 if path == "/first" else 2)
            assert len(arrived) == len(made) + sum("resent" in each for each in made)
            assert path == "/then" or len(arrived) == len(made)


@pytest.mark.parametrize(
    ("status", "value", "low_s", "high_s"),
    [
        ("429", "10", 9, 11),
        ("503", "10", 9, 11),
        ("503", "99999999", 3590, 3601),
        ("429", "Fri, 31 Dec 2100 23:59:59 GMT", 3590, 3601),
        ("429", "Wed, 21 Oct 2015 07:28:00 GMT", 0, 1),
        ("429", "soon\tc4n4ry", 0, 1),
        ("429", "-5", 0, 1),
        ("429", "9" * 60, 3590, 3601),  # case 8
        ("429", "0", 0, 1),  # case 9: as if it were not there
        ("500", "10", 0, 1),
    ],
)
async def test_cases_8_and_9_retry_after(
    fenced: Fenced, client: Client, stalls: Stalls, status: str, value: str, low_s: float, high_s: float
) -> None:
    """V7: Retry-After of a 429 or 503 is honoured up to an hour; anything else is as if it were not there."""
    raw = f"HTTP/1.1 {status} X\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n".encode()
    async with _at(fenced.ports[2], answer(raw)) as there:
        job = await client.create(there.url("/"), 0.1, max_retries=20)
        await client.wait_status(job["id"], "running")

        async def retry_at() -> str | None:
            return (await client.job(job["id"]))["next_attempt_at"]  # type: ignore[no-any-return]

        next_at = await until(retry_at, within_s=15, every_s=0.002)
        _, executions, _ = await client.call("GET", f"/v1/jobs/{job['id']}/executions")
    ran_at = instant_ms(executions["executions"][0]["executed_at"])
    if len(executions["executions"]) == 1:
        waits_s = (instant_ms(next_at) - ran_at) / 1000
        assert low_s <= waits_s <= high_s + 2 * stalls.longest_ms / 1000
    else:
        assert low_s == 0


async def test_nothing_is_carried_from_one_account_to_another(fenced: Fenced, client: Client) -> None:
    """T4: cookies, HSTS and keep-alive that a target sets for one account are not in another's call to the same host."""
    raw = HEAD + b"Set-Cookie: c4n4ry=1; Path=/\r\nStrict-Transport-Security: max-age=999\r\nConnection: keep-alive\r\n"
    async with (
        _at(fenced.ports[0], answer(raw + b"Content-Length: 2\r\n\r\nok")) as there,
        Client(fenced.fliq.url, OTHER_TOKEN) as other,
    ):
        for caller in (client, other, client):
            job = await caller.create(there.url("/"), 0.1, headers={"X-Who": caller.token or ""})
            assert (await caller.wait_status(job["id"]))["status"] == "success"
        assert there.connection_count == 3
        _, second, third = there.requests
        assert b"c4n4ry" not in second + third
        assert (client.token or "").encode() not in second


JOBS_OF_A = 5_000
JOBS_OF_B = 60


@pytest.mark.parametrize("hosts", [1, 500])
async def test_a_noisy_account_does_not_make_another_late(
    fenced: Fenced, client: Client, stalls: Stalls, hosts: int
) -> None:
    """T5: while 5,000 jobs of one account hang on black holes, another account's p99 lateness is at most 2 s."""
    async with (
        target(_silent, host="0.0.0.0", port=fenced.ports[4]) as hole,
        Sink(port=fenced.ports[1]) as sink,
        Client(fenced.fliq.url, OTHER_TOKEN) as other,
    ):
        at = in_seconds(1)
        urls = [hole.url("/", host=f"127.0.{n // 250}.{n % 250 + 1}") for n in range(hosts)]
        for _ in range(JOBS_OF_A // 1000):
            items = [{"url": urls[n % hosts], "scheduled_at": at, "timeout_seconds": 3} for n in range(1000)]
            assert (await client.call("POST", "/v1/jobs/batch", {"jobs": items}))[0] == 200
        started_s = max(time.time(), instant_ms(at) / 1000)
        jobs = [
            await other.create(f"{sink.url}/ok", max(0.2, started_s + 0.3 + n * 0.04 - time.time()))
            for n in range(JOBS_OF_B)
        ]
        await sink.wait_count(JOBS_OF_B)
        busy = hole.connection_count
        late_ms = sorted(sink.of(job["id"])[0].at - instant_ms(job["scheduled_at"]) for job in jobs)
        print(f"{busy} calls hang; lateness p50 {late_ms[30]:.0f} ms, max {late_ms[-1]:.0f} ms")
    assert busy > 0
    assert late_ms[0] >= 0
    assert late_ms[-1] <= 2_000 + 2 * stalls.longest_ms
