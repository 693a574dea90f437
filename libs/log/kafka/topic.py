"""
The topic: made with the settings on which the log's guarantees depend, and refused at start if it does not have them.

Kafka's defaults are for streams that may lose old records: a week of retention, or compaction. Fliq's log is the only truth about
jobs that are due next year, so it is safer to refuse to start than to use a topic with the wrong settings.
"""

from typing import Any, Final

import structlog
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code
from aiokafka.protocol.admin import CreatePartitionsRequest, CreateTopicsRequest, DescribeConfigsRequest
from aiokafka.protocol.metadata import MetadataRequest

from libs.log.kafka.connection import Connection, NotNow
from libs.log.port import LogError

MESSAGE_BYTES_MIN: Final = 1_048_588  # Kafka's own default: the largest value and its headers, but not much more
MESSAGE_BYTES: Final = 4_194_304  # of a topic made here: the most one append may take, since an append is one batch
REPLICAS: Final = 3  # or as many as there are brokers
MAKE_S: Final = 20.0
_TOPIC_RESOURCE: Final = 2

# The settings of a topic made here; `unfit` refuses some other values. Kafka writes all values as text.
SETTINGS: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "segment.ms": str(6 * 3_600_000),
    "max.message.bytes": str(MESSAGE_BYTES),
    "message.timestamp.type": "LogAppendTime",
    "unclean.leader.election.enable": "false",
    "compression.type": "producer",
}

_log = structlog.get_logger("log")


async def ensure(connection: Connection, partitions: int) -> dict[str, str]:
    """
    Make the topic if it does not exist, add missing partitions, check its settings and return them.

    Raises:
        LogError: the existing topic cannot be the log; one line says what to do.
        LogUnavailable: the brokers did not answer in time.
    """
    found = await connection.retry(lambda: _partition_count(connection), timeout_s=MAKE_S)
    if found == 0:
        await connection.retry(lambda: _create(connection, partitions), timeout_s=MAKE_S)
        found = await connection.retry(lambda: _partition_count(connection, at_least=1), timeout_s=MAKE_S)
    if found > partitions:
        raise LogError(
            f"the log has {found} partitions, more than the {partitions} asked for: "
            "partitions cannot be taken away, ask for at least as many"
        )
    settings = await connection.retry(lambda: settings_of(connection), timeout_s=MAKE_S)
    reason = unfit(settings)
    if reason is not None:
        raise LogError(f"the topic {connection.topic} is not fit to be the log: {reason}")
    if found < partitions:
        await connection.retry(lambda: _grow(connection, partitions), timeout_s=MAKE_S)
        await connection.retry(lambda: _partition_count(connection, at_least=partitions), timeout_s=MAKE_S)
    return settings


def unfit(settings: dict[str, str]) -> str | None:
    """Return why a topic with *settings* cannot be the log, and what to do; None if it can."""
    if settings.get("cleanup.policy") != "delete":
        return f"cleanup.policy is {settings.get('cleanup.policy')}, which removes records; set it to delete"
    for name in ("retention.ms", "retention.bytes"):
        if settings.get(name) != "-1":
            return f"{name} is {settings.get(name)}, which forgets jobs that are not due yet; set it to -1"
    largest = int(settings.get("max.message.bytes") or 0)
    if largest < MESSAGE_BYTES_MIN:
        return f"max.message.bytes is {largest}, too small for the largest job; set it to at least {MESSAGE_BYTES_MIN}"
    if settings.get("unclean.leader.election.enable") == "true":
        return "unclean.leader.election.enable is true, which gives up written records; set it to false"
    compression = settings.get("compression.type")
    if compression not in ("producer", "uncompressed", "gzip"):
        return f"compression.type is {compression}, which this build cannot read; set it to producer"
    return None


def doubts(settings: dict[str, str], replicas: int) -> list[str]:
    """Return what is allowed, but should not be so in production."""
    found = []
    if replicas < REPLICAS:
        found.append(f"replication factor {replicas}: what this broker's disk loses is lost")
    elif int(settings.get("min.insync.replicas") or 1) < 2:
        found.append("min.insync.replicas is 1: an append may stand on a single broker")
    if settings.get("message.timestamp.type") != "LogAppendTime":
        found.append("message.timestamp.type is not LogAppendTime: records bear the writers' clocks")
    return found


async def replicas_of(connection: Connection) -> int:
    """Return the smallest number of replicas that a partition has."""
    topic = await connection.retry(lambda: describe(connection))
    return min(len(partition[3]) for partition in topic[-1]) if topic is not None else 0


async def describe(connection: Connection) -> Any:
    """Return the topic's entry in the `MetadataResponse`; None if there is no such topic."""
    # Ask for all topics: if asked for one that does not exist, a broker may create it with its own settings.
    answer = await connection.send_to_any(MetadataRequest(None))
    for topic in answer.topics:
        if topic[1] == connection.topic:
            return topic
    return None


async def _partition_count(connection: Connection, *, at_least: int = 0) -> int:
    topic = await describe(connection)
    count = 0 if topic is None else len(topic[-1])
    if count < at_least:
        raise NotNow(f"topic {connection.topic} has {count} partitions yet")
    return count


async def _create(connection: Connection, partitions: int) -> None:
    replicas = min(REPLICAS, max(1, connection.broker_count))
    settings = {**SETTINGS, "min.insync.replicas": str(min(2, replicas))}
    topic: Any = (connection.topic, partitions, replicas, [], list(settings.items()))
    answer = await connection.send_to_controller(CreateTopicsRequest([topic], int(connection.timeout_s * 1000), False))
    _check(answer.topic_errors, but=TopicAlreadyExistsError)
    _log.info("log_topic_made", topic=connection.topic, partitions=partitions, replicas=replicas)


async def _grow(connection: Connection, partitions: int) -> None:
    wanted: Any = (connection.topic, (partitions, None))
    answer = await connection.send_to_controller(
        CreatePartitionsRequest([wanted], int(connection.timeout_s * 1000), False)
    )
    if await _partition_count(connection) < partitions:  # else another process added them
        _check(answer.topic_errors)


async def settings_of(connection: Connection) -> dict[str, str]:
    """Return the topic's settings; raises `NotNow` if they cannot be read."""
    answer = await connection.send_to_any(DescribeConfigsRequest([(_TOPIC_RESOURCE, connection.topic, None)]))
    for code, message, _, _, entries in answer.resources:
        if for_code(code) is not NoError:
            raise NotNow(
                f"the settings of topic {connection.topic} cannot be read: {message or for_code(code).__name__}"
            )
        return {entry[0]: entry[1] or "" for entry in entries}
    raise NotNow("no settings in the answer")


def _check(errors: Any, *, but: type[Exception] | None = None) -> None:
    for _, code, *rest in errors:
        error = for_code(code)
        if error is not NoError and error is not but:
            raise NotNow(f"{error.__name__}: {rest[0] if rest and rest[0] else ''}".rstrip(": "))
