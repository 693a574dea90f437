"""
Access: how an operator's command opens the database, the tables and the log, whether services run or not.

Nothing is migrated, claimed or locked, and no log is created: if something does not exist, one line says so. With the embedded
PostgreSQL, the server of `FLIQ_DATA_DIR` is used if a Fliq runs on it; otherwise it is started for as long as the command takes.

    async with opened(settings) as access:
        log, pool = await access.log(), await access.tables()

An error of log or tables that is raised inside becomes a `StartError`: one line, exit code 1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from libs.log.port import Log
from libs.runtime.embedded_postgres import address as embedded_address
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from libs.runtime.lockfile import unusable
from libs.runtime.settings.settings import Settings
from libs.runtime.telemetry import logging
from libs.store.schema.databases import has_database
from libs.store.schema.migrate import inspect_schema
from services.commands.output import progress
from services.process.log_place import LogPlace, in_database
from services.process.open_log import open_log
from services.process.pools import enter_pool
from services.process.start_errors import start_errors
from services.start_error import StartError


class Access:
    """
    What one command has opened; its stack closes it.

    Args:
        dsn: the address of the database; empty if the command does not need one.
    """

    def __init__(self, settings: Settings, dsn: str, stack: AsyncExitStack) -> None:
        self.dsn = dsn
        self._settings = settings
        self._stack = stack

    async def log(self) -> Log:
        """
        Open the log that the settings name, with the partitions that it has: nothing is made, nothing grows.

        Raises:
            SettingsError: the settings of Kafka contradict each other.
            StartError: there is no log, or it cannot be reached or used.
        """
        return await open_log(self._settings, self.dsn, self._stack, must_exist=True)

    async def tables(self, *, size: int = 1) -> Any:
        """Open a pool of *size* connections to the tables. Raises `StoreUnavailable`."""
        return await enter_pool(self._stack, self.dsn, name="command", size=size)

    async def check_schema(self, *, exactly: bool = False) -> None:
        """
        Make sure that this build can read the tables; nothing is migrated.

        Args:
            exactly: refuse also what a newer build added and this one does not know.

        Raises:
            StartError: there are none.
            SchemaError, StoreUnavailable: they are another build's, or cannot be reached.
        """
        schema = await inspect_schema(self.dsn)
        schema.check()
        if not schema.applied:
            raise StartError("there are no tables in this database yet: start the services first")
        if schema.pending:
            raise StartError(f"the tables lack {schema.pending[0].name} of this build: run `fliq migrate` first")
        if exactly and schema.unknown:
            raise StartError(
                f"the database is at schema {schema.version}, which this build does not know; use a newer one"
            )


@asynccontextmanager
async def opened(
    settings: Settings, *, log_level: str | None = "error", may_start: bool = True, needs_database: bool = True
) -> AsyncIterator[Access]:
    """
    Give access to the database that the settings name. If it is embedded, and `make up` made one for this log, give that one.

    Args:
        log_level: least important log lines that are written; None leaves logging as it is.
        may_start: start an embedded server that does not run, and stop it afterwards.
        needs_database: False if only a log is opened that is not kept in the database.

    Raises:
        StartError: there is no database, or it does not start.
    """
    if log_level is not None:
        logging.configure(log_level, settings.log_format)
    with start_errors(settings):
        async with AsyncExitStack() as stack:
            dsn = await _database(settings, stack, may_start=may_start) if needs_database else ""
            yield Access(settings, dsn, stack)


async def _database(settings: Settings, stack: AsyncExitStack, *, may_start: bool) -> str:
    if settings.database_url is not None:
        return settings.database_url
    embedded_address.ignore_pg_variables()
    place = settings.data_dir.absolute()
    dsn = _running(place)
    if dsn is None:
        if not embedded_address.exists(place):
            raise StartError(
                f"no Fliq has run in {place} yet: set FLIQ_DATA_DIR to its directory, or FLIQ_DATABASE_URL"
            )
        if not may_start:
            raise StartError(f"the embedded PostgreSQL in {place} is not running: start `fliq all` first")
        dsn = (await stack.enter_async_context(EmbeddedPostgres(place, say=progress))).dsn
    # `make up` gives the tables of a log in Kafka a database of their own.
    name = LogPlace(bootstrap=settings.kafka_bootstrap, topic=settings.kafka_topic).database
    return in_database(dsn, name) if await has_database(dsn, name) else dsn


def _running(data_dir: Path) -> str | None:
    try:
        return embedded_address.running_address(data_dir)
    except OSError as error:
        raise StartError(unusable(data_dir, error)) from error
