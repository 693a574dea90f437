"""The fair pool: the connections that an account takes leave one to the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from libs.following.account_turns import asking
from libs.following.fair_pool import FairPool

SIZE = 8
NAMES = ("fetch", "fetchrow", "fetchval", "execute")


class Pool:
    """Statements that last until they are told to end."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.go = asyncio.Event()

    async def fetch(self, statement: str, *args: Any, timeout: float | None = None) -> tuple[Any, ...]:
        self.running.append(statement)
        await self.go.wait()
        return statement, args, timeout

    fetchrow = fetchval = execute = fetch

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[str]:
        self.running.append("acquired")
        await self.go.wait()
        yield "connection"


def ask(pool: FairPool, account: str, name: str, statement: str) -> asyncio.Task[Any]:
    """Ask as *account*."""

    async def asked() -> Any:
        asking.set(account)
        return await getattr(pool, name)(statement, 1, timeout=2)

    return asyncio.create_task(asked())


@pytest.mark.parametrize("name", NAMES)
async def test_an_account_takes_half_of_the_connections(name: str) -> None:
    """However many of its requests wait, the next account's statement runs at once; in the end all have run."""
    inner = Pool()
    pool = FairPool(inner, SIZE)
    hostile = [ask(pool, "hostile", name, "theirs") for _ in range(100)]
    await asyncio.sleep(0)
    assert inner.running == ["theirs"] * (SIZE // 2)

    ours = ask(pool, "other", name, "ours")
    await asyncio.sleep(0)
    assert inner.running[-1] == "ours"
    inner.go.set()
    assert await ours == ("ours", (1,), 2)
    await asyncio.gather(*hostile)
    assert len(inner.running) == 101


async def test_a_connection_is_a_turn_like_any_other() -> None:
    """It is held for as long as the block lasts, and given back when that fails."""
    inner = Pool()
    pool = FairPool(inner, 1)

    async def hold() -> None:
        async with pool.acquire() as connection:
            assert connection == "connection"
            raise ValueError("broken")

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    waiting = ask(pool, "", "fetch", "next")
    await asyncio.sleep(0)
    assert inner.running == ["acquired"]
    inner.go.set()
    with pytest.raises(ValueError, match="broken"):
        await holding
    assert (await waiting)[0] == "next"


async def test_a_request_that_is_given_up_while_it_waits_takes_no_turn() -> None:
    """Those behind it go on."""
    inner = Pool()
    pool = FairPool(inner, 1)
    first, second, third = (ask(pool, "a", "fetch", name) for name in ("first", "second", "third"))
    await asyncio.sleep(0)
    second.cancel()
    inner.go.set()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert inner.running == ["first", "third"]
