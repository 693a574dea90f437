"""
AccountKeys: the wrapped data keys of accounts, and which master key wraps them (libs/sealing).

They exist nowhere else, so every write waits for the disk. A key is made only under the master key that counts, so that none is
left behind when the master key is replaced.
"""

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from libs.sealing.keyring import OF_INSTALLATION
from libs.sealing.master_keys import WrappedKey
from libs.store.errors import answer_call

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
    async def count(self) -> KeyCount:
        """Count the keys of accounts."""
        row = await self._pool.fetchrow(
            "SELECT count(DISTINCT account) FILTER (WHERE wrapped IS NOT NULL), count(wrapped),"
            " count(*) FILTER (WHERE wrapped IS NULL) FROM account_keys WHERE account <> $1",
            OF_INSTALLATION,
        )
        return KeyCount(*row)
