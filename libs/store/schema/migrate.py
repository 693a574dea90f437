"""
migrate: brings the schema of the database up to this build's. The first process that starts does it.

Theory of operation

    Steps are the files of `migrations/`, in the order of their numbers. The table `migrations` holds the applied steps and their
    checksums. A step runs in a transaction of its own, under an advisory lock. If two processes start at once, one applies the step
    and the other finds it applied. If a process dies half-way through a step, nothing of the step remains, and the next process
    applies it.

    expand      The first line of the step is `-- expand` if older builds can work with it: it only adds. Older builds may also
                start on it, so that a release can be rolled out node by node, and rolled back.
    contract    The first line is `-- contract` if older builds would break; they refuse to start. What a release no longer uses is
                removed by a contract step of the release after it.

    While a step waits for a lock on a table, all later statements on that table wait behind it. So a step waits only for
    `TABLE_WAIT_MS`, lets the others go first, and tries again.

    If there is nothing to do, nothing is locked or changed: a role that may not create anything can start the services.

Not safe: changing a released step. A database where it was applied refuses it (checksum), and a test holds the checksums.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, Final, NamedTuple

import asyncpg

from libs.runtime.roles import FOLLOWERS
from libs.store.errors import StoreUnavailable
from libs.store.pool import SCHEMA, connected

LOCK_KEY = 0x666C6971  # 'fliq'
TIMEOUT_S = 120.0  # a migration may rewrite a table
TABLE_WAIT_MS: Final = 1_000  # for a lock on a table, while other statements wait behind us
_TABLE_TRIES: Final = 30
_TABLE_PAUSE_S: Final = 0.5

Connection = Any  # asyncpg carries no types


class SchemaError(Exception):
    """The schema cannot be used, or cannot be brought up to this build's; the text is one line for the operator."""


class SchemaTooNew(SchemaError):
    """The database was migrated by a newer build, and this one cannot work with it."""


class SchemaChanged(SchemaError):
    """A step was applied in another form than this build's."""


class Step(NamedTuple):
    """One migration; *is_expand*: builds that do not know it can work with it."""

    number: int
    name: str
    sql: str
    is_expand: bool

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


class Schema(NamedTuple):
    """
    The state of the schema in one database.

    Args:
        applied: the numbers of the applied steps.
        pending: the steps of this build that were not applied.
        unknown: the applied steps that this build does not know, each as its number and whether it is an expand step.
        changed: the names of the steps that were applied in another form.
        partitions: how many partitions have their rows in `progress`.
    """

    applied: frozenset[int]
    pending: tuple[Step, ...]
    unknown: tuple[tuple[int, bool], ...]
    changed: tuple[str, ...]
    partitions: int

    @property
    def version(self) -> int:
        """The number of the newest applied step; 0 if there is none."""
        return max(self.applied, default=0)

    def check(self) -> None:
        """Raise `SchemaError` if this build cannot work with it, even after a migration."""
        if self.changed:
            raise SchemaChanged(
                f"the database was made with another {self.changed[0]} than this build has: it belongs to another build"
            )
        if any(not is_expand for _, is_expand in self.unknown):
            raise SchemaTooNew(
                f"the database is at schema {self.version}, which this build does not know; start a newer one"
            )


def steps() -> list[Step]:
    """Return the migrations in order."""
    folder = files("libs.store.schema") / "migrations"
    found = sorted((entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [Step(int(name[:4]), name, sql, sql.startswith("-- expand")) for name, sql in found]


async def migrate(
    dsn: str,
    partitions: int,
    *,
    known: list[Step] | None = None,
    told: Callable[[Step], None] | None = None,
) -> list[Step]:
    """
    Make or extend the schema, and the progress and lease rows of partitions 0 to *partitions* - 1; return the steps applied here.

    Args:
        known: the steps; this build's by default.
        told: called with each step after it was applied.

    Raises:
        SchemaError: a newer or another build migrated the database, or this role may not change the schema.
        StoreUnavailable: the server cannot be reached, another process did not finish in time, or a table was never free.
    """
    known = steps() if known is None else known
    done: list[Step] = []
    async with connected(dsn, "migrate", timeout_s=TIMEOUT_S) as connection:
        try:
            for _ in range(len(known) + 1):
                schema = await _read_schema(connection, known)
                schema.check()
                if not schema.pending and schema.partitions >= partitions:
                    break
                applied = await _advance(connection, known, partitions)
                if applied is not None:
                    done.append(applied)
                    if told is not None:
                        told(applied)
        except asyncpg.InsufficientPrivilegeError as error:
            raise SchemaError(
                f"the schema has to be brought up to this build's, and this role may not: {error};"
                " run `fliq migrate` as one that may"
            ) from error
    return done


async def inspect_schema(dsn: str, *, known: list[Step] | None = None) -> Schema:
    """
    Return the state of the schema. Changes nothing.

    Raises:
        StoreUnavailable: the server cannot be reached.
    """
    async with connected(dsn, "migrate", timeout_s=TIMEOUT_S) as connection:
        return await _read_schema(connection, steps() if known is None else known)


async def _read_schema(connection: Connection, known: list[Step]) -> Schema:
    if await connection.fetchval("SELECT to_regclass($1) IS NULL", f"{SCHEMA}.migrations"):
        return Schema(frozenset(), tuple(known), (), (), 0)
    # As JSON, because columns that were added later may be missing.
    rows = await connection.fetch("SELECT m.version, to_jsonb(m)->>'checksum', to_jsonb(m)->>'kind' FROM migrations m")
    found: Mapping[int, tuple[str | None, str | None]] = {row[0]: (row[1], row[2]) for row in rows}
    numbers = {step.number for step in known}
    made = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{SCHEMA}.progress")
    return Schema(
        frozenset(found),
        tuple(step for step in known if step.number not in found),
        tuple((number, kind == "expand") for number, (_, kind) in sorted(found.items()) if number not in numbers),
        tuple(step.name for step in known if (found.get(step.number, ("", ""))[0] or step.checksum) != step.checksum),
        await connection.fetchval("SELECT count(*) FROM progress") if made else 0,
    )


async def _advance(connection: Connection, known: list[Step], partitions: int) -> Step | None:
    """Apply the first missing step and return it. If none is missing, add the rows of missing partitions and return None."""
    for tries_left in reversed(range(_TABLE_TRIES)):
        try:
            async with connection.transaction():
                # Locked before the schema is read: of two that start at once, only one may find an empty database.
                await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)
                await connection.execute(f"SET LOCAL lock_timeout = {TABLE_WAIT_MS}")
                return await _apply(connection, known, partitions)
        except asyncpg.LockNotAvailableError as error:
            if not tries_left:
                raise StoreUnavailable(f"the tables are never free for the migration: {error}") from error
            await asyncio.sleep(_TABLE_PAUSE_S)
    raise AssertionError("the last try returns or raises")


async def _apply(connection: Connection, known: list[Step], partitions: int) -> Step | None:
    await _make_notes(connection)
    schema = await _read_schema(
        connection, known
    )  # read again: the process that had the lock before us may have done it
    schema.check()
    for step in schema.pending[:1]:
        await connection.execute(step.sql)
        await connection.execute(
            "INSERT INTO migrations (version, name, checksum, kind) VALUES ($1, $2, $3, $4)",
            step.number,
            step.name,
            step.checksum,
            "expand" if step.is_expand else "contract",
        )
        return step
    for step in known:  # for steps that were applied before checksums were stored
        await connection.execute(
            "UPDATE migrations SET checksum = $2 WHERE version = $1 AND checksum IS NULL", step.number, step.checksum
        )
    await _add_partitions(connection, partitions)
    return None


async def _make_notes(connection: Connection) -> None:
    """Make the table of applied steps, and the columns that its first version did not have."""
    if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", SCHEMA):
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (version int4 PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    has_them = await connection.fetchval(
        "SELECT count(*) = 2 FROM pg_attribute WHERE attrelid = 'migrations'::regclass"
        " AND attname IN ('checksum', 'kind') AND NOT attisdropped"
    )
    if not has_them:
        await connection.execute(
            "ALTER TABLE migrations ADD COLUMN IF NOT EXISTS checksum text,"
            " ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT 'contract'"
        )


async def _add_partitions(connection: Connection, partitions: int) -> None:
    await connection.execute(
        "INSERT INTO progress (part) SELECT generate_series(0, $1::int4 - 1) ON CONFLICT DO NOTHING", partitions
    )
    await connection.execute(
        "INSERT INTO role_lease (role, part)"
        " SELECT role, part FROM unnest($2::text[]) role, generate_series(0, $1::int4 - 1) part ON CONFLICT DO NOTHING",
        partitions,
        list(FOLLOWERS),
    )
