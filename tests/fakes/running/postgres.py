"""
A real PostgreSQL for tests: one embedded server per run, started on first use, and a fresh database per test.

`pg_server`  session: the server's address (database `fliq`, kept empty)
`pg_dsn`     function: the DSN of an empty database of its own, dropped afterwards
`pg_dsn_of`  session: a factory of such databases for tests that need several, or copies of a prepared one

The server runs without fsync: tests that are about durability start one of their own (tests/e2e/embedded_postgres).
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from tests.fakes.running.memory_disk import data_folder

_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}


class Databases:
    """Makes and drops databases on one server. Blocking, so that synchronous and asynchronous tests can both use it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._numbers = itertools.count(1)

    def create(self, *, template: str = "template0") -> str:
        """Return the DSN of a new database, an empty one or a copy of the database named *template*."""
        name = f"t{next(self._numbers)}"
        # Without fsync, copying files takes 7 ms and going through the log 120 ms.
        self._execute(f'CREATE DATABASE {name} TEMPLATE "{template}" STRATEGY FILE_COPY')
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{name}"))

    def drop(self, dsn: str) -> None:
        """Drop the database, and with it connections that a test left open."""
        self._execute(f'DROP DATABASE IF EXISTS "{database_of(dsn)}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(self.dsn, timeout=10, command_timeout=30)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        # In a thread, so that it works with and without a loop running here.
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(asyncio.run, run()).result(timeout=60)


def database_of(dsn: str) -> str:
    """Return the name of the database that *dsn* points to."""
    return urlsplit(dsn).path.lstrip("/")


@contextmanager
def fresh_server(settings: dict[str, str] | None = None) -> Iterator[str]:
    """Run a new server, with fsync unless *settings* say otherwise; returns its address (database `fliq`)."""
    directory = data_folder("fliq-pg-")
    directory.chmod(0o711)
    server = EmbeddedPostgres(directory / "d", settings=settings or {}, say=lambda _: None)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def pg_server() -> Iterator[str]:
    """One embedded PostgreSQL for the whole run."""
    with fresh_server(_FAST) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def pg_dsn_of(pg_server: str) -> Databases:
    """The factory of databases on the shared server."""
    return Databases(pg_server)


@pytest.fixture
def pg_dsn(pg_dsn_of: Databases) -> Iterator[str]:
    """The DSN of a fresh, empty database; dropped after the test."""
    dsn = pg_dsn_of.create()
    yield dsn
    pg_dsn_of.drop(dsn)


async def fetch(dsn: str, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of its own, and return its rows."""
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query, *arguments)]
    finally:
        await connection.close()
