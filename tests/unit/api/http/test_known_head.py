"""A request whose head came before is answered as if it had been parsed, however its bytes are cut."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp.web import BaseRequest, RequestKey

from services.api.http.connection_budget import ConnectionBudget
from services.api.http.known_head import of_head
from services.api.http.reply import Reply, error_reply
from services.api.http.request_body import LastError, read_json_body
from services.api.http.server import HttpServer
from tests.fakes.until import until

HEAD = b"POST /jobs HTTP/1.1\r\nHost: a\r\nX-Name: known\r\nContent-Length: 10\r\n\r\n"
ONE = HEAD + b"0123456789"
NOTED = RequestKey("noted", bool)
TWO = HEAD + b"abcdefghij"


async def echo(request: BaseRequest) -> Reply:
    """Answer with what the request says."""
    body = await read_json_body(request)
    noted = request.get(NOTED)
    request[NOTED] = True
    await asyncio.sleep(0)
    said = [request.method, request.path, request.headers.get("X-Name"), body.decode(), noted]
    if body == b"lastlastla":
        return error_reply(LastError(400, "invalid_request", "no more"), is_last=True)
    return Reply(200, json.dumps(said).encode())


class Client:
    """A connection to the server under test."""

    def __init__(self, serving: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving, self.reader, self.writer = serving, reader, writer

    async def answer(self) -> tuple[int, object]:
        """Return the status and the document of the next answer."""
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().partition("content-length:")[2].split("\r\n")[0])
            return int(head.split(" ")[1]), json.loads(await self.reader.readexactly(length))

    async def ask(self, data: bytes) -> object:
        """Send *data* and return what the answer says."""
        self.writer.write(data)
        return (await self.answer())[1]

    async def received(self, count: int) -> None:
        """Wait until the server has *count* bytes of requests that are not answered."""

        async def is_there() -> bool:
            return self.serving.budget.received.held >= count

        await until(is_there)


@asynccontextmanager
async def connected(handle: Callable[[BaseRequest], Awaitable[Reply]] = echo) -> AsyncIterator[Client]:
    budget = ConnectionBudget(connections_max=10, received_max=1 << 24, unread_max=1 << 24)
    serving = HttpServer(handle, budget=budget, now_s=time.time)
    reader, writer = await asyncio.open_connection("127.0.0.1", await serving.listen("127.0.0.1", 0))
    try:
        yield Client(serving, reader, writer)
    finally:
        writer.close()
        await serving.close(1.0)


def said(body: str, path: str = "/jobs", name: str | None = "known", method: str = "POST") -> list[object]:
    return [method, path, name, body, None]


async def test_the_second_request_with_a_head_is_not_parsed() -> None:
    """Its body is its own, and nothing that was noted of the one before is left."""
    async with connected() as client:
        assert await client.ask(ONE) == said("0123456789")
        assert await client.ask(TWO) == said("abcdefghij")
        assert await client.ask(ONE) == said("0123456789")
        assert client.serving.requests_count == 1  # of those that aiohttp saw


async def test_what_follows_from_a_head_is_found_once() -> None:
    """For as long as this head comes again; another head, and what raises an error, is looked at each time."""
    looks: list[str] = []

    @of_head
    def name(request: BaseRequest) -> str:
        looks.append(request.headers["X-Name"])
        if looks[-1] == "bad":
            raise ValueError
        return looks[-1]

    async def handle(request: BaseRequest) -> Reply:
        await read_json_body(request)
        try:
            return Reply(200, json.dumps(name(request)).encode())
        except ValueError:
            return Reply(200, b'"refused"')

    def named(other: bytes) -> bytes:
        return ONE.replace(b"known", other)

    async with connected(handle) as client:
        answers = [await client.ask(data) for data in (ONE, TWO, named(b"other"), ONE, named(b"bad"), named(b"bad"))]
    assert answers == ["known", "known", "other", "known", "refused", "refused"]
    assert looks == ["known", "other", "known", "bad", "bad"]


async def test_a_head_in_pieces_is_not_taken_for_a_known_one() -> None:
    """What looks like a known request, and is the rest of another's head, is the rest of another's head."""
    async with connected() as client:
        await client.ask(ONE)
        opening = b"POST /other HTTP/1.1\r\nX-Junk: "
        client.writer.write(opening)
        await client.received(len(opening))
        assert await client.ask(ONE) == said("0123456789", "/other")


async def test_a_body_in_pieces_is_not_taken_for_a_known_request() -> None:
    """What looks like a known request, and is the rest of another's body, is the rest of another's body."""
    async with connected() as client:
        await client.ask(ONE)
        size = len(ONE)
        opening = f"POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
        client.writer.write(opening)
        await client.received(len(opening))
        assert await client.ask(ONE) == said(ONE.decode(), "/other", None)
        assert await client.ask(TWO) == said("abcdefghij")


async def test_what_comes_behind_a_known_request_waits_for_its_answer() -> None:
    """Answers come in the order of the requests, also if all came at once."""
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def handle(request: BaseRequest) -> Reply:
        if request.content.total_bytes and await peek(request) == b"abcdefghij":
            entered.set()
            await go_on.wait()
            return Reply(200, b'"late"')
        return await echo(request)

    async def peek(request: BaseRequest) -> bytes:
        body = await read_json_body(request)
        return body if body == b"abcdefghij" else b""

    async with connected(handle) as client:
        client.writer.write(ONE)
        await client.answer()
        client.writer.write(TWO)
        await entered.wait()
        client.writer.write(b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n")
        go_on.set()
        assert (await client.answer())[1] == "late"
        assert (await client.answer())[1] == said("", "/behind", None, "GET")
        assert (await client.answer())[1] == said("", "/last", None, "GET")


async def test_a_refusal_that_ends_a_connection_ends_it() -> None:
    """Also behind a known head."""
    async with connected() as client:
        await client.ask(ONE)
        await client.ask(HEAD + b"lastlastla")
        async with asyncio.timeout(10):
            assert await client.reader.read() == b""


async def test_a_defect_behind_a_known_head_ends_the_connection() -> None:
    """Nothing is answered, as nothing is known about what was written."""

    async def handle(request: BaseRequest) -> Reply:
        if await read_json_body(request) == b"abcdefghij":
            raise RuntimeError
        return Reply(200, b"1")

    async with connected(handle) as client:
        await client.ask(ONE)
        client.writer.write(TWO)
        async with asyncio.timeout(10):
            assert await client.reader.read() == b""


async def test_an_idle_connection_is_closed_also_behind_a_known_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp's clock does not run then; a request that begins before its end is not cut off by it."""
    monkeypatch.setattr("services.api.http.server.KEEP_ALIVE_S", 0.5)
    async with connected() as client:
        await client.ask(ONE)
        await client.ask(TWO)
        async with asyncio.timeout(10):
            assert await client.reader.read() == b""


async def test_a_stop_waits_for_the_request_under_way() -> None:
    """What was begun behind a known head is answered before the server has stopped; what comes behind it is not begun."""
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def handle(request: BaseRequest) -> Reply:
        if await read_json_body(request) == b"abcdefghij":
            entered.set()
            await go_on.wait()
        return Reply(200, b"1")

    async with connected(handle) as client:
        await client.ask(ONE)
        client.writer.write(TWO)
        await entered.wait()
        client.writer.write(ONE)
        stopping = asyncio.create_task(client.serving.close(10.0))
        await asyncio.sleep(0)
        go_on.set()
        assert await client.answer() == (200, 1)
        async with asyncio.timeout(10):
            assert await client.reader.read() == b""
            await stopping


async def test_however_the_bytes_are_cut_the_answers_are_the_same() -> None:
    """Requests of a few kinds, sent in pieces of all sizes and with several in one piece: each is answered as it was asked."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    kinds: list[Callable[[], tuple[bytes, list[object]]]] = [
        lambda: (ONE, said("0123456789")),
        lambda: (ONE, said("0123456789")),
        lambda: (TWO, said("abcdefghij")),
        lambda: (b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", said("", "/a", None, "GET")),
        lambda: (
            b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            said("abc", "/c", None),
        ),
        lambda: (b"\r\n" + ONE, said("0123456789")),
        lambda: (
            b"POST /long HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(ONE + TWO) + ONE + TWO,
            said((ONE + TWO).decode(), "/long", None),
        ),
    ]
    skipped = 0
    for _ in range(25):
        async with connected() as client:
            asked = [rng.choice(kinds)() for _ in range(rng.randint(2, 12))]
            stream, at = b"".join(data for data, _ in asked), 0
            is_slow = rng.random() < 0.7  # each is answered before the next is sent, cut as it may be
            if is_slow:
                for data, expected in asked:
                    cut = rng.choice([len(data), len(data), rng.randint(1, len(data))])
                    for piece in (data[:cut], data[cut:]):
                        client.writer.write(piece)
                        await asyncio.sleep(0)
                    assert (await client.answer())[1] == expected
            else:
                while at < len(stream):
                    to = at + rng.randint(1, 3 * len(ONE))
                    client.writer.write(stream[at:to])
                    at = to
                    for _ in range(rng.randint(0, 3)):
                        await asyncio.sleep(0)
                for _, expected in asked:
                    assert (await client.answer())[1] == expected
            skipped += len(asked) - client.serving.requests_count
    assert skipped > 0
