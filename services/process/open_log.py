"""
Opens the log that the settings name, in Kafka or in PostgreSQL; describes it, and prepares its tables.

Here, and nowhere else, the adapter of the log is picked. What an adapter can do besides the port's methods, it declares.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import structlog

from libs.log.kafka import KafkaAccess, KafkaLog
from libs.log.kafka.inspect import inspect_topic, problems
from libs.log.log_report import LogReport, Problem
from libs.log.port import Log, LogError
from libs.log.postgres import PostgresLog
from libs.log.postgres.connection import CONNECTIONS_MAX
from libs.log.postgres.inspect import partition_count
from libs.runtime.settings.settings import Settings, SettingsError
from libs.store.schema.log_identity import check_log
from libs.store.schema.migrate import Step, migrate
from services.process.start_error import StartError, log_place

LOG_CONNECTIONS: Final = CONNECTIONS_MAX  # of a process to a log in PostgreSQL

_log = structlog.get_logger("process")


async def open_log(
    settings: Settings, dsn: str, stack: AsyncExitStack, *, partitions: int | None = None, must_exist: bool = False
) -> Log:
    """
    Open the log that the settings name; *stack* closes it. If there is none, make it, unless *must_exist* is set.

    Args:
        partitions: grow the log to so many. Without it, a log keeps the number that it has, whatever the settings say: running
            processes do not know of new partitions, and could not read them.

    Raises:
        SettingsError: the settings of Kafka contradict each other.
        StartError: the log cannot be reached, or is not as Fliq needs it.
    """
    log: Log
    place = log_place(settings)
    try:
        found = await log_partitions(settings, dsn)
        if must_exist and found is None:
            raise StartError(f"{place}there is no log yet: start the services first")
        count = partitions or found or settings.partition_count
        if settings.partitions is not None and partitions is None and settings.partitions != count:
            reason = f"FLIQ_PARTITIONS is {settings.partitions}: `fliq partitions grow` adds to a log that is there"
            _log.warning("partition_count_kept", partitions=count, reason=reason)
        if settings.kafka_bootstrap is None:
            log = PostgresLog(dsn, partitions=count)
        else:
            log = KafkaLog(kafka_access(settings), topic=settings.kafka_topic, partitions=count)
        await log.start()
    except LogError as error:
        raise StartError(f"{place}{error}") from error
    except (ssl.SSLError, OSError) as error:
        raise StartError(f"{place}{error}") from error
    stack.push_async_callback(log.stop)
    return log


async def prepare_tables(log: Log, dsn: str, told: Callable[[Step], None] | None = None) -> list[Step]:
    """
    Bring the tables up to this build's schema and to *log*'s partitions; return the steps that were applied.

    Raises:
        WrongLog: they belong to another log; nothing is touched then.
        SchemaError, StoreUnavailable, LogError: as `migrate`, and the log.
    """
    identity = await log.identity()
    await check_log(dsn, identity)
    done = await migrate(dsn, await log.partitions(), told=told)
    await check_log(dsn, identity)
    return done


async def log_partitions(settings: Settings, dsn: str) -> int | None:
    """
    Return how many partitions the log that the settings name has; None if there is none yet.

    Raises:
        LogError: it cannot be reached.
        SettingsError: the settings of Kafka contradict each other.
    """
    return (await log_report(settings, dsn)).partitions


async def log_report(settings: Settings, dsn: str) -> LogReport:
    """Return how the log that the settings name is, raising as `log_partitions` does; *dsn* is for a log in PostgreSQL."""
    if settings.kafka_bootstrap is None:
        count = await partition_count(dsn)
        none = (
            []
            if count
            else [Problem("there is no log in this database", "start the services, or run `fliq migrate`", True)]
        )
        return LogReport(f"in PostgreSQL, {count} partitions", count or None, none)
    name = settings.kafka_topic
    topic = await inspect_topic(kafka_access(settings), name)
    said = f"topic {name}: {len(topic.partitions)} partitions, {topic.brokers} brokers"
    return LogReport(said, len(topic.partitions) or None, problems(name, topic))


def kafka_access(settings: Settings) -> KafkaAccess:
    """Return the way to the cluster that the settings name; raises `SettingsError` if they contradict each other."""
    try:
        return KafkaAccess(
            bootstrap=settings.kafka_bootstrap or "",
            tls=settings.kafka_tls,
            ca_file=settings.kafka_ca_file,
            cert_file=settings.kafka_cert_file,
            key_file=settings.kafka_key_file,
            username=settings.kafka_username,
            password=settings.kafka_password,
            mechanism=settings.kafka_mechanism,  # type: ignore[arg-type]  # the table of settings takes no other words
        )
    except ValueError as error:
        raise SettingsError(f"FLIQ_KAFKA_*: {error}") from None
