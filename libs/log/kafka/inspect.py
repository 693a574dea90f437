"""What an operator wants to know of the topic and its brokers, and its problems. Nothing is made or changed."""

from collections.abc import Mapping, Sequence

import msgspec

from libs.log.kafka import topic as topics
from libs.log.kafka.access import KafkaAccess
from libs.log.kafka.connection import Connection
from libs.log.log_report import Problem, name_partitions


class PartitionReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    One partition of the topic.

    Args:
        leader: the broker that leads it; None if there is none.
        replicas, in_sync: the brokers that hold it, and those of them that have every record.
    """

    partition: int
    leader: int | None
    replicas: Sequence[int]
    in_sync: Sequence[int]


class TopicReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    The topic as the cluster describes it.

    Args:
        brokers: how many brokers there are.
        partitions: empty if there is no such topic.
        settings: by name, as Kafka writes them; empty if there is no such topic.
    """

    brokers: int
    partitions: Sequence[PartitionReport]
    settings: Mapping[str, str]


async def inspect_topic(access: KafkaAccess, topic: str, *, timeout_s: float = 5.0) -> TopicReport:
    """
    Ask the cluster to describe *topic*.

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
    _, number, leader, replicas, in_sync = row[:5]
    return PartitionReport(
        partition=number, leader=None if leader == -1 else leader, replicas=list(replicas), in_sync=list(in_sync)
    )


def problems(name: str, topic: TopicReport) -> list[Problem]:
    """Return the problems of *topic*, whose name is *name*. Refused or lost appends harm already, a missing replica may later."""
    if not topic.partitions:
        advice = "start the services or run `fliq migrate`; check FLIQ_KAFKA_TOPIC"
        return [Problem(f"there is no topic {name}", advice, is_wrong=True)]
    found = []
    settings = dict(topic.settings)
    if (reason := topics.unfit(settings)) is not None:
        advice = "set it with kafka-configs.sh --alter; services refuse to start"
        found.append(Problem(f"topic {name}: {reason}", advice, is_wrong=True))
    advice = "for production: three brokers, and the settings of docs/operations.md"
    doubts = topics.doubts(settings, min(len(each.replicas) for each in topic.partitions))
    found += [Problem(f"topic {name}: {doubt}", advice, is_wrong=False) for doubt in doubts]
    least = int(settings.get("min.insync.replicas") or 1)
    if leaderless := [each.partition for each in topic.partitions if each.leader is None]:
        text = f"{name_partitions(leaderless)} without a leader"
        found.append(Problem(text, "start the brokers that hold them", is_wrong=True))
    led = [each for each in topic.partitions if each.leader is not None]
    if short := [each.partition for each in led if len(each.in_sync) < least]:
        text = f"{name_partitions(short)}: fewer replicas in sync than min.insync.replicas ({least}), so nothing can be appended"
        found.append(Problem(text, "start the brokers that are missing", is_wrong=True))
    if thin := [each.partition for each in topic.partitions if least <= len(each.in_sync) < len(each.replicas)]:
        text = f"{name_partitions(thin)}: a replica is not in sync"
        found.append(Problem(text, "look for a broker that is down or slow", is_wrong=False))
    return found
