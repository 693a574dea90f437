"""The log in Kafka that the settings name: the way to it, and how it is."""

from __future__ import annotations

from libs.log.kafka import KafkaAccess, KafkaLog
from libs.log.kafka.inspect import inspect_topic, problems
from libs.log.log_report import LogReport
from libs.runtime.settings.settings import Settings, SettingsError


def kafka_log(settings: Settings, *, partitions: int) -> KafkaLog:
    """Return the log, which is not started; raises `SettingsError` if the settings contradict each other."""
    return KafkaLog(_access(settings), topic=settings.kafka_topic, partitions=partitions)


async def kafka_log_report(settings: Settings) -> LogReport:
    """
    Return how the topic is.

    Raises:
        LogError: the cluster cannot be reached.
        SettingsError: the settings contradict each other.
    """
    name = settings.kafka_topic
    topic = await inspect_topic(_access(settings), name)
    said = f"topic {name}: {len(topic.partitions)} partitions, {topic.brokers} brokers"
    return LogReport(said, len(topic.partitions) or None, problems(name, topic))


def _access(settings: Settings) -> KafkaAccess:
    """Return the way to the cluster; raises `SettingsError` if the settings contradict each other, or a file is of no use."""
    try:
        access = KafkaAccess(
            bootstrap=settings.kafka_bootstrap or "",
            tls=settings.kafka_tls,
            ca_file=settings.kafka_ca_file,
            cert_file=settings.kafka_cert_file,
            key_file=settings.kafka_key_file,
            username=settings.kafka_username,
            password=settings.kafka_password,
            mechanism=settings.kafka_mechanism,  # type: ignore[arg-type]  # the table of settings takes no other words
        )
        if access.tls:
            access.tls_context()  # a file that cannot be used is told at the start, by its name
        return access
    except (ValueError, OSError) as error:
        raise SettingsError(f"FLIQ_KAFKA_*: {error}") from None
