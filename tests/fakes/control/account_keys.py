"""The table of data keys in memory, as libs/store/control/account_keys.py keeps it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from libs.sealing.master_keys import MasterKeys, WrappedKey

MASTER: Final = MasterKeys((b"m" * 32,))


class MemoryKeys:
    """The table; `is_away` lets every call fail."""

    def __init__(self) -> None:
        self.rows: dict[str, WrappedKey] = {}
        self.master_id = MASTER.master_id
        self.erased: set[str] = set()
        self.asked = 0
        self.is_away = False

    async def newest(self, account: str) -> WrappedKey | None:
        self._ask()
        own = [row for row in self.rows.values() if row.account == account and row.wrapped is not None]
        return own[-1] if own else None

    async def add(self, key: WrappedKey) -> bool:
        self._ask()
        if key.master_id != self.master_id or key.account in self.erased or key.key_id in self.rows:
            return False
        self.rows[key.key_id] = key
        return True

    async def find(self, key_ids: Collection[str]) -> list[WrappedKey]:
        self._ask()
        return [self.rows[key_id] for key_id in key_ids if key_id in self.rows]

    def shred(self, account: str) -> None:
        self.erased.add(account)
        self.rows = {
            key_id: row._replace(wrapped=None) if row.account == account else row for key_id, row in self.rows.items()
        }

    def _ask(self) -> None:
        self.asked += 1
        if self.is_away:
            raise ConnectionError("away")
