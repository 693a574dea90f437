"""
Access: how an operator's command opens the database, the tables and the log, whether services run or not.

Nothing is migrated, claimed or locked, and no log is created: if something does not exist, one line says so. With the embedded
PostgreSQL, the server of `FLIQ_DATA_DIR` is used if a Fliq runs on it; otherwise it is started for as long as the command takes.

    async with database(settings) as dsn, event_log(settings, dsn) as log, tables(settings, dsn) as pool: ...

A `LogError` or `StoreUnavailable` that is raised inside becomes a `StartError`: one line, exit code 1.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from libs.log.port import Log, LogError
from libs.runtime.embedded_postgres import address as embedded_address
from libs.runtime.embedded_postgres.binaries import EmbeddedPostgresError
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from libs.runtime.settings.settings import Settings
from libs.store.errors import StoreUnavailable
from libs.store.pool import open_pool
from libs.store.schema.databases import has_database
from libs.store.schema.migrate import SchemaError, inspect_schema
from services.process.log_adapter import is_log_apart, log_place, open_log
from services.process.log_place import LogPlace, in_database
from services.process.start_error import StartError

CLOSE_S: Final = 5.0


@asynccontextmanager
async def database(settings: Settings, *, may_start: bool = True) -> AsyncIterator[str]:
    """
    Give the address of the database that the settings name. If it is embedded, and `make up` made one for this log, give that one.

    Args:
        may_start: start an embedded server that does not run, and stop it afterwards.

    Raises:
        StartError: there is none, or it does not start.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    embedded_address.ignore_pg_variables()
    place = settings.data_dir.absolute()
    running = _running(place)
    if running is not None:
        yield await _of_log(settings, running)
        return
    if not embedded_address.exists(place):
        raise StartError(f"no Fliq has run in {place} yet: set FLIQ_DATA_DIR to its directory, or FLIQ_DATABASE_URL")
    if not may_start:
        raise StartError(f"the embedded PostgreSQL in {place} is not running: start `fliq all` first")
    async with AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(EmbeddedPostgres(place, say=_to_stderr))
        except EmbeddedPostgresError as error:
            raise StartError(str(error)) from error
        yield await _of_log(settings, server.dsn)


@asynccontextmanager
async def event_log(settings: Settings, dsn: str) -> AsyncIterator[Log]:
    """
    Give the log that the settings name, with the partitions that it has: nothing is made, nothing grows.

    Args:
        dsn: the database, for the log that is kept there.

    Raises:
        SettingsError: the settings of Kafka contradict each other.
        StartError: there is no log, or it cannot be reached or used.
    """
    try:
        async with AsyncExitStack() as stack:
            yield await open_log(settings, dsn, stack, must_exist=True)
    except LogError as error:
        raise StartError(f"{log_place(settings)}{error}") from error


@asynccontextmanager
async def log_alone(settings: Settings) -> AsyncIterator[Log]:
    """Give the log without a way to the tables: where it is not kept in the database, none is needed."""
    async with AsyncExitStack() as stack:
        dsn = "" if is_log_apart(settings) else await stack.enter_async_context(database(settings))
        yield await stack.enter_async_context(event_log(settings, dsn))


@asynccontextmanager
async def tables(settings: Settings, dsn: str, *, size: int = 2) -> AsyncIterator[Any]:
    """
    Give a pool of *size* connections to the tables, as `libs.store.pool` makes it.

    Raises:
        StartError: the database cannot be reached.
    """
    try:
        pool = await open_pool(dsn, name="command", size=size)
        try:
            yield pool
        finally:
            await _close(pool)
    except StoreUnavailable as error:
        raise StartError(f"{database_place(settings)}{error}") from error


async def check_schema(settings: Settings, dsn: str, *, exactly: bool = False) -> None:
    """
    Make sure that this build can read the tables; nothing is migrated.

    Args:
        exactly: refuse also what a newer build added and this one does not know.

    Raises:
        StartError: there are none, or they are another build's.
    """
    try:
        schema = await inspect_schema(dsn)
        schema.check()
    except SchemaError as error:
        raise StartError(str(error)) from error
    except StoreUnavailable as error:
        raise StartError(f"{database_place(settings)}{error}") from error
    if not schema.applied:
        raise StartError("there are no tables in this database yet: start the services first")
    if schema.pending:
        raise StartError(f"the tables lack {schema.pending[0].name} of this build: run `fliq migrate` first")
    if exactly and schema.unknown:
        raise StartError(f"the database is at schema {schema.version}, which this build does not know; use a newer one")


def database_place(settings: Settings) -> str:
    """Return the variable where trouble with the database is mended; the embedded one has none."""
    return "" if settings.database_url is None else "FLIQ_DATABASE_URL: "


def _running(data_dir: Path) -> str | None:
    try:
        return embedded_address.running_address(data_dir)
    except OSError as error:
        raise StartError(f"FLIQ_DATA_DIR: cannot use {data_dir}: {error.strerror}") from error


async def _of_log(settings: Settings, dsn: str) -> str:
    """Return the address of the tables of this log: `make up` gives those of a log in Kafka a database of their own."""
    name = LogPlace(bootstrap=settings.kafka_bootstrap, topic=settings.kafka_topic).database
    try:
        return in_database(dsn, name) if await has_database(dsn, name) else dsn
    except StoreUnavailable as error:
        raise StartError(str(error)) from error


def _to_stderr(line: str) -> None:
    print(f"fliq: {line}", file=sys.stderr, flush=True)  # noqa: T201 - progress, for a person


async def _close(pool: Any) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()
