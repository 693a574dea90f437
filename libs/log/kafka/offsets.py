"""Offsets: where partitions begin and end, asked of each broker once for all who want to know."""

import asyncio
from typing import Any, Final

from aiokafka.errors import NoError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.offset import OffsetRequest

from libs.log.kafka.connection import TROUBLE, Connection, NotNow, line
from libs.log.port import LogUnavailable

END: Final = -1  # Kafka's name for the high watermark: the first position that is not yet on all replicas in sync
BEGIN: Final = -2
_ANY_ISOLATION: Final = 0


class Offsets:
    """
    Begins and ends by request.

    A request goes to one broker, for all partitions that were asked about while the one before it was under way; it is sent after
    every one of these calls began, so what it brings is as new as each of them may expect (G3). An unreachable broker holds up its
    own partitions and no others.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._shared: dict[tuple[int, int], _Shared] = {}

    async def end(self, partition: int) -> int:
        """
        Return the first unwritten position.

        Raises:
            LogUnavailable: the partition's leader did not say in time.
        """
        return await self._patiently(partition, END)

    async def begin(self, partition: int) -> int:
        """Return the oldest position; raises as `end` does."""
        return await self._patiently(partition, BEGIN)

    async def settle(self) -> None:
        """Return when no request is under way any more; the connection must have been stopped."""
        tasks = [task for shared in self._shared.values() for task in shared.tasks()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _patiently(self, partition: int, which: int) -> int:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._connection.timeout_s
        try:
            # The first time without a bound of its own, which costs as much as the rest: the request has one.
            return await self._ask(partition, which)
        except (NotNow, *TROUBLE) as error:
            left_s = ends_at - loop.time()
            if left_s <= 0:
                raise LogUnavailable(f"Kafka does not answer in time: {line(error)}") from error
            return await self._connection.retry(lambda: self._ask(partition, which), timeout_s=left_s)

    async def _ask(self, partition: int, which: int) -> int:
        leader = self._connection.leader(partition)
        if leader is None:
            raise NotNow(f"partition {partition} has no leader")
        shared = self._shared.get((leader, which))
        if shared is None:
            shared = self._shared[leader, which] = _Shared(self._connection, leader, which)
        return await shared.ask(partition)


class _Shared:
    """The requests to one broker, one after the other."""

    def __init__(self, connection: Connection, node: int, which: int) -> None:
        self._connection = connection
        self._node = node
        self._which = which
        self._now: asyncio.Task[dict[int, tuple[int, int]]] | None = None
        self._next: asyncio.Task[dict[int, tuple[int, int]]] | None = None
        self._wanted: set[int] = set()

    async def ask(self, partition: int) -> int:
        if self._next is None:
            self._wanted = set()
            self._next = asyncio.create_task(self._run(self._now, self._wanted))
            self._next.add_done_callback(_retrieve)
        self._wanted.add(partition)
        shared = self._next
        await asyncio.wait([shared])  # not awaited itself: when it is cancelled, its callers are not
        if shared.cancelled():
            raise NotNow("the request was given up")
        code, offset = shared.result().get(partition, (UnknownTopicOrPartitionError.errno, -1))
        error = for_code(code)
        if error is not NoError:
            raise NotNow(f"partition {partition}: {error.__name__}")
        return int(offset)

    def tasks(self) -> list["asyncio.Task[Any]"]:
        return [task for task in (self._now, self._next) if task is not None]

    async def _run(self, before: "asyncio.Task[Any] | None", wanted: set[int]) -> dict[int, tuple[int, int]]:
        if before is not None:
            await asyncio.wait([before])
        # From here on a new caller may not share this request any more: it is being sent.
        self._now, self._next = self._next, None
        topics = [(self._connection.topic, [(partition, self._which) for partition in wanted])]
        answer = await self._connection.send(self._node, OffsetRequest(-1, _ANY_ISOLATION, topics))
        return {
            partition: (code, offset) for _, partitions in answer.topics for partition, code, _, offset in partitions
        }


def _retrieve(task: "asyncio.Task[Any]") -> None:
    """Look at how a shared request ended, so that one whose callers are all gone does not count as unnoticed."""
    if not task.cancelled():
        task.exception()
