"""
Signing secrets: those of accounts and those of webhook endpoints, in two tables of one shape.

An owner has one current secret, and earlier ones that sign as well until their time is over. Here they are texts as the keyring
seals them (libs/sealing/sealed_secret.py).
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

SECRETS_MAX: Final = (
    10  # of one owner that sign at once: each costs two digests of every body, and a part of two headers
)


class SecretTable(NamedTuple):
    """A table of secrets, the column that names their owner, and the table of the owners, which has that column, too."""

    name: str
    owner: str
    owners: str


OF_ACCOUNTS: Final = SecretTable("signing_secrets", "account", "accounts")
OF_ENDPOINTS: Final = SecretTable("endpoint_secrets", "endpoint_id", "webhook_endpoints")


async def valid_secrets(connection: Any, table: SecretTable, owners: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return, for those of *owners* that have any, the secrets that sign now, the current one first."""
    found = await connection.fetch(
        f"SELECT {table.owner} AS owner, array_agg(secret ORDER BY expires_at DESC NULLS FIRST) AS secrets"  # noqa: S608 - our own names
        f" FROM {table.name} WHERE {table.owner} = ANY ($1::text[]) AND (expires_at IS NULL OR expires_at > now())"
        f" GROUP BY {table.owner}",
        list(owners),
    )
    return {row["owner"]: tuple(row["secrets"]) for row in found}


async def rotate_secret(pool: Any, table: SecretTable, owner: str, secret: str, *, overlap_s: float) -> bool:
    """
    Make *secret* the current one of *owner*; the one before it goes on signing for *overlap_s*.

    Return False, and change nothing, while `SECRETS_MAX` sign already: none of those was promised less than its time.
    """
    async with pool.acquire() as connection, connection.transaction():
        # Two rotations at once follow each other.
        await connection.execute(f"SELECT FROM {table.owners} WHERE {table.owner} = $1 FOR UPDATE", owner)
        count = await connection.fetchval(
            f"SELECT count(*) FROM {table.name} WHERE {table.owner} = $1 AND (expires_at IS NULL OR expires_at > now())",  # noqa: S608
            owner,
        )
        if count >= SECRETS_MAX:
            return False
        await connection.execute(
            f"UPDATE {table.name} SET expires_at = now() + make_interval(secs => $2::float8)"  # noqa: S608
            f" WHERE {table.owner} = $1 AND expires_at IS NULL",
            owner,
            overlap_s,
        )
        await connection.execute(f"INSERT INTO {table.name} ({table.owner}, secret) VALUES ($1, $2)", owner, secret)  # noqa: S608
    return True
