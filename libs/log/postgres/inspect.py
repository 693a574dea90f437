"""What an operator wants to know of the log's tables. Nothing is made or changed."""

import asyncpg

from libs.log.error_line import line
from libs.log.port import LogError, LogUnavailable
from libs.log.postgres import sql
from libs.log.postgres.connection import CONNECTION_LOST, close, connect


async def partition_count(dsn: str, *, timeout_s: float = 5.0) -> int | None:
    """
    Return how many partitions the log in this database has; None if there is no log.

    Raises:
        LogUnavailable: the database cannot be reached.
        LogError: the database answers, but not to this query.
    """
    try:
        connection = await connect(dsn, timeout_s)
        try:
            if not await connection.fetchval(sql.EXISTS):
                return None
            return int(await connection.fetchval("SELECT count(*) FROM fliq_log.log_heads"))
        finally:
            await close(connection)
    except TimeoutError as error:
        raise LogUnavailable(f"the log's database does not answer within {timeout_s:g} s") from error
    except CONNECTION_LOST as error:
        raise LogUnavailable(f"the log's database cannot be reached: {line(error)}") from error
    except asyncpg.PostgresError as error:
        raise LogError(f"the log's tables cannot be used: {line(error)}") from error
