"""Daily budget: how many bytes of answers each account had kept on the current day (UTC), in this process."""

from typing import Final

from libs.domain.instants import day_of

ACCOUNTS_MAX: Final = 10_000  # that are counted; further ones have no budget on that day


class DailyBudget:
    """Counts from nothing each day, and after each start."""

    def __init__(self, bytes_max: int) -> None:
        """Allow each account *bytes_max* bytes a day."""
        self._bytes_max = bytes_max
        self._day = -1
        self._spent: dict[str, int] = {}

    def has_room(self, account: str, now: int) -> bool:
        """Say whether *account* has something left at *now*, ms since 1970."""
        if day_of(now) != self._day:
            self._day = day_of(now)
            self._spent.clear()
        spent = self._spent.get(account)
        return len(self._spent) < ACCOUNTS_MAX if spent is None else spent < self._bytes_max

    def spend(self, account: str, count: int) -> None:
        """Note that *count* bytes were kept; the caller has asked whether there is room, and kept few if not."""
        if account in self._spent or len(self._spent) < ACCOUNTS_MAX:
            self._spent[account] = self._spent.get(account, 0) + count
