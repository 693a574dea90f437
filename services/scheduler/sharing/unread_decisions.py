"""
Unread decisions: those of one partition that are made and not yet read back, at most one per job or schedule. Pure.

What others append stands behind them in the log. So accounts share how many there may be (concurrency.py): the others of an account
wait until some of its own are read back.
"""

from typing import Final

from services.scheduler.sharing.concurrency import Concurrency

UNREAD_MAX: Final = 200


class UnreadDecisions:
    """The decisions that are unread, and the jobs and schedules that wait for one."""

    def __init__(self) -> None:
        self._shares = Concurrency(UNREAD_MAX)
        self._unread: set[str] = set()

    def __contains__(self, owner_id: object) -> bool:
        """Whether a decision for this job or schedule is unread."""
        return owner_id in self._unread

    def __len__(self) -> int:
        """How many are unread."""
        return len(self._unread)

    def has_room(self, account: str) -> bool:
        """Whether one more of *account* may be unread."""
        return self._shares.has_room(account)

    def take(self, owner_id: str, account: str) -> None:
        """Note that a decision is made."""
        self._shares.take(owner_id, account)
        self._unread.add(owner_id)

    def read_back(self, owner_id: str) -> bool:
        """Note that the decision was read back; return whether others wait for its place."""
        self._unread.discard(owner_id)
        return self._shares.give_back(owner_id)

    def wait(self, owner_id: str, account: str) -> None:
        """Let a job or schedule wait for room, behind the others of its account."""
        self._shares.wait(owner_id, account)

    def has_waiting(self, owner_id: str) -> bool:
        """Whether it waits for room."""
        return owner_id in self._shares

    def withdraw(self, owner_id: str) -> None:
        """Let it wait no more."""
        self._shares.withdraw(owner_id)

    def next_ready(self) -> str | None:
        """Return the next of those that wait, if there is room for it; the accounts take turns."""
        return self._shares.next_ready()
