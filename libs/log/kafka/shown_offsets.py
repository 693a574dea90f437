"""
Shown offsets: how far a role has read, committed to a Kafka group of its own, so that lag tools and autoscalers see it.

For people only: nothing here ever reads an offset back. Nobody is a member of these groups; a commit without a member is taken as
long as the group has none.
"""

from collections.abc import Mapping
from typing import Final

from aiokafka.client import ConnectionGroup
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest

from libs.log.kafka.connection import Connection, NotNow

_NO_GENERATION: Final = -1
_KEEP_AS_LONG_AS_THE_BROKER_DOES: Final = -1


class ShownOffsets:
    """Commits through *connection*, on sockets of their own: a slow coordinator must not hold up reads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._coordinators: dict[str, int] = {}

    async def show(self, group: str, positions: Mapping[int, int]) -> None:
        """
        Commit for each partition the position that is read next.

        Raises:
            LogUnavailable: it did not work; the next call may.
        """
        # A cluster makes the topic for offsets when it is first asked, and coordinators move: both take a moment.
        await self._connection.retry(lambda: self._try(group, positions))

    async def _try(self, group: str, positions: Mapping[int, int]) -> None:
        coordinator = self._coordinators.pop(group, None)
        if coordinator is None:
            coordinator = await self._connection.coordinator(group)
        await self._commit(coordinator, group, positions)
        self._coordinators[group] = coordinator

    async def _commit(self, coordinator: int, group: str, positions: Mapping[int, int]) -> None:
        offsets = [(partition, position, "") for partition, position in positions.items()]
        request = OffsetCommitRequest(
            group, _NO_GENERATION, "", _KEEP_AS_LONG_AS_THE_BROKER_DOES, [(self._connection.topic, offsets)]
        )
        answer = await self._connection.send(coordinator, request, sockets=ConnectionGroup.COORDINATION)
        for _, partitions in answer.topics:
            for partition, code in partitions:
                if for_code(code) is not NoError:
                    raise NotNow(f"partition {partition}: {for_code(code).__name__}")
