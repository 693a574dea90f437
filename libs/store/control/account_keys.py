"""
AccountKeys: the wrapped data keys of accounts, and which master key wraps them (libs/sealing).

They exist nowhere else, so every write waits for the disk. A key is made only under the master key that counts, so that none is
left behind when the master key is replaced.
"""

from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

from libs.sealing.keyring import OF_INSTALLATION
from libs.sealing.master_keys import WrappedKey
from libs.store.errors import answer_call, store_call

_SELECT: Final = "SELECT key_id, account, master_id, wrapped FROM account_keys"
_ADD: Final = """
INSERT INTO account_keys (key_id, account, master_id, wrapped)
SELECT $1, $2, $3, $4 FROM master_key
WHERE master_id = $3 AND NOT EXISTS (SELECT FROM account_keys WHERE account = $2 AND shredded_at IS NOT NULL)
ON CONFLICT (key_id) DO NOTHING RETURNING true
"""


class KeyCount(NamedTuple):
    """
    How many data keys there are.

    Args:
        accounts: that have at least one.
        keys: that can open something.
        shredded: that were deleted.
    """

    accounts: int
    keys: int
    shredded: int


class AccountKeys:
    """The keys. Every method raises `StoreUnavailable` if the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Use *pool*, whose commits must be synchronous."""
        self._pool = pool

    # --- for the keyring ------------------------------------------------------------------------------------------------

    @answer_call
    async def newest(self, account: str) -> WrappedKey | None:
        """Return the key that seals what is new of *account*; None if it has none, or was erased."""
        row = await self._pool.fetchrow(
            f"{_SELECT} WHERE account = $1 AND wrapped IS NOT NULL ORDER BY created_at DESC, key_id DESC LIMIT 1",
            account,
        )
        return None if row is None else WrappedKey(*row)

    @answer_call
    async def add(self, key: WrappedKey) -> bool:
        """Keep *key*; return False, and keep nothing, if another master key wraps by now, or the account was erased."""
        return bool(await self._pool.fetchval(_ADD, key.key_id, key.account, key.master_id, key.wrapped))

    @answer_call
    async def find(self, key_ids: Collection[str]) -> list[WrappedKey]:
        """Return those of *key_ids* that there are or were."""
        found = await self._pool.fetch(f"{_SELECT} WHERE key_id = ANY ($1::text[])", list(key_ids))
        return [WrappedKey(*row) for row in found]

    # --- for the start, and for operators -------------------------------------------------------------------------------

    @answer_call
    async def master_id(self) -> str | None:
        """Return the master key that wraps; None if nothing was ever sealed here."""
        found: str | None = await self._pool.fetchval("SELECT master_id FROM master_key")
        return found

    @answer_call
    async def begin(self, master_id: str) -> str:
        """Have *master_id* wrap, unless another master key does so already; return the one that does."""
        await self._pool.execute("INSERT INTO master_key (master_id) VALUES ($1) ON CONFLICT DO NOTHING", master_id)
        found: str = await self._pool.fetchval("SELECT master_id FROM master_key")
        return found

    @answer_call
    async def accounts(self) -> list[str]:
        """Return the accounts that have a key."""
        found = await self._pool.fetch(
            "SELECT DISTINCT account FROM account_keys WHERE wrapped IS NOT NULL AND account <> $1 ORDER BY 1",
            OF_INSTALLATION,
        )
        return [row["account"] for row in found]

    @store_call
    async def rewrap(self, rewrapped: Callable[[WrappedKey], WrappedKey], master_id: str) -> int:
        """
        Have *master_id* wrap from here on, and wrap every key anew that another one wraps; return how many those were.

        All or nothing; a key that is made meanwhile waits, and is made under *master_id*.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            # Before the first snapshot: a process that makes a key holds a weaker lock, and has committed when this one is had.
            await connection.execute("LOCK TABLE account_keys IN SHARE ROW EXCLUSIVE MODE")
            await connection.execute("UPDATE master_key SET master_id = $1", master_id)
            found = await connection.fetch(f"{_SELECT} WHERE wrapped IS NOT NULL AND master_id <> $1", master_id)
            keys = [rewrapped(WrappedKey(*row)) for row in found]
            await connection.executemany(
                "UPDATE account_keys SET master_id = $2, wrapped = $3 WHERE key_id = $1",
                [(key.key_id, key.master_id, key.wrapped) for key in keys],
            )
        return len(keys)

    @store_call
    async def shred(self, account: str) -> int:
        """
        Delete the keys of *account*, and all that it has besides jobs and schedules; no key is made for it any more.

        Return how many keys were deleted. The bytes of the keys are gone from the table's pages afterwards.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            done = await connection.execute(
                "UPDATE account_keys SET wrapped = NULL, shredded_at = now() WHERE account = $1 AND wrapped IS NOT NULL",
                account,
            )
            # A row that says so, also if the account never had a key.
            await connection.execute(
                "INSERT INTO account_keys (key_id, account, master_id, shredded_at) VALUES ($1, $2, '', now())"
                " ON CONFLICT DO NOTHING",
                f"erased {account}",
                account,
            )
            for table in (
                "webhook_endpoints",
                "api_tokens",
                "signing_secrets",
                "account_limits",
                "names",
                "idempotency",
            ):
                await connection.execute(f"DELETE FROM {table} WHERE account = $1", account)  # noqa: S608 - our own names
            await connection.execute("DELETE FROM accounts WHERE account = $1", account)
            await connection.execute(
                "UPDATE endpoint_changes SET count = count + 1"
            )  # nobody is to be told of anything any more
        await self._pool.execute("VACUUM account_keys")
        return int(done.rpartition(" ")[2])

    @answer_call
    async def count(self) -> KeyCount:
        """Count the keys of accounts."""
        row = await self._pool.fetchrow(
            "SELECT count(DISTINCT account) FILTER (WHERE wrapped IS NOT NULL), count(wrapped),"
            " count(*) FILTER (WHERE wrapped IS NULL) FROM account_keys WHERE account <> $1",
            OF_INSTALLATION,
        )
        return KeyCount(*row)
