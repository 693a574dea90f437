"""Attacks by listening: a hostile account holds streams of what happens, more than it may have, and makes much happen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, Final

from tests.e2e.neighbours.hostile import AGAIN_S, CLOSED, HELD_S, KIB, Hostile

SINCE: Final = "/v1/events?since=2020-01-01T00:00:00Z"


async def _make_happen(account: Hostile) -> None:
    """Have 30 jobs end each second."""
    every_second = {"url": CLOSED, "every": {"seconds": 1}, "max_retries": 0}
    made = account.request("POST", "/v1/schedules", json.dumps(every_second).encode())
    await account.all_of([made] * account.some(30))


async def unread_streams(account: Hostile) -> None:
    """300 streams that are not read."""
    await _make_happen(account)
    await account.hold(300, account.request("GET", "/v1/events"))


async def streams(account: Hostile) -> None:
    """100 callers who read all that ever happened to the account, and begin anew once they have read much of it."""
    await _make_happen(account)

    async def read() -> None:
        while True:
            try:
                async with asyncio.timeout(HELD_S):
                    reader, writer = await asyncio.open_connection("127.0.0.1", account.port)
                    try:
                        writer.write(account.request("GET", SINCE))
                        for _ in range(64):
                            if not await reader.read(64 * KIB):
                                break
                    finally:
                        writer.close()
            except (OSError, TimeoutError):
                pass
            await asyncio.sleep(AGAIN_S)

    account.is_under_way.set()
    await asyncio.gather(*[read() for _ in range(account.some(100))])


LISTENING: Final[tuple[Callable[[Hostile], Coroutine[Any, Any, None]], ...]] = (streams, unread_streams)
