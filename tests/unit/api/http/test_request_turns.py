"""Turns: how many requests are under way, and of which account."""

from __future__ import annotations

import asyncio

import pytest

from services.api.contract.api_error import ApiError
from services.api.http.request_turns import RequestTurns


async def test_an_account_waits_for_itself_alone() -> None:
    """Beyond its share it waits in the order of arrival; another account does not wait."""
    turns, order = RequestTurns(4), list[int]()
    for _ in range(2):
        await turns.take("a")

    async def read(number: int) -> None:
        async with turns.turn("a"):
            order.append(number)

    waiting = [asyncio.create_task(read(number)) for number in range(5)]
    await asyncio.sleep(0)
    await turns.take("b")
    turns.give("b")
    assert order == []
    turns.give("a")
    await asyncio.gather(*waiting)

    assert order == [0, 1, 2, 3, 4]
    turns.give("a")
    assert turns.is_idle


async def test_who_gave_up_keeps_no_turn() -> None:
    """A read whose caller left, or that waited for too long, leaves its turn to the next."""
    turns = RequestTurns(1, wait_s=0.01)
    await turns.take("a")
    left = asyncio.create_task(turns.take("a"))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(ApiError, match="too many requests of this account"):
        await turns.take("a")
    handed = asyncio.create_task(turns.take("a"))
    await asyncio.sleep(0)
    turns.give("a")
    handed.cancel()  # at the moment at which its turn comes
    await asyncio.gather(left, handed, return_exceptions=True)

    assert turns.is_idle


async def test_a_newcomer_finds_a_turn() -> None:
    """However many accounts ask for all they can get, the next one finds its turn free, and what ends goes to those with less."""
    turns = RequestTurns(8)
    waiting = [asyncio.create_task(turns.take(account)) for account in ("a", "b", "c") for _ in range(20)]
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await turns.take("newcomer")
    assert sum(task.done() for task in waiting) == 4 + 2 + 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
