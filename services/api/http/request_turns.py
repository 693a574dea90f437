"""
Request turns: how many requests of a kind that takes much are under way at once, shared fairly among accounts.

    lists     of anything that has many rows: these take loop time and memory, and few connections read them
    batches   take six times their size in memory while they are worked on
    changes   of one job or schedule, which is held with its body until the change is decided
"""

from __future__ import annotations

from typing import Final

from libs.following.account_turns import AccountTurns
from services.api.contract.api_error import unavailable

LISTS_AT_ONCE: Final = 8
BATCHES_AT_ONCE: Final = 12
CHANGES_AT_ONCE: Final = 64
WAIT_S: Final = 10.0


class RequestTurns(AccountTurns):
    """Account turns whose wait is bounded, and which say in the contract's shape that it was too long."""

    def __init__(self, total: int, *, wait_s: float = WAIT_S) -> None:
        super().__init__(total, wait_s=wait_s)

    async def take(self, account: str) -> None:
        """
        Wait for a turn of *account*; call `give` afterwards.

        Raises:
            ApiError: 503 if none comes in time.
        """
        try:
            await super().take(account)
        except TimeoutError:
            raise unavailable("too many requests of this account are under way, try again") from None
