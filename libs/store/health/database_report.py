"""
DatabaseReport: the state of the database server and of the work that waits in its tables, for `fliq doctor`. It only reads.

Each method sends one or two statements, bounded by the pool. None of them scans a table that may be large.
"""

from __future__ import annotations

from typing import Any

import msgspec

from libs.domain.endpoints.webhook_event import FAILING, GONE
from libs.domain.job import UNDER_WAY
from libs.store.errors import store_call
from libs.store.projection.job_rows import JOBS, PENDING_WEBHOOK
from libs.store.projection.state_table import one_of

# Beyond its own timeout; by then a dispatcher has ended the call, or another has taken it over.
STUCK_AFTER_MS = 120_000


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """
    The database server.

    Args:
        version: as PostgreSQL numbers itself, 180006 for 18.6.
        at: its clock, ms since 1970 UTC.
        is_replica: whether it is a replica or read-only.
        unsafe: the settings with which a crash of the machine loses acknowledged writes.
        connections, connections_max: of all clients now, and how many the server allows.
    """

    version: int
    version_text: str
    at: int
    is_replica: bool
    unsafe: list[str]
    connections: int
    connections_max: int


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """
    Work that should have made progress; instants in ms since 1970 UTC.

    Args:
        oldest_due_at: the earliest `fire_at` of a job that has not fired; None if there is none.
        stuck_count: how many calls are under way for longer than they may be.
        webhook_count: how many webhooks of ended jobs are pending, at most 100,000.
        oldest_webhook_at: the earliest end among their jobs; None if there is none.
        disabled_endpoints: the webhook endpoints that Fliq disabled because they took nothing, the last ones first.
        over_day: accounts whose executions of this UTC day are used up; their due jobs wait for the next one.
    """

    oldest_due_at: int | None
    stuck_count: int
    webhook_count: int
    oldest_webhook_at: int | None
    over_day: list[str] = []
    disabled_endpoints: list[str] = []


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """One table with its indexes; *dead* is the share of its rows that vacuum has not removed yet."""

    table: str
    bytes: int
    dead: float


class DatabaseReport:
    """Asks the database through a pool of `libs.store.pool`."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @store_call
    async def server(self) -> Server:
        """Return the state of the server."""
        return Server(**await self._pool.fetchrow(_SERVER))

    @store_call
    async def work(self, now: int, *, daily_limit: int) -> Work:
        """
        Return the work that waits for longer than it should at *now* (ms since 1970 UTC).

        *daily_limit* is that of accounts without one of their own, 0 for none.
        """
        return Work(**await self._pool.fetchrow(_WORK, now - STUCK_AFTER_MS, daily_limit))

    @store_call
    async def clear_specs(self) -> int:
        """Return how many specs hold secrets that are not sealed: they were made before sealing. Reads all specs."""
        count: int = await self._pool.fetchval(_CLEAR_SPECS)
        return count

    @store_call
    async def sizes(self) -> tuple[int, list[Size]]:
        """Return the bytes of the whole database, and its tables, the largest first, those of the log included."""
        rows = await self._pool.fetch(_SIZES)
        total = await self._pool.fetchval("SELECT pg_database_size(current_database())")
        return total, [Size(**row) for row in rows]


_SERVER = """
SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS version_text,
    (extract(epoch FROM clock_timestamp()) * 1000)::int8 AS at,
    pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS is_replica,
    ARRAY(SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off') AS unsafe,
    (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    current_setting('max_connections')::int AS connections_max
"""

# By partition, because the minimum of each partition is the first entry of its part of the index `jobs_timer`.
_WORK = f"""
SELECT
    (SELECT min(first.fire_at) FROM progress p CROSS JOIN LATERAL (
        SELECT fire_at FROM jobs j WHERE j.part = p.part AND {JOBS.waits} ORDER BY fire_at LIMIT 1
    ) AS first) AS oldest_due_at,
    (SELECT count(*)::int FROM jobs
        WHERE {one_of("status", UNDER_WAY)} AND NOT held AND greatest(fire_at, started_at) + timeout_ms < $1) AS stuck_count,
    ARRAY(SELECT account FROM (
        SELECT account, sum(executions) AS used FROM progress
        JOIN usage_daily USING (part) WHERE day = (now() AT TIME ZONE 'UTC')::date GROUP BY account
    ) AS u LEFT JOIN account_limits USING (account)
    WHERE coalesce(executions_per_day, $2::int8) > 0 AND used >= coalesce(executions_per_day, $2) ORDER BY account
    ) AS over_day,
    ARRAY(SELECT endpoint_id FROM webhook_endpoints WHERE disabled_reason IN ('{GONE}', '{FAILING}')
        ORDER BY changed_at DESC LIMIT 1000) AS disabled_endpoints,
    webhooks.*
FROM (
    SELECT count(*)::int AS webhook_count, min(completed_at) AS oldest_webhook_at
    FROM (SELECT completed_at FROM jobs WHERE {PENDING_WEBHOOK} LIMIT 100000) AS pending
) AS webhooks
"""  # noqa: S608 - our own names

# A sealed spec has its URL elsewhere (libs/events/job.py); raw quotes stand in JSON around its own names and texts alone.
_CLEAR_SPECS = """
SELECT count(*) FROM specs WHERE substring(spec FROM 1 FOR 8) = '{"url":"'::bytea AND (
    position('"body":"'::bytea IN spec) > 0 OR position('eaders":{"'::bytea IN spec) > 0 OR position('?'::bytea IN spec) > 0
)
"""

_SIZES = """
SELECT n.nspname || '.' || c.relname AS "table", pg_total_relation_size(c.oid) AS bytes,
    coalesce(s.n_dead_tup::float8 / nullif(s.n_live_tup + s.n_dead_tup, 0), 0) AS dead
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relkind = 'r' AND n.nspname IN ('fliq', 'fliq_log') ORDER BY bytes DESC LIMIT 100
"""
