"""One request serves all callers that asked while the one before it was under way."""

from __future__ import annotations

import asyncio

import pytest

from libs.log.port import LogUnavailable
from libs.log.shared_request import SharedRequest


class Server:
    """Answers each request with its number, when the test says so."""

    def __init__(self) -> None:
        self.sent = 0
        self.answers: list[asyncio.Future[int]] = []

    async def send(self) -> int:
        self.sent += 1
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_callers_share_the_request_that_is_sent_after_they_asked() -> None:
    """The first call sends one request, and all that come before its answer share the second one."""
    server = Server()
    shared = SharedRequest(server.send)
    first = asyncio.create_task(shared.ask())
    await settled()
    others = [asyncio.create_task(shared.ask()) for _ in range(3)]
    await settled()
    assert server.sent == 1

    server.answers[0].set_result(1)
    await settled()
    server.answers[1].set_result(2)

    assert await first == 1
    assert await asyncio.gather(*others) == [2, 2, 2]
    assert server.sent == 2


async def test_a_cancelled_caller_costs_the_others_nothing() -> None:
    """The request goes on for those who still wait."""
    server = Server()
    shared = SharedRequest(server.send)
    leaving, staying = asyncio.create_task(shared.ask()), asyncio.create_task(shared.ask())
    await settled()
    leaving.cancel()
    await settled()
    server.answers[0].set_result(7)

    assert await staying == 7


async def test_every_caller_gets_the_error_and_the_next_request_is_a_new_one() -> None:
    """A failed request fails those who shared it, and nobody after them."""
    server = Server()
    shared = SharedRequest(server.send)
    callers = [asyncio.create_task(shared.ask()) for _ in range(2)]
    await settled()
    server.answers[0].set_exception(OSError("gone"))
    failed = await asyncio.gather(*callers, return_exceptions=True)
    assert [str(error) for error in failed] == ["gone", "gone"]

    after = asyncio.create_task(shared.ask())
    await settled()
    server.answers[1].set_result(3)

    assert await after == 3


async def test_stop_ends_every_caller() -> None:
    """Callers of the request under way and of the one behind it get `LogUnavailable` (G7)."""
    server = Server()
    shared = SharedRequest(server.send)
    await shared.stop()
    callers = [asyncio.create_task(shared.ask())]
    await settled()
    callers.append(asyncio.create_task(shared.ask()))
    await settled()
    await shared.stop()

    for caller in callers:
        with pytest.raises(LogUnavailable):
            await caller
