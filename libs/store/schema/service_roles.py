"""
Service roles: a role of the database for each service, with no more rights than the service uses.

The roles cannot log in. The operator grants each to the login that the service uses, so no password is made or kept here. Whoever
owns the tables, and migrates them, needs none of these roles.

    api         reads the fold; reads and writes what exists nowhere else: tokens, secrets, idempotency keys, endpoints
    scheduler   writes the fold, but reads no spec: what a job sends is not its business
    dispatcher  reads jobs, specs and signing secrets; writes its leases and the health of webhook endpoints
    webhooks    reads jobs, schedules, answers, specs, endpoints and signing secrets; writes its leases and positions

All of them append to the log, if it is in PostgreSQL, and none deletes from it. Which record counts is decided by its readers.
"""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg

from libs.runtime.roles import ROLES
from libs.store.pool import SCHEMA, connected
from libs.store.schema.migrate import LOCK_KEY, TABLE_WAIT_MS, TIMEOUT_S, SchemaError

LOG_SCHEMA: Final = "fliq_log"
_WRITE: Final = "SELECT, INSERT, UPDATE"
_COMMON: Final = dict.fromkeys(
    ("migrations", "instance", "progress", "role_lease", "account_limits", "master_key"), "SELECT"
)
_MEMBER: Final = {"members": "SELECT, INSERT, UPDATE, DELETE"}
_FOLLOWER: Final = {
    "role_lease": "SELECT, UPDATE",
    **dict.fromkeys(("specs", "signing_secrets", "account_keys"), "SELECT"),
}
_DISABLING: Final = "disabled_reason, version, changed_at, announced"

# Service -> table -> its rights.
GRANTS: Final[Mapping[str, Mapping[str, str]]] = {
    "api": {
        **_COMMON,
        **dict.fromkeys(
            (
                *("jobs", "specs", "schedules", "executions", "responses", "labels", "usage_daily"),
                *("daily_grants", "deliveries", "history"),
            ),
            "SELECT",
        ),
        "members": "SELECT",
        "instance": "SELECT, INSERT",
        "idempotency": _WRITE,
        "names": _WRITE,
        "accounts": _WRITE,
        "signing_secrets": _WRITE,
        "api_tokens": f"{_WRITE}, DELETE",
        "webhook_endpoints": f"{_WRITE}, DELETE",
        "endpoint_secrets": _WRITE,
        "endpoint_changes": "SELECT, UPDATE",
        "endpoint_health": "SELECT, DELETE",
        "endpoint_recoveries": _WRITE,
        "account_keys": "SELECT, INSERT",
        "master_key": "SELECT, INSERT",
    },
    "scheduler": {
        **_COMMON,
        **_MEMBER,
        **dict.fromkeys(("schedules", "usage_daily", "history"), _WRITE),
        **dict.fromkeys(("jobs", "executions", "responses", "labels", "deliveries"), f"{_WRITE}, DELETE"),
        "fan_out": "SELECT",
        "idempotency": "SELECT (account, key, job_id), DELETE",  # those of forgotten jobs
        "daily_grants": f"{_WRITE}, DELETE",
        "progress": "SELECT, UPDATE",
        "specs": "INSERT, SELECT (spec_id), DELETE",  # the key is read to see whether the spec is there
    },
    "dispatcher": {
        **_COMMON,
        **_MEMBER,
        **_FOLLOWER,
        "jobs": "SELECT",
        "deliveries": "SELECT",
        "webhook_endpoints": f"SELECT (endpoint_id, {_DISABLING}), UPDATE ({_DISABLING})",
        "endpoint_secrets": "SELECT",
        "endpoint_changes": "SELECT, UPDATE",
        "endpoint_health": f"{_WRITE}, DELETE",
        "account_keys": "SELECT, INSERT",  # for what it keeps of answers
    },
    "webhooks": {
        **_COMMON,
        **_MEMBER,
        **_FOLLOWER,
        **dict.fromkeys(("jobs", "schedules", "executions", "responses", "deliveries"), "SELECT"),
        "fan_out": _WRITE,
        "webhook_endpoints": "SELECT, UPDATE (announced)",
        "endpoint_recoveries": "SELECT, UPDATE",
        "endpoint_changes": "SELECT",
        "account_keys": "SELECT, INSERT",  # for what it tells webhook endpoints
        "master_key": "SELECT, INSERT",
    },
}
LOG_GRANTS: Final = {"log_heads": "SELECT, UPDATE", "log_events": "SELECT, INSERT"}

# The table `instance` also keeps the key under which tokens are hashed, which only the API may see.
_PUBLIC_ROWS: Final = "name IN ('log', 'database')"


def role_of(service: str) -> str:
    """Return the name of the role of *service*."""
    return f"fliq_{service}"


async def make_roles(dsn: str) -> list[str]:
    """
    Make the roles that are missing, give each exactly its rights, and return their names. May be called again at any time.

    Raises:
        SchemaError: this role may not make roles, or does not own the tables.
        StoreUnavailable: the server cannot be reached, or a table was not free.
    """
    async with connected(dsn, "roles", timeout_s=TIMEOUT_S) as connection:
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)
                await connection.execute(f"SET LOCAL lock_timeout = {TABLE_WAIT_MS}")
                has_log = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{LOG_SCHEMA}.log_heads")
                for service in ROLES:
                    await _make_role(connection, role_of(service))
                    await _grant(connection, role_of(service), SCHEMA, GRANTS[service])
                    if has_log:
                        await _grant(connection, role_of(service), LOG_SCHEMA, LOG_GRANTS)
                await _hide_secrets(connection)
        except asyncpg.InsufficientPrivilegeError as error:
            raise SchemaError(
                f"this role may not make the services' roles: {error}; run `fliq migrate --roles` as one that owns the"
                " tables and may make roles (CREATEROLE)"
            ) from error
    return [role_of(service) for service in ROLES]


async def _make_role(connection: Any, role: str) -> None:
    if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role):
        return
    try:
        async with connection.transaction():
            await connection.execute(f"CREATE ROLE {role} NOLOGIN")
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        pass  # roles are those of the whole server: another database's migration made it just now


async def _grant(connection: Any, role: str, schema: str, grants: Mapping[str, str]) -> None:
    await connection.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}")
    await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    for table, rights in grants.items():
        await connection.execute(f"GRANT {rights} ON {schema}.{table} TO {role}")


async def _hide_secrets(connection: Any) -> None:
    """Let the API see all rows of `instance`, the other services those that every service reads at its start."""
    others = ", ".join(role_of(service) for service in ROLES if service != "api")
    await connection.execute(
        f"""
        ALTER TABLE instance ENABLE ROW LEVEL SECURITY;
        DROP POLICY IF EXISTS of_api ON instance;
        DROP POLICY IF EXISTS of_services ON instance;
        CREATE POLICY of_api ON instance TO {role_of("api")} USING (true) WITH CHECK (true);
        CREATE POLICY of_services ON instance FOR SELECT TO {others} USING ({_PUBLIC_ROWS});
        """
    )
