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
import sys
from collections.abc import Callable, Coroutine
from itertools import cycle
from typing import Any, Final

import uvloop

from tests.e2e.neighbours.attacks_by_answering import ANSWERING
from tests.e2e.neighbours.attacks_by_asking import ASKING
from tests.e2e.neighbours.attacks_by_listening import LISTENING
from tests.e2e.neighbours.attacks_by_sending import SENDING
from tests.e2e.neighbours.hostile import CLOSED, FAR, KIB, Hole, Hostile, silent
from tests.fakes.running.client import BASE62, in_seconds, make_token
from tests.fakes.until import until

ASTRAL: Final = "\U0001f600"  # beyond the BMP: one of it makes Python keep four bytes for every letter of a text
BACKLOG: Final = 4096


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
    item = {"url": CLOSED, "scheduled_at": FAR, "body": "x" * 900}
    request = account.batch([item] * 1_000)
    await account.for_ever(account.some(8), lambda: request)


async def arrays(account: Hostile) -> None:
    """4 callers of a body of 1 MiB with a hundred thousand small arrays in a field that there is not."""
    job = {"url": CLOSED, "scheduled_at": FAR, "more": [[1, [2, 3]]] * 100_000}
    request = account.request("POST", "/v1/jobs", json.dumps(job, separators=(",", ":")).encode())
    await account.for_ever(account.some(4), lambda: request)


async def token_lists(account: Hostile) -> None:
    """300 callers of a list of 990 tokens."""
    await account.all_of([account.request("POST", "/v1/tokens", b'{"name": "%s"}' % (b"n" * 60))] * account.some(990))
    request = account.request("GET", "/v1/tokens")
    await account.for_ever(account.some(300), lambda: request)


async def job_lists(account: Hostile) -> None:
    """300 callers of a page of 100 jobs."""
    item = {"url": CLOSED + "p" * 1_000, "scheduled_at": FAR}
    await account.ask([account.batch([item] * 200)])
    request = account.request("GET", "/v1/jobs?limit=100")
    await account.for_ever(account.some(300), lambda: request)


async def webhooks(account: Hostile) -> None:
    """8,000 webhooks to black holes, those of 1,000 jobs with large bodies among them."""
    async with account.all_due(account.some(8_000), per_s=400) as at:

        def item(number: int, body: str) -> dict[str, Any]:
            hook = {"webhook_url": silent(account, number % 1_000), "body": body}
            return {"url": CLOSED, "scheduled_at": at, **hook}

        small, large = account.some(7_000), account.some(1_000)
        items = [[item(n, "") for n in range(start, start + 500)] for start in range(0, small, 500)]
        items += [[item(n, "x" * 64 * KIB) for n in range(start, start + 15)] for start in range(0, large, 15)]
        await account.all_of([account.batch(each) for each in items])


async def unread(account: Hostile) -> None:
    """4,000 connections that ask for lists, again and again, and read no answer."""
    item = {"url": CLOSED + "p" * 1_000, "scheduled_at": FAR}
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
    body = json.dumps({"url": CLOSED, "scheduled_at": in_seconds(1), "body": "x" * (255 * KIB)}).encode()
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
        replays, half_requests, unknown_tokens, *ASKING, *LISTENING, *ANSWERING, *SENDING,
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
