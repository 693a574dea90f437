"""Look: what an operator wants to know of the topic and its brokers, without making or changing any."""

from collections.abc import Mapping, Sequence

import msgspec
from aiokafka.errors import NoError, for_code

from libs.log.kafka import topic as topics
from libs.log.kafka.access import KafkaAccess
from libs.log.kafka.connection import Connection


class PartitionLook(msgspec.Struct, frozen=True, kw_only=True):
    """
    One partition of the topic.

    Args:
        leader: the broker that leads it; None while there is none.
        replicas, in_sync: the brokers that hold it, and those of them that have everything.
        trouble: what the brokers say of it, where they say anything.
    """

    partition: int
    leader: int | None
    replicas: Sequence[int]
    in_sync: Sequence[int]
    trouble: str | None = None


class TopicLook(msgspec.Struct, frozen=True, kw_only=True):
    """
    The topic as the cluster describes it.

    Args:
        brokers: how many there are.
        partitions: none when there is no such topic.
        settings: by name, as Kafka writes them; empty when there is no such topic.
    """

    brokers: int
    partitions: Sequence[PartitionLook]
    settings: Mapping[str, str]


async def look(access: KafkaAccess, topic: str, *, timeout_s: float = 5.0) -> TopicLook:
    """
    Return what the cluster says of *topic*.

    Raises:
        LogUnavailable: no broker answered in time.
    """
    connection = Connection(access, topic, client_id="fliq-look", timeout_s=timeout_s)
    try:
        await connection.start()
        described = await connection.retry(lambda: topics.describe(connection))
        found = [] if described is None else sorted(map(_partition, described[-1]), key=lambda each: each.partition)
        settings = await connection.retry(lambda: topics.settings_of(connection)) if found else {}
        return TopicLook(brokers=connection.broker_count, partitions=found, settings=settings)
    finally:
        await connection.stop()


def _partition(row: tuple[int, int, int, Sequence[int], Sequence[int]]) -> PartitionLook:
    code, number, leader, replicas, in_sync = row[:5]
    error = for_code(code)
    return PartitionLook(
        partition=number,
        leader=None if leader == -1 else leader,
        replicas=list(replicas),
        in_sync=list(in_sync),
        trouble=None if error is NoError else error.__name__,
    )
