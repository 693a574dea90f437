"""What an operator wants to know of the topic and its brokers, and its problems. Nothing is made or changed."""

from collections.abc import Mapping, Sequence

import msgspec
from aiokafka.errors import NoError, for_code

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
        trouble: the error that the brokers report for it, if any.
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
    code, number, leader, replicas, in_sync = row[:5]
    error = for_code(code)
    return PartitionReport(
        partition=number,
        leader=None if leader == -1 else leader,
        replicas=list(replicas),
        in_sync=list(in_sync),
        trouble=None if error is NoError else error.__name__,
    )


def problems(name: str, topic: TopicReport) -> list[Problem]:
    """Return the problems of *topic*, whose name is *name*. Refused or lost appends harm already, a missing replica may later."""
    if not topic.partitions:
        return [
            Problem(
                f"there is no topic {name}", "start the services or run `fliq migrate`; check FLIQ_KAFKA_TOPIC", True
            )
        ]
    found = []
    settings = dict(topic.settings)
    if (reason := topics.unfit(settings)) is not None:
        advice = "set it with kafka-configs.sh --alter; services refuse to start"
        found.append(Problem(f"topic {name}: {reason}", advice, True))
    replicas = min(len(each.replicas) for each in topic.partitions)
    found += [
        Problem(
            f"topic {name}: {doubt}", "for production: three brokers, and the settings of docs/operations.md", False
        )
        for doubt in topics.doubts(settings, replicas)
    ]
    leaderless = [each.partition for each in topic.partitions if each.leader is None]
    least = int(settings.get("min.insync.replicas") or 1)
    short = [each.partition for each in topic.partitions if each.leader is not None and len(each.in_sync) < least]
    thin = [each.partition for each in topic.partitions if least <= len(each.in_sync) < len(each.replicas)]
    if leaderless:
        found.append(
            Problem(f"{name_partitions(leaderless)} without a leader", "start the brokers that hold them", True)
        )
    if short:
        text = f"{name_partitions(short)}: fewer replicas in sync than min.insync.replicas ({least}), so nothing can be appended"
        found.append(Problem(text, "start the brokers that are missing", True))
    if thin:
        found.append(
            Problem(
                f"{name_partitions(thin)}: a replica is not in sync", "look for a broker that is down or slow", False
            )
        )
    return found
