"""
Attacks: what a hostile account does to a Fliq that it shares with others, until it is ended. All on loopback, all bounded.

    python -m tests.e2e.neighbours.attacks '{"names": ["arrays"], "port": 8080, ...}'

speaks in lines of JSON (tests/chaos/hurting/children.py): one when it has begun, one when it is at its full strength.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any, Final

import uvloop

from tests.fakes.running.client import BASE62, in_seconds, make_token
from tests.fakes.until import until

KIB: Final = 1024
FAR: Final = "2033-01-01T00:00:00Z"
ASTRAL: Final = "\U0001f600"  # beyond the BMP: one of it makes Python keep four bytes for every letter of a text
BACKLOG: Final = 4096
AT_ONCE: Final = 4  # requests under way of an account that wants to be done soon
HELD_S: Final = 20.0  # then it is opened anew, whether it was closed or not
AGAIN_S: Final = 0.05  # before a connection that was closed is opened again


class Hole(asyncio.Protocol):
    """A server that takes every connection, reads what comes, and never answers."""


class Hostile:
    """
    One hostile account.

    Args:
        port, admin_port: where Fliq is.
        hole: the port of targets that never answer.
        size: how much there is of an attack; 1 is all of it.
        accounts: how many there are like it; connections that are held are shared out among them.
    """

    def __init__(self, *, port: int, admin_port: int, token: str, hole: int, size: float, accounts: int) -> None:
        self.port, self.admin_port, self.token, self.hole = port, admin_port, token, hole
        self._size, self._accounts = size, accounts
        self.is_under_way = asyncio.Event()

    def some(self, count: int) -> int:
        """Return how many of *count* there are."""
        return max(1, int(count * self._size))

    def request(self, method: str, path: str, body: bytes = b"", *, token: str = "", length: int = 0) -> bytes:
        """Return the bytes of a request; *length* is what it says of its body."""
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token or self.token}\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {length or len(body)}\r\n\r\n".encode() + body

    async def ask(self, requests: Iterable[bytes]) -> list[bytes]:
        """Send *requests* one after the other over one connection; returns the answers' bodies."""
        answers = []
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for request in requests:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                answers.append(await reader.readexactly(length))
        finally:
            writer.close()
        return answers

    async def all_of(self, requests: list[bytes]) -> None:
        """Send *requests*, some at once; one that is refused is refused."""
        await asyncio.gather(*[self.ask(requests[number::AT_ONCE]) for number in range(AT_ONCE)])

    @asynccontextmanager
    async def all_due(self, count: int, *, per_s: float) -> AsyncIterator[str]:
        """Yield an instant at which so many jobs, of which so many a second can be made, are due; return when it has come."""
        ahead_s = 2.0 + count * self._accounts / per_s
        ends_at = time.monotonic() + ahead_s
        yield in_seconds(ahead_s)
        await asyncio.sleep(max(0.0, ends_at - time.monotonic()))
        self.is_under_way.set()

    async def for_ever(self, callers: int, make: Callable[[], bytes]) -> None:
        """Have so many callers send what *make* makes, each as soon as it is answered."""

        async def call() -> None:
            while True:
                try:
                    await self.ask(make() for _ in range(1_000))
                except (OSError, asyncio.IncompleteReadError):
                    await asyncio.sleep(AGAIN_S)

        self.is_under_way.set()
        await asyncio.gather(*[call() for _ in range(callers)])

    async def hold(self, count: int, sent: bytes, *, port: int = 0) -> None:
        """
        Hold this account's share of so many connections open, each after it has sent *sent*.

        Nothing is read, and what is closed is opened again.
        """
        count = self.some(count) // self._accounts
        opened = 0

        async def one() -> None:
            nonlocal opened
            while True:
                with socket.socket() as tcp:
                    tcp.setblocking(False)
                    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
                    loop = asyncio.get_running_loop()
                    try:
                        async with asyncio.timeout(10):
                            await loop.sock_connect(tcp, ("127.0.0.1", port or self.port))
                            await loop.sock_sendall(tcp, sent)
                        opened += 1
                        if opened >= count:
                            self.is_under_way.set()
                        async with asyncio.timeout(HELD_S):
                            await until_gone(tcp)
                    except (OSError, TimeoutError):
                        pass
                await asyncio.sleep(AGAIN_S)

        await asyncio.gather(*[one() for _ in range(count)])

    def batch(self, items: list[dict[str, Any]]) -> bytes:
        return self.request("POST", "/v1/jobs/batch", json.dumps({"jobs": items}, ensure_ascii=False).encode())


async def until_gone(tcp: socket.socket) -> None:
    """Return when the peer has closed, without taking what it sent."""
    loop = asyncio.get_running_loop()
    gone = loop.create_future()

    def look() -> None:
        try:
            is_open = bool(tcp.recv(1, socket.MSG_PEEK))
        except OSError:
            is_open = False
        loop.remove_reader(tcp)  # if it has answered, its close is not seen any more, and need not be
        if not is_open and not gone.done():
            gone.set_result(None)

    loop.add_reader(tcp, look)
    try:
        await gone
    finally:
        loop.remove_reader(tcp)


def silent(account: Hostile, number: int) -> str:
    """Return one of many targets that never answer."""
    return f"http://127.{1 + number // 250}.{number % 250}.7:{account.hole}/"


async def _bodies(account: Hostile, count: int, text: str) -> None:
    async with account.all_due(account.some(count), per_s=80) as at:
        job = {"url": silent(account, 0), "scheduled_at": at, "body": text, "timeout_seconds": 60}
        body = json.dumps(job, ensure_ascii=False).encode()
        await account.all_of([account.request("POST", "/v1/jobs", body)] * account.some(count))


async def nothing(account: Hostile) -> None:
    """Nothing: what the machine by itself makes of the innocent account."""
    account.is_under_way.set()


async def bodies(account: Hostile) -> None:
    """560 jobs of 256 KiB to one black hole."""
    await _bodies(account, 560, "x" * (255 * KIB))


async def astral(account: Hostile) -> None:
    """480 such bodies with one character beyond the BMP."""
    await _bodies(account, 480, ASTRAL + "x" * (255 * KIB))


async def _many(account: Hostile, url: Callable[[int], str]) -> None:
    count = account.some(3_000)
    async with account.all_due(count, per_s=1_000) as at:
        for start in range(0, count, 500):
            items = [{"url": url(number), "scheduled_at": at} for number in range(start, start + 500)]
            await account.ask([account.batch(items)])


async def names(account: Hostile) -> None:
    """3,000 jobs to 1,000 hosts that never answer."""
    await _many(account, lambda number: silent(account, number % 1_000))


async def nameless(account: Hostile) -> None:
    """3,000 jobs to names whose servers do not answer."""
    await _many(account, lambda number: f"http://n{number}.silent.example/")


async def batches(account: Hostile) -> None:
    """8 callers of batches of 1 MiB."""
    item = {"url": "http://127.0.0.1:9/", "scheduled_at": FAR, "body": "x" * 900}
    request = account.batch([item] * 1_000)
    await account.for_ever(account.some(8), lambda: request)


async def arrays(account: Hostile) -> None:
    """4 callers of a body of 1 MiB with a hundred thousand small arrays in a field that there is not."""
    job = {"url": "http://127.0.0.1:9/", "scheduled_at": FAR, "more": [[1, [2, 3]]] * 100_000}
    request = account.request("POST", "/v1/jobs", json.dumps(job, separators=(",", ":")).encode())
    await account.for_ever(account.some(4), lambda: request)


async def token_lists(account: Hostile) -> None:
    """300 callers of a list of 990 tokens."""
    await account.all_of([account.request("POST", "/v1/tokens", b'{"name": "%s"}' % (b"n" * 60))] * account.some(990))
    request = account.request("GET", "/v1/tokens")
    await account.for_ever(account.some(300), lambda: request)


async def job_lists(account: Hostile) -> None:
    """300 callers of a page of 100 jobs."""
    item = {"url": "http://127.0.0.1:9/" + "p" * 1_000, "scheduled_at": FAR}
    await account.ask([account.batch([item] * 200)])
    request = account.request("GET", "/v1/jobs?limit=100")
    await account.for_ever(account.some(300), lambda: request)


async def webhooks(account: Hostile) -> None:
    """8,000 webhooks to black holes, those of 1,000 jobs with large bodies among them."""
    async with account.all_due(account.some(8_000), per_s=400) as at:

        def item(number: int, body: str) -> dict[str, Any]:
            hook = {"webhook_url": silent(account, number % 1_000), "body": body}
            return {"url": "http://127.0.0.1:9/", "scheduled_at": at, **hook}

        small, large = account.some(7_000), account.some(1_000)
        items = [[item(n, "") for n in range(start, start + 500)] for start in range(0, small, 500)]
        items += [[item(n, "x" * 64 * KIB) for n in range(start, start + 15)] for start in range(0, large, 15)]
        await account.all_of([account.batch(each) for each in items])


async def unread(account: Hostile) -> None:
    """4,000 connections that ask for lists, again and again, and read no answer."""
    item = {"url": "http://127.0.0.1:9/" + "p" * 1_000, "scheduled_at": FAR}
    await account.ask([account.batch([item] * 100)])
    await account.hold(4_000, account.request("GET", "/v1/jobs?limit=100") * 20)


async def idle(account: Hostile) -> None:
    """4,096 connections that are kept alive, without a token and without a request."""
    await account.hold(4_096, b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\n\r\n")


async def last_byte(account: Hostile) -> None:
    """Bodies of 1 MiB without their last byte on 800 connections."""
    body = b"x" * (KIB * KIB - 1)
    await account.hold(800, account.request("POST", "/v1/jobs", body, length=KIB * KIB))


async def replays(account: Hostile) -> None:
    """A large job that failed, replayed in a loop by 4 callers, 2,000 times at most: half a gigabyte of bodies."""
    body = json.dumps({"url": "http://127.0.0.1:9/", "scheduled_at": in_seconds(1), "body": "x" * (255 * KIB)}).encode()
    (made,) = await account.ask([account.request("POST", "/v1/jobs", body)])
    path = f"/v1/jobs/{json.loads(made)['id']}"

    async def has_failed() -> bool:
        (shown,) = await account.ask([account.request("GET", path)])
        return json.loads(shown)["status"] == "failed"  # type: ignore[no-any-return]

    await until(has_failed)
    account.is_under_way.set()
    await account.all_of([account.request("POST", f"{path}/replay")] * account.some(2_000))


async def half_requests(account: Hostile) -> None:
    """1,100 halves of requests to the admin port of a process that may open 1,024 files."""
    await account.hold(1_100, b"GET /metrics HTTP/1.1\r\nHost: ", port=account.admin_port)


async def unknown_tokens(account: Hostile) -> None:
    """200 callers with tokens that are well formed and nobody's."""
    draw = random.Random(account.token)

    def make() -> bytes:
        return account.request("GET", "/v1/jobs", token=make_token("".join(draw.choices(BASE62, k=30))))

    await account.for_ever(account.some(200), make)


ATTACKS: Final[dict[str, Callable[[Hostile], Coroutine[Any, Any, None]]]] = {
    each.__name__: each
    for each in (
        nothing, bodies, astral, names, nameless, batches, arrays, token_lists, job_lists, webhooks, unread, idle, last_byte,
        replays, half_requests, unknown_tokens,
    )
}  # fmt: skip


async def main(order: dict[str, Any]) -> None:
    """Do as *order* says, until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Hole, "0.0.0.0", 0, backlog=BACKLOG)
    attacks = [ATTACKS[name] for name in order.pop("names")]
    tokens, hole = order.pop("tokens"), server.sockets[0].getsockname()[1]
    accounts = [Hostile(token=token, hole=hole, accounts=len(tokens), **order) for token in tokens]
    print(json.dumps({"state": "begun"}), flush=True)
    attacking = [
        asyncio.create_task(attack(account)) for attack, account in zip(cycle(attacks), accounts, strict=False)
    ]
    strong = asyncio.create_task(_all_strong(accounts))
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    ended = asyncio.create_task(reader.read())
    await asyncio.wait([ended, *attacking], return_when=asyncio.FIRST_EXCEPTION)
    await ended
    for task in (strong, *attacking):
        task.cancel()
    for failure in await asyncio.gather(strong, *attacking, return_exceptions=True):
        if isinstance(failure, Exception):
            raise failure


async def _all_strong(accounts: list[Hostile]) -> None:
    for account in accounts:
        await account.is_under_way.wait()
    print(json.dumps({"state": "under way"}), flush=True)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(main(json.loads(sys.argv[1])))
