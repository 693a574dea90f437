"""Look: what an operator wants to know of the topic and its brokers, and what is to be said of it; nothing is made or changed."""

from collections.abc import Mapping, Sequence

import msgspec
from aiokafka.errors import NoError, for_code

from libs.log.kafka import topic as topics
from libs.log.kafka.access import KafkaAccess
from libs.log.kafka.connection import Connection
from libs.log.log_report import Trouble, numbers


class PartitionReport(msgspec.Struct, frozen=True, kw_only=True):
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


class TopicReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    The topic as the cluster describes it.

    Args:
        brokers: how many there are.
        partitions: none when there is no such topic.
        settings: by name, as Kafka writes them; empty when there is no such topic.
    """

    brokers: int
    partitions: Sequence[PartitionReport]
    settings: Mapping[str, str]


async def inspect_topic(access: KafkaAccess, topic: str, *, timeout_s: float = 5.0) -> TopicReport:
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
        return TopicReport(brokers=connection.broker_count, partitions=found, settings=settings)
    finally:
        await connection.stop()


def _partition(row: tuple[int, int, int, Sequence[int], Sequence[int]]) -> PartitionReport:
    code, number, leader, replicas, in_sync = row[:5]
    error = for_code(code)
    return PartitionReport(
        partition=number,
        leader=None if leader == -1 else leader,
        replicas=list(replicas),
        in_sync=list(in_sync),
        trouble=None if error is NoError else error.__name__,
    )


def troubles(name: str, topic: TopicReport) -> list[Trouble]:
    """Judge *topic*, whose name is *name*: what refuses or loses appends is wrong, a missing replica may become so."""
    if not topic.partitions:
        return [
            Trouble(
                f"there is no topic {name}", "start the services or run `fliq migrate`; check FLIQ_KAFKA_TOPIC", True
            )
        ]
    found = []
    settings = dict(topic.settings)
    if (reason := topics.unfit(settings)) is not None:
        advice = "set it with kafka-configs.sh --alter; services refuse to start"
        found.append(Trouble(f"topic {name}: {reason}", advice, True))
    replicas = min(len(each.replicas) for each in topic.partitions)
    found += [
        Trouble(
            f"topic {name}: {doubt}", "for production: three brokers, and the settings of docs/operations.md", False
        )
        for doubt in topics.doubts(settings, replicas)
    ]
    leaderless = [each.partition for each in topic.partitions if each.leader is None]
    least = int(settings.get("min.insync.replicas") or 1)
    short = [each.partition for each in topic.partitions if each.leader is not None and len(each.in_sync) < least]
    thin = [each.partition for each in topic.partitions if least <= len(each.in_sync) < len(each.replicas)]
    if leaderless:
        found.append(Trouble(f"{numbers(leaderless)} without a leader", "start the brokers that hold them", True))
    if short:
        text = (
            f"{numbers(short)}: fewer replicas in sync than min.insync.replicas ({least}), so nothing can be appended"
        )
        found.append(Trouble(text, "start the brokers that are missing", True))
    if thin:
        found.append(
            Trouble(f"{numbers(thin)}: a replica is not in sync", "look for a broker that is down or slow", False)
        )
    return found
