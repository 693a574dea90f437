"""
Daily permits: whether one more execution of an account may be decided in this partition today. Pure.

Theory of operation

    used      executions of the account decided here on a UTC day. It is a fold of the log: loaded with the tables when the
              partition is taken over, then counted with each due event, our own as soon as they are decided
    granted   how far `used` may go (libs/store/control/daily_grants.py). An owner begins with no grant
    wanted    accounts whose turn came and that had no permit left. They are asked for at once
    refused   accounts whose day is used up. They are asked for again now and then: the limit may be raised, a day begins

An account without a limit costs one look-up for each execution, and nothing else. A job that waits for a permit has not fired.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from libs.domain.instants import day_of

PORTION: Final = 200  # permits asked for in one go; more would lie here unused while other partitions want them


class PermitAsk(NamedTuple):
    """*used* and *need* of an account's *day*, as `GrantAsk` has them."""

    account: str
    day: int
    used: int
    need: int
    limit: int


def no_limit(_: str) -> int:
    """Limit no account."""
    return 0


class DailyPermits:
    """The permits of one partition."""

    def __init__(self, limit_of: Callable[[str], int] = no_limit) -> None:
        """Begin without grants; *limit_of* returns the executions per day of an account, 0 for no limit."""
        self._limit_of = limit_of
        self._used: dict[tuple[str, int], int] = {}
        self._granted: dict[tuple[str, int], int] = {}
        self._refused: dict[str, int] = {}
        self._delayed: set[str] = set()
        self.wanted: dict[str, int] = {}

    @property
    def refused(self) -> Mapping[str, int]:
        """The accounts whose day is used up, and the day."""
        return self._refused

    @property
    def is_open(self) -> bool:
        """Whether something is to be asked for sooner or later: what was refused, what had no answer, what is to be given back."""
        return bool(self.wanted or self._refused) or any(self._is_spare(*key) for key in self._granted)

    def load(self, used: Mapping[tuple[str, int], int]) -> None:
        """Begin with what the tables count in this partition, by account and day."""
        self._used = dict(used)

    def count(self, account: str, day: int) -> None:
        """Note that an execution was decided."""
        key = account, day
        self._used[key] = self._used.get(key, 0) + 1

    def may_decide(self, account: str, day: int) -> bool:
        """Whether one more execution of *account* may be decided on *day*; if not, it is asked for."""
        if not self._limit_of(account):
            return True
        key = account, day
        if self._used.get(key, 0) < self._granted.get(key, 0):
            return True
        if self._refused.get(account) != day:
            self.wanted[account] = day
        return False

    def was_delayed(self, account: str, *, is_last: bool) -> bool:
        """Whether jobs of *account* have waited for a permit; not any more after the one that *is_last* of them."""
        if account not in self._delayed:
            return False
        if is_last:
            self._delayed.discard(account)
        return True

    def asks(self, now: int, waiting_of: Callable[[str], int], *, also_refused: bool) -> list[PermitAsk]:
        """
        Return what to ask for: for those wanted, if *also_refused* for the refused too, and what is to be given back.

        Until the answer comes, nothing is decided of what is asked about: the question says how many are used.

        Args:
            waiting_of: how many due jobs of an account wait in memory.
        """
        today = day_of(now)
        wanted = self._refused | self.wanted if also_refused else self.wanted
        keys = {(account, max(day, today)): waiting_of(account) for account, day in wanted.items()}
        for account, day in self._granted:
            if not waiting_of(account) and self._is_spare(account, day):
                keys[account, day] = 0
        self._forget_before(today - 1)
        asks = []
        for (account, day), need in keys.items():
            used, limit = self._used.get((account, day), 0), self._limit_of(account)
            if limit or not need:
                self._granted[account, day] = used
                asks.append(PermitAsk(account, day, used, min(need, PORTION), limit))
        return asks

    def granted(self, ask: PermitAsk, number: int) -> None:
        """Take the answer to *ask*: how far the count may go."""
        account, day = ask.account, ask.day
        self._granted[account, day] = number
        self.wanted.pop(account, None)
        if ask.need and number <= ask.used:
            self._refused[account] = day
            self._delayed.add(account)
        elif ask.need:
            self._refused.pop(account, None)

    def forgive(self) -> list[str]:
        """Return the accounts that had no permit left and have no limit any more; they wait for nothing."""
        free = [account for account in {**self._refused, **self.wanted} if not self._limit_of(account)]
        for account in free:
            self._refused.pop(account, None)
            self.wanted.pop(account, None)
        return free

    def _is_spare(self, account: str, day: int) -> bool:
        key = account, day
        return self._granted[key] > self._used.get(key, 0)

    def _forget_before(self, day: int) -> None:
        for counts in (self._used, self._granted):
            for key in [key for key in counts if key[1] < day]:
                del counts[key]
