"""What an operator wants to know of the log's tables. Nothing is made or changed."""

from libs.log.postgres import sql
from libs.log.postgres.connection import one_connection


async def partition_count(dsn: str, *, timeout_s: float = 5.0) -> int | None:
    """
    Return how many partitions the log in this database has; None if there is no log.

    Raises:
        LogUnavailable: the database cannot be reached.
        LogError: the database answers, but not to this query.
    """
    async with one_connection(dsn, timeout_s) as connection:
        if not await connection.fetchval(sql.EXISTS):
            return None
        return int(await connection.fetchval("SELECT count(*) FROM fliq_log.log_heads"))
