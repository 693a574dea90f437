"""
ReportedOffsets: commits how far a role has read to a Kafka group of its own, so that lag tools and autoscalers see it.

These offsets are for people only: Fliq never reads one back. A note goes with each, by which a starting process finds out who else
works on this log. These groups have no members: Kafka accepts a commit without a member while the group has none.
"""

from collections.abc import Mapping
from typing import Final

from aiokafka.client import ConnectionGroup
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from libs.log.kafka.connection import Connection, check

NOTES_S: Final = 3.0  # a start waits so long for notes, and goes on without them
_NO_GENERATION: Final = -1
_KEEP_AS_LONG_AS_THE_BROKER_DOES: Final = -1


class ReportedOffsets:
    """Commits through *connection*, on sockets of its own: a slow coordinator must not delay reads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._coordinators: dict[str, int] = {}

    async def commit(self, group: str, positions: Mapping[int, int], note: str) -> None:
        """
        Commit for each partition the position to read next, and *note* with it.

        Raises:
            LogUnavailable: it failed; the next call may succeed.
        """
        # A cluster creates its topic for offsets at the first request, and coordinators move: both take a moment.
        await self._connection.retry(lambda: self._try(group, positions, note))

    async def notes(self, group: str) -> dict[int, str]:
        """
        Return the notes that were committed last, by partition.

        Raises:
            LogUnavailable: no answer within `NOTES_S`.
        """
        return await self._connection.retry(lambda: self._notes(group), timeout_s=NOTES_S)

    async def _notes(self, group: str) -> dict[int, str]:
        coordinator = await self._connection.coordinator(group)
        request = OffsetFetchRequest(group, None)
        answer = await self._connection.send(coordinator, request, sockets=ConnectionGroup.COORDINATION)
        check(answer.error_code, f"group {group}")
        return {
            partition: note
            for topic, partitions in answer.topics
            for partition, _, note, _ in partitions
            if topic == self._connection.topic
        }

    async def _try(self, group: str, positions: Mapping[int, int], note: str) -> None:
        coordinator = self._coordinators.pop(group, None)
        if coordinator is None:
            coordinator = await self._connection.coordinator(group)
        offsets = [(partition, position, note) for partition, position in positions.items()]
        request = OffsetCommitRequest(
            group, _NO_GENERATION, "", _KEEP_AS_LONG_AS_THE_BROKER_DOES, [(self._connection.topic, offsets)]
        )
        answer = await self._connection.send(coordinator, request, sockets=ConnectionGroup.COORDINATION)
        for _, partitions in answer.topics:
            for partition, code in partitions:
                check(code, f"partition {partition}")
        self._coordinators[group] = coordinator
