"""
Unread decisions: those of one partition that are made and not yet read back, at most one per job or schedule. Pure.

What others append stands behind them in the log. So accounts share how many there may be (concurrency.py): the others of an account
wait until some of its own are read back. How many there may be follows how long they take to be read back
(libs/domain/limits/fold_window.py): on a machine that folds slowly they are fewer.
"""

from typing import Final

from libs.domain.limits.fold_window import FoldWindow
from services.scheduler.sharing.concurrency import Concurrency

UNREAD_MAX: Final = 400
UNREAD_MIN: Final = 60
READ_BACK_MS: Final = 300  # from a decision to its folding, if many are unread


class UnreadDecisions:
    """The decisions that are unread, and the jobs and schedules that wait for one."""

    def __init__(self) -> None:
        self._shares = Concurrency(UNREAD_MAX)
        self._window = FoldWindow(UNREAD_MAX, least=UNREAD_MIN, most=UNREAD_MAX, in_time=READ_BACK_MS)
        self._ahead: dict[str, int] = {}  # of each that is unread: how many were then
        self._oldest: tuple[int, int] | None = (
            None  # of those read back since `follow`: when it was decided, how many were unread
        )

    def __contains__(self, owner_id: object) -> bool:
        """Whether a decision for this job or schedule is unread."""
        return owner_id in self._ahead

    def __len__(self) -> int:
        """How many are unread."""
        return len(self._ahead)

    @property
    def total(self) -> int:
        """How many there may be now."""
        return self._window.total

    def has_room(self, account: str) -> bool:
        """Whether one more of *account* may be unread."""
        return self._shares.has_room(account)

    def take(self, owner_id: str, account: str) -> None:
        """Note that a decision is made."""
        self._shares.take(owner_id, account)
        self._ahead[owner_id] = self._shares.taken_count

    def read_back(self, owner_id: str, decided_at: int) -> bool:
        """Note that the decision was read back, which was made at *decided_at*; return whether others wait for its place."""
        ahead = self._ahead.pop(owner_id)
        if self._oldest is None or decided_at < self._oldest[0]:
            self._oldest = decided_at, ahead
        return self._shares.give_back(owner_id)

    def follow(self, now: int) -> None:
        """Let as many be unread from now on as are read back in time, as was seen since this was called last."""
        oldest, self._oldest = self._oldest, None
        if oldest is not None and self._window.folded(appended_at=oldest[0], now=now, ahead=oldest[1]):
            self._shares.resize(self._window.total)

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
