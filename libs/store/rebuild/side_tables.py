"""
Side tables: copies of the tables of the fold, in a schema of their own, and the switch in which they replace the old tables.

    make      empty copies: columns, options, primary keys, grants; no autovacuum until they are in use
    index     the other indexes, once the rows are there: much less work than updating them row by row
    switch    one transaction: drop the old tables, move the new ones into their schema under the same names

The definition of a copy is read from the table in use, so a migration needs no second version here.

Why nothing can be written into an old table after the switch: a statement that waits for the table finds it gone when it gets
its lock, looks the name up again, and finds the new table. PostgreSQL does the same for prepared statements, whose plans end
with the table. The database also refuses a flush that was under way, because the lease that fences it is gone.

Why others are not blocked for long: the exclusive locks are requested with a short timeout, and given up if it passes, so other
processes queue behind them for that long at most. Autovacuum would block for longer, so it is asked to leave first.

A transaction that keeps a snapshot over several statements takes a weak lock on these tables first (`LOCK_BEFORE_SNAPSHOT` in
reads/partition_tables.py). Otherwise a snapshot that is older than the switch, and waited for it, would miss the newest rows of
the new tables.

Not safe: views, publications or foreign keys that an operator made on these tables; if there are views or keys, `make` refuses.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from libs.store.pool import SCHEMA
from libs.store.projection.rows import claim_columns
from libs.store.projection.table_registry import FOLD_TABLES
from libs.store.reads.partition_tables import TablePosition

SIDE: Final = "fliq_rebuild"
TABLES: Final = tuple(FOLD_TABLES)
LOCK_MS: Final = 200  # for which others may have to wait behind us, at each try
VACUUM_MS: Final = 5_000  # autovacuum leaves after a second

_ARE_MINE: Final = "SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class WHERE oid = ANY ($1::regclass[])"
_NOT_OURS: Final = """
SELECT DISTINCT v.oid::regclass::text FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = ANY ($1::regclass[]) AND v.oid <> d.refobjid
UNION
SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND confrelid = ANY ($1::regclass[])
"""
_OPTIONS: Final = "SELECT reloptions FROM pg_class WHERE oid = $1::regclass"
_KEYS: Final = """
SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conrelid = $1::regclass AND contype IN ('p', 'u')
"""
_INDEXES: Final = """
SELECT pg_get_indexdef(i.indexrelid) AS definition FROM pg_index i
WHERE i.indrelid = $1::regclass AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
ORDER BY i.indexrelid
"""
_GRANTS: Final = """
SELECT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee, g.privilege
FROM pg_class c, LATERAL (
    SELECT grantee, privilege_type AS privilege FROM aclexplode(c.relacl)
    UNION ALL
    SELECT x.grantee, x.privilege_type || ' (' || quote_ident(a.attname) || ')'
    FROM pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = c.oid AND NOT a.attisdropped
) g WHERE c.oid = $1::regclass AND g.grantee <> c.relowner
"""
_OWNERS: Final = """
SELECT quote_ident(pg_get_userbyid(o.relowner)) FROM pg_class o JOIN pg_class n ON n.oid = $2::regclass
WHERE o.oid = $1::regclass AND o.relowner <> n.relowner
"""
_LEASES_END: Final = """
UPDATE fliq.progress p SET position = f.position, claim_epoch = f.claim_epoch, claim_nonce = f.claim_nonce,
    lease_epoch = greatest(p.lease_epoch, coalesce(f.claim_epoch, 0)),
    lease_nonce = NULL, lease_node = NULL, lease_until = NULL, applied_at = clock_timestamp()
FROM unnest($1::int4[], $2::int8[], $3::int8[], $4::text[]) AS f (part, position, claim_epoch, claim_nonce)
WHERE p.part = f.part
"""


_NEEDS_RISE: Final = """
UPDATE fliq.progress p SET needs = greatest(p.needs, f.needs) FROM unnest($1::int4[], $2::int4[]) AS f (part, needs)
WHERE p.part = f.part
"""


class TablesLocked(Exception):
    """The old tables could not be locked, because another process holds them. The message says which one."""


class TablesNotOwned(Exception):
    """Another role owns the tables, or something that is not Fliq's depends on them and would be dropped with them."""


async def make(connection: Any) -> None:
    """
    Make the empty side tables; what an earlier run left is dropped first.

    Raises:
        TablesNotOwned: this role may not do it, or the switch would drop something that is not Fliq's.
    """
    tables = [f"{SCHEMA}.{table}" for table in TABLES]
    may_create = await connection.fetchval("SELECT has_database_privilege(current_database(), 'CREATE')")
    if not may_create or not await connection.fetchval(_ARE_MINE, tables):
        raise TablesNotOwned(
            "this role may not make a schema, or does not own Fliq's tables: rebuild as the one that migrates"
        )
    strangers = [row[0] for row in await connection.fetch(_NOT_OURS, tables)]
    if strangers:
        raise TablesNotOwned(
            f"{', '.join(strangers)} depend on Fliq's tables: drop them first, and make them again afterwards"
        )
    await drop(connection)
    async with connection.transaction():
        await connection.execute(f"CREATE SCHEMA {SIDE}")
        for table in TABLES:
            await _make(connection, table)


async def _make(connection: Any, table: str) -> None:
    old, new = f"{SCHEMA}.{table}", f"{SIDE}.{table}"
    options = [each for each in await connection.fetchval(_OPTIONS, old) or [] if not _is_vacuum_switch(each)]
    options.append("autovacuum_enabled=off")
    await connection.execute(
        f"CREATE TABLE {new} (LIKE {old} INCLUDING ALL EXCLUDING INDEXES) WITH ({', '.join(options)})"
    )
    for name, definition in await connection.fetch(_KEYS, old):
        await connection.execute(f'ALTER TABLE {new} ADD CONSTRAINT "{name}" {definition}')
    if owner := await connection.fetchval(_OWNERS, old, new):
        await connection.execute(f"ALTER TABLE {new} OWNER TO {owner}")
    for grantee, privilege in await connection.fetch(_GRANTS, old):
        await connection.execute(f"GRANT {privilege} ON {new} TO {grantee}")


async def indexes(connection: Any) -> list[str]:
    """Return the statements that make the side tables' indexes other than their keys."""
    found = []
    for table in TABLES:
        for (definition,) in await connection.fetch(_INDEXES, f"{SCHEMA}.{table}"):
            found.append(definition.replace(f" ON {SCHEMA}.{table} ", f" ON {SIDE}.{table} ", 1))
    return found


async def table_bytes(connection: Any) -> int:
    """Return how many bytes of disk the tables take that a rebuild makes again."""
    tables = [f"{SCHEMA}.{table}" for table in TABLES]
    taken: int = await connection.fetchval(
        "SELECT sum(pg_total_relation_size(t))::int8 FROM unnest($1::regclass[]) t", tables
    )
    return taken


async def schema_steps(connection: Any) -> list[int]:
    """Return the numbers of the migrations that were applied to the tables."""
    found = await connection.fetch(f"SELECT version FROM {SCHEMA}.migrations ORDER BY version")  # noqa: S608
    return [row["version"] for row in found]


async def drop(connection: Any) -> None:
    """Drop the side tables, if there are any."""
    await connection.execute(f"DROP SCHEMA IF EXISTS {SIDE} CASCADE")


async def raise_needs(connection: Any, needs: Mapping[int, int]) -> None:
    """Note in the tables in use what their rows will need once the new ones are there: *needs*, by partition."""
    await connection.execute(_NEEDS_RISE, list(needs), list(needs.values()))


@asynccontextmanager
async def switching(
    connection: Any,
) -> AsyncIterator[Callable[[Callable[[], Awaitable[dict[int, TablePosition]]]], Awaitable[None]]]:
    """
    Yield the function that makes the switch, within one transaction that ends with this context.

    Its argument folds the last records into the side tables while no other process can read or write the old ones, and returns
    the positions that they have then. If it raises `TablesLocked`, it may be called again.
    """
    async with connection.transaction():
        vacuumed = [table for table in TABLES if await _vacuum_switch(connection, table) is None]
        try:
            async with connection.transaction():  # a savepoint: the locks stay when it ends
                await connection.execute(f"SET LOCAL lock_timeout = {VACUUM_MS}")
                await connection.execute(f"LOCK TABLE {_names(('progress', *TABLES))} IN SHARE UPDATE EXCLUSIVE MODE")
        except asyncpg.LockNotAvailableError as error:
            raise TablesLocked(await _holders(connection)) from error

        async def switch(last: Callable[[], Awaitable[dict[int, TablePosition]]]) -> None:
            try:
                async with connection.transaction():  # a savepoint: if it fails, its locks are released
                    await connection.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")
                    await connection.execute(f"LOCK TABLE {_names(('progress', *TABLES))} IN ACCESS EXCLUSIVE MODE")
                    stands = await last()
                    for table in TABLES:
                        await connection.execute(f"DROP TABLE {SCHEMA}.{table}")
                        await connection.execute(f"ALTER TABLE {SIDE}.{table} SET SCHEMA {SCHEMA}")
                    for table in vacuumed:
                        await connection.execute(f"ALTER TABLE {SCHEMA}.{table} RESET (autovacuum_enabled)")
                    await connection.execute(f"DROP SCHEMA {SIDE}")
                    ended = [(part, position, *claim_columns(claim)) for part, (position, claim) in stands.items()]
                    await connection.execute(_LEASES_END, *map(list, zip(*ended, strict=True)))
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                raise TablesLocked(await _holders(connection)) from error

        yield switch


def _is_vacuum_switch(option: str) -> bool:
    return option.startswith("autovacuum_enabled=")


async def _vacuum_switch(connection: Any, table: str) -> str | None:
    options = await connection.fetchval(_OPTIONS, f"{SCHEMA}.{table}") or []
    return next((each for each in options if _is_vacuum_switch(each)), None)


def _names(tables: Sequence[str]) -> str:
    return ", ".join(f"{SCHEMA}.{table}" for table in tables)


_HOLDERS: Final = """
SELECT DISTINCT a.pid, a.application_name, a.state, extract(epoch FROM clock_timestamp() - a.xact_start)::int8 AS held_s
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.relation = ANY ($1::regclass[]) AND l.granted AND a.pid <> pg_backend_pid()
    AND a.xact_start < clock_timestamp() - interval '1 second'
ORDER BY held_s DESC LIMIT 3
"""


async def _holders(connection: Any) -> str:
    """Return which processes hold the tables, right after they could not be locked."""
    try:
        async with connection.transaction():
            found = await connection.fetch(_HOLDERS, [f"{SCHEMA}.{table}" for table in ("progress", *TABLES)])
    except asyncpg.PostgresError:
        return "the tables are held by somebody"  # the transaction itself is at its end
    if not found:
        return "the tables are in use all the time"
    return "the tables are held by " + ", ".join(
        f"process {row['pid']} ({row['application_name'] or 'no name'}, {row['state']}, for {row['held_s']} s)"
        for row in found
    )
