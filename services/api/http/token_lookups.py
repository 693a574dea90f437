"""
Token look-ups: finds the tokens of many requests with one query.

Anybody can make up tokens with a right checksum, so a flood of them must not keep a caller from being looked up. Look-ups that
arrive while others are under way wait, and the next query takes all that wait, up to `BATCH_MAX`, the addresses in turn. So an
address that sends thousands delays a look-up from another one by one query, and none of its own by more than a few.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from libs.store.control.accounts import Token
from services.api.contract.api_error import unavailable

BATCH_MAX: Final = 100  # hashes in one query: so many requests go on at once when it is answered
AT_ONCE: Final = 2  # queries under way
WAITING_MAX: Final = 2_000  # look-ups that may wait for one address

Find = Callable[[Collection[bytes]], Awaitable[Mapping[bytes, Token]]]
Waiting = OrderedDict[bytes, "asyncio.Future[Token | None]"]


class TokenLookups:
    """Looks tokens up by their hashes; *find* is `Accounts.find_tokens`."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._waiting: OrderedDict[str, Waiting] = OrderedDict()  # by address, in the order of their turns
        self._under_way: set[asyncio.Task[None]] = set()

    async def find(self, hashed: bytes, address: str) -> Token | None:
        """
        Return the token with the hash *hashed* for a request from *address*, unless it is revoked.

        Raises:
            ApiError: 503 if too many look-ups wait for that address.
            StoreUnavailable: the database does not answer in time.
        """
        waiting = self._waiting.setdefault(address, OrderedDict())
        answer = waiting.get(hashed)
        if answer is None:
            if len(waiting) >= WAITING_MAX:
                raise unavailable("too many unknown API tokens come from this address at the moment, try again")
            answer = waiting[hashed] = asyncio.get_running_loop().create_future()
            self._start()
        return await asyncio.shield(answer)

    def _start(self) -> None:
        while self._waiting and len(self._under_way) < AT_ONCE:
            task = asyncio.create_task(self._look_up(self._take()), name="api-token-lookup")
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._start()

    def _take(self) -> dict[bytes, list[asyncio.Future[Token | None]]]:
        """Take the look-ups of the next query, one of each address in turn."""
        taken: dict[bytes, list[asyncio.Future[Token | None]]] = {}
        while self._waiting and len(taken) < BATCH_MAX:
            address, waiting = self._waiting.popitem(last=False)
            hashed, answer = waiting.popitem(last=False)
            taken.setdefault(hashed, []).append(answer)
            if waiting:
                self._waiting[address] = waiting
        return taken

    async def _look_up(self, taken: dict[bytes, list[asyncio.Future[Token | None]]]) -> None:
        try:
            found = await self._find(taken)
        except Exception as error:  # noqa: BLE001 - not swallowed: it is raised where the look-up is awaited
            for answers in taken.values():
                for answer in answers:
                    answer.set_exception(error)
            return
        for hashed, answers in taken.items():
            for answer in answers:
                answer.set_result(found.get(hashed))
