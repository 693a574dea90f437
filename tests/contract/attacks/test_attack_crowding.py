"""Crowds: callers that hold connections, bodies or answers leave room for others; nothing that they hold adds up."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from libs.events.ids import new_job_id, new_schedule_id
from libs.following.account_turns import asking
from services.api.http.request_turns import CHANGES_AT_ONCE, LISTS_AT_ONCE
from services.api.service import ApiService
from tests.contract.harness import Harness
from tests.contract.raw import RawConnection, exchange
from tests.fakes.control.stream_facts import FakeStreamTables
from tests.fakes.running.topologies import Client, in_seconds
from tests.fakes.until import until

MIB = 1 << 20


def get(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def post(token: str, body: bytes, *, length: int | None = None) -> bytes:
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def held(service: ApiService) -> tuple[int, int]:
    """Return the bytes of requests and of answers that count at the moment."""
    assert service.server is not None
    budget = service.server.budget
    return budget.received.held, budget.unread.held


async def test_idle_connections_make_room(harness: Harness) -> None:
    """When no more connections are taken, the longest idle one is closed for a new one; one that is used meanwhile stays."""
    service = await harness.replica(connections_max=20)
    token = harness.token()
    silent = [await RawConnection.open(service.port) for _ in range(10)]
    used = await RawConnection.open(service.port)
    for _ in range(50):
        used.send(get("/v1/jobs", token))
        assert (await used.answer()).status == 200
        silent.append(await RawConnection.open(service.port))
    assert await silent[0].ended(timeout_s=15)
    assert (await exchange(service.port, get("/v1/jobs", token))).status == 200
    for connection in (*silent, used):
        await connection.close()
    await harness.no_connections(service)


async def test_bodies_without_their_last_byte(harness: Harness) -> None:
    """They hold no more than the limit over all connections; the oldest are told 503 and closed, and a whole body is taken."""
    service = await harness.replica(received_max=2 * MIB)
    token = harness.token()
    crowd = [await RawConnection.open(service.port) for _ in range(12)]
    for connection in crowd:
        connection.send(post(token, b" " * (MIB - 1), length=MIB))
        try:
            await connection.writer.drain()
        except ConnectionError:
            pass  # cut off already
        assert held(service)[0] <= 2 * MIB
    job = f'{{"url": "https://example.com/", "scheduled_at": "{in_seconds(60)}"}}'.encode()
    assert (await exchange(service.port, post(token, job.ljust(MIB // 2)))).status == 201
    assert await crowd[0].cut_off()
    for connection in crowd:
        await connection.close()
    await harness.no_connections(service)

    assert held(service) == (0, 0)


async def test_answers_that_nobody_reads(harness: Harness) -> None:
    """They hold no more than the limit over all connections; the oldest are closed, and a caller that reads gets its answer."""
    service = await harness.replica(unread_max=MIB)
    token = harness.token()
    body = "x" * 262_144
    made = await exchange(
        service.port,
        post(token, f'{{"url": "https://e.com/", "scheduled_at": "{in_seconds(600)}", "body": "{body}"}}'.encode()),
    )
    path = f"/v1/jobs/{made.body['id']}"
    crowd = []
    for _ in range(12):
        wire = socket.socket()
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.setblocking(False)
        await asyncio.get_running_loop().sock_connect(wire, ("127.0.0.1", service.port))
        wire.send(get(path, token) * 100)
        crowd.append(wire)
        assert (await exchange(service.port, get(path, token))).body["body"] == body
        assert held(service)[1] <= MIB
    for wire in crowd:
        wire.close()
    await harness.no_connections(service)

    assert held(service) == (0, 0)


async def test_a_list_reads_with_one_query_at_a_time(
    api: Client, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when each of its schedules has a tick that is written ahead, and needs a look at the run before."""
    for _ in range(3):
        _, made, _ = await api.call("POST", "/v1/schedules", {"url": "https://example.com/", "cron": "0 0 1 1 *"})
        await harness.tick(made["id"])
    list_jobs, under_way, most = harness.tables.list_jobs, 0, 0

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return await list_jobs(*args, **options)

    monkeypatch.setattr(harness.tables, "list_jobs", counted)
    assert len((await api.call("GET", "/v1/schedules"))[1]["schedules"]) == 3
    assert most == 1


async def test_every_read_of_an_account_takes_its_turn(
    harness: Harness, service: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever scope it needs: however many callers ask, a few reads of one account are under way at once."""
    token, tokens = harness.token(), harness.tables.tokens
    under_way, most = 0, 0

    async def counted(account: str) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return await tokens(account)

    monkeypatch.setattr(harness.tables, "tokens", counted)
    answers = await asyncio.gather(*[exchange(service.port, get("/v1/tokens", token)) for _ in range(20)])
    assert {answer.status for answer in answers} == {200}
    assert most == LISTS_AT_ONCE // 2


SCHEDULE_ID = new_schedule_id(1_000, 0, bytes(8))
CHANGES = {
    "a job's patch": (f"PATCH /v1/jobs/{new_job_id(1_000, 0, bytes(8))}", "get_job"),
    "a schedule's patch": (f"PATCH /v1/schedules/{SCHEDULE_ID}", "get_schedule"),
    "a pause": (f"POST /v1/schedules/{SCHEDULE_ID}/pause", "get_schedule"),
    "a resumption": (f"POST /v1/schedules/{SCHEDULE_ID}/resume", "get_schedule"),
    "a run now": (f"POST /v1/schedules/{SCHEDULE_ID}/run", "get_schedule"),
    "a schedule by its key": ("PUT /v1/schedules/by-key/a?dry_run=true", "name_holder"),
}


@pytest.mark.parametrize(("line", "read"), CHANGES.values(), ids=CHANGES)
async def test_changes_of_one_account_take_turns(
    harness: Harness, line: str, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds its job or schedule with the body until it ends: of one account half of them are under way; all are answered."""
    service = await harness.replica()
    running, most = 0, 0
    unwatched = getattr(harness.tables, read)

    async def counted(*asked: str) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return await unwatched(*asked)

    monkeypatch.setattr(harness.tables, read, counted)
    body = '{"url": "https://a.example/", "cron": "* * * * *"}' if line.startswith("PUT") else "{}"
    head = (
        f"{line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {harness.token()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answers = await asyncio.gather(*[exchange(service.port, (head + body).encode()) for _ in range(CHANGES_AT_ONCE)])
    assert {answer.status for answer in answers} == {404}
    assert most == CHANGES_AT_ONCE // 2


async def test_a_change_whose_body_does_not_come_holds_no_turn(harness: Harness) -> None:
    """However many there are, the changes of their account, and of all others, go on."""
    service = await harness.replica()
    token = harness.token()
    head = f"PATCH /v1/jobs/{new_job_id(1_000, 0, bytes(8))} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
    crowd = [await RawConnection.open(service.port) for _ in range(CHANGES_AT_ONCE + 10)]
    for connection in crowd:
        connection.send(f"{head}Content-Length: 2\r\n\r\n{{".encode())
    await until(lambda: held(service)[0] >= len(crowd) * len(head))
    await asyncio.sleep(0)  # they wait for the rest by now
    async with asyncio.timeout(5):
        assert (await exchange(service.port, f"{head}Content-Length: 2\r\n\r\n{{}}".encode())).status == 404
    for connection in crowd:
        await connection.close()


async def test_what_is_read_for_all_streams_is_no_accounts_work(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opens the first stream: its share of the connections is not what all others wait for."""
    service = await harness.replica()
    askers: list[str] = []
    positions = FakeStreamTables.positions

    async def noted(tables: FakeStreamTables) -> Any:
        askers.append(asking.get())
        return await positions(tables)

    monkeypatch.setattr(FakeStreamTables, "positions", noted)
    connection = await RawConnection.open(service.port)
    connection.send(get("/v1/events", harness.token()))
    await until(lambda: askers)
    await connection.close()
    assert askers == [""]
