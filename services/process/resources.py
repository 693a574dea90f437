"""
Resources: what the services of one process share, opened in order and closed in the reverse order by one exit stack.

    settings -> PostgreSQL (yours, or the embedded one) -> log (Kafka, or that PostgreSQL) -> tables -> pools

Here, and nowhere else, the adapter of the log is picked. Nothing is built at import time.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import structlog

from libs.egress.policy import EgressPolicy
from libs.log.kafka import KafkaAccess, KafkaLog
from libs.log.kafka.inspect import inspect_topic, troubles
from libs.log.measured import MeasuredLog
from libs.log.port import Log, LogError
from libs.log.postgres import PostgresLog
from libs.log.postgres.inspect import partition_count
from libs.log.reported_positions import ReportPositions, has_company
from libs.log.trouble import LogReport, Trouble
from libs.runtime.clock import SteadyClock, SystemEntropy
from libs.runtime.embedded_postgres.binaries import EmbeddedPostgresError
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from libs.runtime.lifecycle import Supervisor
from libs.runtime.node import Node, NodeError
from libs.runtime.settings.settings import Settings, SettingsError
from libs.runtime.telemetry.metrics import Metrics
from libs.runtime.telemetry.tracing import NO_TRACING, Tracing
from libs.store.errors import StoreUnavailable
from libs.store.health.clock_check import ClockCheck
from libs.store.pool import open_pool
from libs.store.projection.progress import ProgressWatch
from libs.store.schema.log_identity import WrongLog, check_log, database_name
from libs.store.schema.migrate import SchemaError, Step, migrate
from services import VERSION

ROLES: Final = ("scheduler", "dispatcher", "webhooks", "api")  # started in this order, stopped in the reverse
GROUPS: Final = tuple(f"fliq-{role}" for role in ROLES[:3])  # under which the readers among them show where they are
FLUSH_CONNECTIONS: Final = 2
READ_CONNECTIONS: Final = 8
CONTROL_CONNECTIONS: Final = 6

_log = structlog.get_logger("fliq")


class StartError(Exception):
    """Fliq cannot start; the message is one line that says what is wrong and what to do."""


class Resources:
    """What the services of one process share."""

    def __init__(self, settings: Settings, roles: Sequence[str]) -> None:
        """Note what is wanted; nothing is opened before `open`."""
        self.settings = settings
        self.roles = roles
        self.clock = SteadyClock()
        self.entropy = SystemEntropy()
        self.metrics = Metrics(version=VERSION)
        self.tracing: Tracing = NO_TRACING
        self.supervisor = Supervisor()
        try:
            self.policy = EgressPolicy.parse(settings.egress_allow, deny=settings.egress_deny)
        except ValueError as error:
            raise SettingsError(f"FLIQ_EGRESS_ALLOW: {error}") from None
        self.node = ""
        self.database_name = ""
        self.partitions = 0
        self.embedded: EmbeddedPostgres | None = None
        self.first_token: str | None = None
        self.log: Log
        self.report_positions: ReportPositions | None = None  # where the log has tools that want to know
        self.tables_pool: Any = None
        self.control_pool: Any = None
        self.flush_pool: Any = None
        self.watch: ProgressWatch
        self.clock_check: ClockCheck

    async def open(self, stack: AsyncExitStack) -> None:
        """Open database, log and tables; raises `StartError` or `SettingsError`."""
        settings = self.settings
        watches: list[ProgressWatch] = []  # the one of this process, once there are connections that it can watch with

        def connected() -> None:
            for watch in watches:
                watch.forget()

        if settings.database_url is None and len(self.roles) < len(ROLES):
            raise SettingsError(
                "FLIQ_DATABASE_URL: a service on its own needs the database that the others use;"
                " `fliq all` brings one along"
            )
        try:
            node = Node.claim(settings.data_dir, override=settings.node, entropy=self.entropy)
            stack.callback(node.release)
            self.node = node.name
            dsn = await self._database(stack)
            log = await open_log(settings, dsn, stack)
            self.report_positions = log.report_positions if isinstance(log, KafkaLog) else None
            self.log = MeasuredLog(log, self.metrics)
            self.partitions = await self.log.partitions()
            await prepare_tables(self.log, dsn)
            self.database_name = await database_name(dsn)
            if isinstance(log, KafkaLog) and await has_company(
                GROUPS, log.reported_notes, writer=self.database_name, clock=self.clock
            ):
                raise StartError(
                    f"FLIQ_KAFKA_TOPIC: another Fliq, with another database, works on the topic {settings.kafka_topic}"
                    " at this moment: give each a topic of its own, or stop the other one"
                )
            self.tables_pool = await open_pool(dsn, name="tables", size=READ_CONNECTIONS, on_connect=connected)
            stack.push_async_callback(_close_pool, self.tables_pool)
            self.control_pool = await open_pool(dsn, name="control", size=CONTROL_CONNECTIONS)
            stack.push_async_callback(_close_pool, self.control_pool)
            self.flush_pool = await open_pool(dsn, name="flush", size=FLUSH_CONNECTIONS, asynchronous_commit=True)
            stack.push_async_callback(_close_pool, self.flush_pool)
            self.clock_check = ClockCheck(self.control_pool, self.clock)
            await self.clock_check.look()
        except (EmbeddedPostgresError, NodeError, SchemaError, WrongLog) as error:
            raise StartError(str(error)) from error
        except StoreUnavailable as error:
            raise StartError(f"{_database_name(settings)}{error}") from error
        except LogError as error:  # it answered when it was opened, and does not any more
            raise StartError(f"{log_place(settings)}{error}") from error
        self.watch = ProgressWatch(self.tables_pool)
        watches.append(self.watch)
        stack.push_async_callback(self.watch.stop)

    async def database_reason(self) -> str | None:
        """Return None when the database answers, else why not; asked by `/readyz`, which bounds the wait."""
        try:
            await self.control_pool.fetchval("SELECT 1")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            return f"the database does not answer: {type(error).__name__}"
        return None

    async def _database(self, stack: AsyncExitStack) -> str:
        if self.settings.database_url is not None:
            return self.settings.database_url
        self.embedded = EmbeddedPostgres(self.settings.data_dir)
        await stack.enter_async_context(self.embedded)
        watching = asyncio.create_task(self.embedded.watch(), name="embedded postgresql")
        self.supervisor.watch("embedded postgresql", watching)
        stack.push_async_callback(_end, watching)
        return self.embedded.dsn


async def open_log(
    settings: Settings, dsn: str, stack: AsyncExitStack, *, partitions: int | None = None, must_exist: bool = False
) -> Log:
    """
    Open the log that the settings name, made if there is none and *must_exist* is not set; *stack* closes it.

    Args:
        partitions: grow it to so many. Without that a log keeps the number that it has, whatever the settings say: grown while
            processes work that do not know of it, it would have partitions that some of them cannot read.

    Raises:
        SettingsError: the settings of Kafka contradict each other.
        StartError: it cannot be reached, or is not as Fliq needs it.
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
            _log.warning("the log keeps its number of partitions", partitions=count, reason=reason)
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


def log_place(settings: Settings) -> str:
    """Return the variable where trouble with the log is mended, as the beginning of a line."""
    return "FLIQ_KAFKA_BOOTSTRAP: " if is_log_apart(settings) else _database_name(settings)


def is_log_apart(settings: Settings) -> bool:
    """Whether the log is kept elsewhere than the tables, so that it can be looked at without them."""
    return settings.kafka_bootstrap is not None


async def log_partitions(settings: Settings, dsn: str) -> int | None:
    """
    Return how many partitions the log that the settings name has; None when there is none yet.

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
            else [Trouble("there is no log in this database", "start the services, or run `fliq migrate`", True)]
        )
        return LogReport(f"in PostgreSQL, {count} partitions", count or None, none)
    name = settings.kafka_topic
    topic = await inspect_topic(kafka_access(settings), name)
    said = f"topic {name}: {len(topic.partitions)} partitions, {topic.brokers} brokers"
    return LogReport(said, len(topic.partitions) or None, troubles(name, topic))


def kafka_access(settings: Settings) -> KafkaAccess:
    """Return the way to the cluster that the settings name; raises `SettingsError` when they contradict each other."""
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


def _database_name(settings: Settings) -> str:
    """Name the operator's own database by its variable, where it is mended; the embedded one has none."""
    return "" if settings.database_url is None else "FLIQ_DATABASE_URL: "


async def _close_pool(pool: Any) -> None:
    try:
        async with asyncio.timeout(5):
            await pool.close()
    except TimeoutError:
        pool.terminate()


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
