"""PartitionBounds: where partitions begin and end, by one request per broker for all callers that ask at the same time."""

import asyncio
from typing import Final

from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.protocol.offset import OffsetRequest

from libs.log.error_line import line
from libs.log.kafka.connection import BROKER_ERRORS, Connection, NotNow, check
from libs.log.port import LogUnavailable
from libs.log.shared_request import SharedRequest

END: Final = -1  # Kafka's name for the high watermark: the first position that is not yet on all replicas in sync
BEGIN: Final = -2
_ANY_ISOLATION: Final = 0


class PartitionBounds:
    """
    Asks the leaders where partitions begin and end.

    A request goes to one broker, for all partitions that callers asked for while the request before it was under way. It is sent
    after each of these calls began, so its answer is as new as each of them may expect (G3). A broker that cannot be reached delays
    only the partitions that it leads.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._brokers: dict[tuple[int, int], _BrokerOffsets] = {}

    async def end(self, partition: int) -> int:
        """
        Return the first unwritten position.

        Raises:
            LogUnavailable: the partition's leader did not answer in time.
        """
        return await self._patiently(partition, END)

    async def begin(self, partition: int) -> int:
        """Return the oldest position; raises as `end` does."""
        return await self._patiently(partition, BEGIN)

    async def stop(self) -> None:
        """End the requests under way; the connection must have been stopped."""
        await asyncio.gather(*(broker.shared.stop() for broker in self._brokers.values()))

    async def _patiently(self, partition: int, which: int) -> int:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._connection.timeout_s
        try:
            # The first try needs no timer of its own, which would double its cost: the request itself is bounded.
            return await self._ask(partition, which)
        except (NotNow, *BROKER_ERRORS) as error:
            left_s = ends_at - loop.time()
            if left_s <= 0:
                raise LogUnavailable(f"Kafka does not answer in time: {line(error)}") from error
            return await self._connection.retry(lambda: self._ask(partition, which), timeout_s=left_s)

    async def _ask(self, partition: int, which: int) -> int:
        leader = self._connection.leader_now(partition)
        broker = self._brokers.get((leader, which))
        if broker is None:
            broker = self._brokers[leader, which] = _BrokerOffsets(self._connection, leader, which)
        return await broker.ask(partition)


class _BrokerOffsets:
    """The requests to one broker: each asks for all partitions that callers want."""

    def __init__(self, connection: Connection, node: int, which: int) -> None:
        self._connection = connection
        self._node = node
        self._which = which
        self._wanted: set[int] = set()
        self.shared = SharedRequest(self._send)

    async def ask(self, partition: int) -> int:
        self._wanted.add(partition)
        answer = await self.shared.ask()
        code, offset = answer.get(partition, (UnknownTopicOrPartitionError.errno, -1))
        check(code, f"partition {partition}")
        return int(offset)

    async def _send(self) -> dict[int, tuple[int, int]]:
        wanted, self._wanted = self._wanted, set()
        topics = [(self._connection.topic, [(partition, self._which) for partition in wanted])]
        answer = await self._connection.send(self._node, OffsetRequest(-1, _ANY_ISOLATION, topics))
        return {
            partition: (code, offset) for _, partitions in answer.topics for partition, code, _, offset in partitions
        }
