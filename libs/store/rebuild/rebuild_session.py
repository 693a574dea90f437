"""Rebuild sessions: the connections of a rebuild, and where the tables in use stand."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import asyncpg

from libs.store.pool import CONNECT_TIMEOUT_S
from libs.store.reads.partition_tables import positions
from libs.store.rebuild.side_tables import SIDE

STATEMENT_S: Final = 6 * 3_600.0  # an index over hundreds of millions of rows
LOCK: Final = 0x666C_6971_5242  # 'fliqRB': only one rebuild may run in a database
_SESSION: Final = {
    "search_path": SIDE,
    "timezone": "UTC",
    "jit": "off",
    "statement_timeout": f"{STATEMENT_S:.0f}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_S:.0f}s",
    "lock_timeout": "10s",
    "maintenance_work_mem": "256MB",
    "client_connection_check_interval": "1s",  # if a rebuild is killed, its statement must not go on in the server
}
WRITER: Final = {
    # Rows are found by their keys, whatever the server assumes about tables that were never analysed.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "synchronous_commit": "off",  # nothing here is used before the switch, which waits for the disk
}


async def connect(stack: AsyncExitStack, dsn: str, name: str, settings: Mapping[str, str] | None = None) -> Any:
    """Return a connection to the schema of the side tables; *stack* closes it."""
    connection = await asyncpg.connect(
        dsn,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=STATEMENT_S,
        server_settings={**_SESSION, **(settings or {}), "application_name": f"fliq rebuild {name}"},
    )
    stack.push_async_callback(_close, connection)
    return connection


async def old_positions(connection: Any) -> dict[int, int]:
    """Return the positions of the tables in use, by partition."""
    return {part: position for part, (position, _) in (await positions(connection)).items()}


async def _close(connection: Any) -> None:
    try:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


@asynccontextmanager
async def undone(connection: Any) -> AsyncIterator[None]:
    """Run a transaction with one snapshot, which changes nothing in the end."""
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()
