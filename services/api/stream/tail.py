"""
Tail: reads the log for all streams of this process, while there is one.

Each partition has a reader, which judges records as every reader of the log does (libs/following/partition_reader.py), and keeps
the recent events of the accounts that somebody listens to. A stream is woken when there is an event of its account, and takes
it from there. Nothing waits for a stream, so a slow one delays nobody.

Cost: none while nobody listens. Else each record is read once; those of other accounts cost about 10 µs, of most types less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextvars import Context
from typing import Final

from libs.domain.fair_shares import FairShares
from libs.events import Claim
from libs.following.partition_reader import PartitionReader, ReaderContext, Wanted
from libs.store.reads.partition_tables import NOTHING_FOLDED
from services.api.contract.api_error import ApiError, unavailable
from services.api.stream.judging import Judging, Tables
from services.api.stream.place import Place
from services.api.stream.recent_events import Placed, RecentEvents
from services.api.stream.told_events import RECORDS

STREAMS_MAX: Final = 100  # of one process
EVENTS_KEPT: Final = 16_384  # of all partitions together; about 700 bytes each
START_S: Final = 5.0  # how long a stream waits for the tail to begin
RETRY_AFTER_S: Final = 10


class Listener:
    """A stream of *account*, as the tail knows it."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.woken = asyncio.Event()


class Tail:
    """The streams of one process, and the readers that serve them."""

    def __init__(
        self,
        context: ReaderContext,
        tables: Tables,
        judging: Judging,
        partition_count: int,
        *,
        streams_max: int = STREAMS_MAX,
    ) -> None:
        self._context = context
        self._tables = tables
        self.judging = judging
        self._shares = FairShares(streams_max)
        self._listeners: dict[str, set[Listener]] = {}  # by account
        self._most = max(EVENTS_KEPT // partition_count, 64)
        self._partitions = range(partition_count)
        self.recent = [RecentEvents(self._most) for _ in self._partitions]
        self._begun = asyncio.Event()
        self._starting = asyncio.Lock()
        self._starts: Mapping[int, Place] | None = None
        self._reading: list[asyncio.Task[None]] = []
        self.is_closed = False

    @property
    def is_running(self) -> bool:
        """Whether the log is read."""
        return bool(self._reading)

    @property
    def accounts(self) -> Collection[str]:
        """Those that somebody listens to."""
        return self._listeners.keys()

    def held_by(self, account: str) -> int:
        """Return how many streams *account* has."""
        return self._shares.held_by(account)

    async def join(self, account: str) -> Listener:
        """
        Return a new listener of *account*, once all partitions are read; call `leave` afterwards.

        Raises:
            ApiError: 429 if the account has its share of streams, 503 if the log or the tables do not answer.
        """
        if self.is_closed:
            raise unavailable("this process stops")
        if not self._shares.may_take(account):
            raise ApiError(
                429,
                "too_many_streams",
                "the account has as many streams to this server as it may have: end one, or try again later",
                {"Retry-After": str(RETRY_AFTER_S)},
            )
        self._shares.take(account)
        listener = Listener(account)
        if not self._reading:
            self._start()
        if account not in self._listeners:
            self._listeners[account] = set()
            for recent in self.recent:
                recent.listen(account)
        self._listeners[account].add(listener)
        try:
            async with asyncio.timeout(START_S):
                await self._begun.wait()
        except BaseException as error:
            self.leave(listener)
            if isinstance(error, TimeoutError):
                raise unavailable("the log or the tables do not answer, try again") from None
            raise
        return listener

    def leave(self, listener: Listener) -> None:
        """Forget *listener*; a second time changes nothing."""
        account = listener.account
        others = self._listeners.get(account, set())
        if listener not in others:
            return
        others.remove(listener)
        self._shares.give_back(account)
        if not others:
            del self._listeners[account]
            for recent in self.recent:
                recent.forget(account)
        if not self._listeners:
            self._halt()

    def wake(self, accounts: Collection[str]) -> None:
        """Wake the streams of *accounts*."""
        for account in accounts:
            for listener in self._listeners.get(account, ()):
                listener.woken.set()

    async def close(self) -> None:
        """End all streams; may be called twice."""
        self.is_closed = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.woken.set()
        readers = self._reading
        self._halt()
        await asyncio.gather(*readers, return_exceptions=True)

    async def start_of(self, partition: int) -> Place:
        """Return where the tables are, which is where *partition* is read from; raises StoreUnavailable."""
        async with self._starting:
            if self._starts is None:
                self._starts = await self._tables.positions()
            return self._starts.get(partition, NOTHING_FOLDED)

    def has_begun(self) -> None:
        """Note that one more partition is read."""
        if all(recent.has_begun for recent in self.recent):
            self._begun.set()

    def _start(self) -> None:
        self._begun = asyncio.Event()
        self._starts = None
        self.recent = [RecentEvents(self._most) for _ in self._partitions]
        self._reading = [
            asyncio.create_task(
                _TailReader(partition, self._context, self).run(),
                name=f"api tail {partition}",
                context=Context(),  # not that of the request which came first: they read for all accounts
            )
            for partition in self._partitions
        ]

    def _halt(self) -> None:
        reading, self._reading = self._reading, []
        for task in reading:
            task.cancel()
        self.judging.forget()
        self.recent = [RecentEvents(self._most) for _ in self._partitions]


class _TailReader(PartitionReader):
    """Reads one partition for the streams, from where the tables are."""

    def __init__(self, partition: int, context: ReaderContext, tail: Tail) -> None:
        super().__init__(partition, context, wanted=RECORDS)
        self._tail = tail
        self._recent = tail.recent[partition]

    async def begin(self) -> Place:
        """Begin where the tables are; later, where it was."""
        if not self._recent.has_begun:
            self._recent.start(await self._tail.start_of(self.partition))
            self._tail.has_begun()
        return self._recent.place

    async def take(self, wanted: Sequence[Wanted], position: int, claim: Claim | None) -> None:
        """Keep the events of the accounts that somebody listens to."""
        if position == self._recent.position:
            return
        found: list[Placed] = []
        if wanted:
            accounts = frozenset(self._tail.accounts)
            self._recent.judged_to = position
            found = await self._tail.judging.told(self.partition, wanted, position, accounts)
        self._recent.add(found, (position, claim))
        if found:
            self._tail.wake({each.told.facts.account for each in found})
