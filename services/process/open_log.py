"""
Opens the log that the settings name, in Kafka or in PostgreSQL; describes it, and prepares its tables.

Here, and nowhere else, the adapter of the log is picked. The client of Kafka is imported only where it is used. What an adapter can
do besides the port's methods, it declares.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import structlog

from libs.log.log_report import LogReport, Problem
from libs.log.port import Log, LogError
from libs.log.postgres import PostgresLog
from libs.log.postgres.connection import CONNECTIONS_MAX
from libs.log.postgres.inspect import partition_count
from libs.runtime.settings.settings import Settings
from libs.store.schema.log_identity import check_log
from libs.store.schema.migrate import Step, migrate
from services.process.start_errors import of_log
from services.start_error import StartError

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
    try:
        found = await log_partitions(settings, dsn)
        if must_exist and found is None:
            raise StartError(of_log(settings, "there is no log yet: start the services first"))
        count = partitions or found or settings.partition_count
        if settings.partitions is not None and partitions is None and settings.partitions != count:
            reason = f"FLIQ_PARTITIONS is {settings.partitions}: `fliq partitions grow` adds to a log that is there"
            _log.warning("partition_count_kept", partitions=count, reason=reason)
        if settings.kafka_bootstrap is None:
            log = PostgresLog(dsn, partitions=count)
        else:
            from services.process.kafka_log import kafka_log  # a tenth of a start on PostgreSQL, which needs none of it

            log = kafka_log(settings, partitions=count)
        await log.start()
    except (LogError, OSError) as error:  # an SSLError is an OSError
        raise StartError(of_log(settings, error)) from error
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
    from services.process.kafka_log import kafka_log_report

    return await kafka_log_report(settings)
