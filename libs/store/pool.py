"""
Connections to the tables, with every wait bounded: `open_pool` for services, `connected` for one errand of a start or a command.

The server gives a statement up after `STATEMENT_TIMEOUT_MS`, and we give it up a little later: the timer of a frozen server is
frozen, too, and no caller may wait for it. Reads and writes of one statement need no transaction block around them.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

import asyncpg

from libs.runtime.postgres.known_arrays import KnownArrays
from libs.store.errors import translated

SCHEMA = "fliq"
STATEMENT_TIMEOUT_MS = 10_000
COMMAND_TIMEOUT_S = 12.0  # later than the server's own, so that we get its error text if it is alive
CONNECT_TIMEOUT_S = 5.0
IDLE_LIFETIME_S = 60.0  # each takes 4 MB of the server


class _Connection(KnownArrays, asyncpg.Connection):  # type: ignore[misc]  # asyncpg carries no types
    """A connection that is not reset when it is released: no code in libs/store leaves session state behind."""

    def get_reset_query(self) -> str:
        """Return no query: the driver's default costs a round trip on every release."""
        return ""


@asynccontextmanager
async def connected(dsn: str, name: str, *, timeout_s: float = CONNECT_TIMEOUT_S) -> AsyncIterator[Any]:
    """Enter with a connection whose statements may take *timeout_s*; raises `StoreUnavailable`, also out of the block."""
    with translated():
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=timeout_s,
            connection_class=_Connection,
            server_settings={"application_name": f"fliq {name}", "search_path": SCHEMA},
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)


async def open_pool(
    dsn: str,
    *,
    name: str,
    size: int,
    settings: Mapping[str, str] = MappingProxyType({}),
    on_connect: Callable[[], None] | None = None,
) -> "asyncpg.Pool[Any]":
    """
    Return a pool of up to *size* connections. One is opened at once, so that a wrong address is found here.

    Args:
        name: shown in pg_stat_activity.
        settings: of the session, besides those of every pool.
        on_connect: called for every new connection. After a crash of the server all older connections are lost, so this is
            called before the first answer after the crash.

    Raises:
        StoreUnavailable: the server cannot be reached.
    """

    async def told(_: Any) -> None:
        if on_connect is not None:
            on_connect()

    with translated():
        return await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            max_inactive_connection_lifetime=IDLE_LIFETIME_S,
            connection_class=_Connection,
            init=told,
            server_settings={
                "application_name": f"fliq {name}"[:63],
                "search_path": SCHEMA,
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT_MS),
                "lock_timeout": str(STATEMENT_TIMEOUT_MS),
                "synchronous_commit": "on",
                "jit": "off",  # for short statements compiling costs more than running
                "timezone": "UTC",
                **settings,
            },
        )
