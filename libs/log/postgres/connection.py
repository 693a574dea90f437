"""Connections of the PostgreSQL log: their settings, the errors after which one is lost, and queries that may be repeated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from libs.log.error_line import line
from libs.log.growing_pauses import growing_pauses
from libs.log.port import LogError, LogUnavailable
from libs.runtime.postgres.known_arrays import KnownArrays

READERS_MAX: Final = 3
CONNECTIONS_MAX: Final = READERS_MAX + 2  # one more asks for the ends, one writes
_CLOSE_S: Final = 2.0

# The connection was lost, or the server cannot be used at the moment: try again on a new connection.
CONNECTION_LOST: Final = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.DatabaseDroppedError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # a primary that became a replica
)


class _Connection(KnownArrays, asyncpg.Connection):  # type: ignore[misc]  # asyncpg carries no types
    """A connection that asks the server of no arrays."""


def options(timeout_s: float) -> dict[str, Any]:
    """Return the settings of every connection of the log; *timeout_s* bounds connecting and each statement."""
    return {
        "timeout": timeout_s,
        "command_timeout": timeout_s,
        "connection_class": _Connection,
        "target_session_attrs": "read-write",  # a replica may lag, and G3 would not hold
        "server_settings": {
            "application_name": "fliq log",
            "synchronous_commit": "on",
            "default_transaction_isolation": "read committed",
            # A little earlier than our own timeout: the server's report that nothing was written is worth more than silence.
            "statement_timeout": str(int(timeout_s * 900)),
            "idle_in_transaction_session_timeout": str(int(timeout_s * 2000)),
            # Every statement has one right plan, along the primary key. By its own estimates, the server may keep a plan
            # from when the tables were empty, or compile code for a few rows.
            "enable_seqscan": "off",
            "enable_bitmapscan": "off",
            "max_parallel_workers_per_gather": "0",
            "jit": "off",
            "plan_cache_mode": "force_generic_plan",
        },
    }


async def connect(dsn: str, timeout_s: float) -> asyncpg.Connection:
    """Return a connection on which every wait is bounded by *timeout_s*; raises what asyncpg raises."""
    return await asyncpg.connect(dsn, **options(timeout_s))


async def close(connection: asyncpg.Connection) -> None:
    """Close the connection, by force if the server does not answer. Never raises for a connection that is lost."""
    try:
        await connection.close(timeout=_CLOSE_S)
    except (TimeoutError, asyncpg.PostgresError, *CONNECTION_LOST):
        connection.terminate()


@asynccontextmanager
async def one_connection(dsn: str, timeout_s: float) -> AsyncIterator[asyncpg.Connection]:
    """
    Enter with a connection, and close it at the end. Errors of the database inside the block are raised as those of the port.

    Raises:
        LogUnavailable: the database cannot be reached.
        LogError: the database answers, but refuses a statement.
    """
    try:
        connection = await connect(dsn, timeout_s)
        try:
            yield connection
        finally:
            await close(connection)
    except TimeoutError as error:
        raise LogUnavailable(f"the log's database does not answer within {timeout_s:g} s") from error
    except CONNECTION_LOST as error:
        raise LogUnavailable(f"the log's database cannot be reached: {line(error)}") from error
    except asyncpg.PostgresError as error:
        raise LogError(f"the log's tables cannot be used: {line(error)}") from error


class LogQueries:
    """
    A few connections for statements that may be repeated: reads, and trims.

    Args:
        dsn: the database.
        timeout_s: bound on one call, retries included.
        size: how many connections.
    """

    def __init__(self, dsn: str, timeout_s: float, size: int = READERS_MAX) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._size = size
        self._pool: asyncpg.Pool | None = None

    async def start(self) -> None:
        """Make the pool; connections are opened when they are needed."""

        async def leave(_: object) -> None:
            """Nothing to reset: these connections run single statements only."""

        # No minimum size: while the server is away asyncpg would reconnect in the background, with a traceback for each try.
        self._pool = await asyncpg.create_pool(
            self._dsn, min_size=0, max_size=self._size, reset=leave, **options(self._timeout_s)
        )

    async def stop(self) -> None:
        """Let running statements end for at most `_CLOSE_S`, then disconnect: their callers get `LogUnavailable`."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            await asyncio.wait_for(pool.close(), _CLOSE_S)
        except (TimeoutError, *CONNECTION_LOST):
            pool.terminate()

    async def run(self, statement: str, *args: Any) -> list[Any]:
        """
        Run *statement* and return its rows. If the connection is lost, run it again.

        Raises:
            LogUnavailable: it did not succeed in time.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._timeout_s
        pauses = growing_pauses()
        while True:
            if self._pool is None:
                raise LogUnavailable("the log is not running")
            try:
                async with asyncio.timeout_at(ends_at):
                    rows: list[Any] = await self._pool.fetch(statement, *args)
                    return rows
            except TimeoutError as error:
                raise LogUnavailable("the log's database does not answer in time") from error
            except CONNECTION_LOST as error:
                if loop.time() + (pause_s := next(pauses)) >= ends_at:
                    raise LogUnavailable(f"the log's database cannot be reached: {line(error)}") from error
            except asyncpg.PostgresError as error:
                raise LogUnavailable(f"the log cannot be read: {line(error)}") from error
            await asyncio.sleep(pause_s)
