"""
FairQueue: decides which call may start next. Pure: limits on concurrent calls, and a fair queue in front of them.

Theory of operation
-------------------
Terms.  A *backlog* is the queue of one account's calls to one host. A backlog is *ready* if it holds a call. It is *parked at its
host* if its turn came while the host was full. An account is in the *ring* while it has ready backlogs. It is *parked* if its turn
came while it was over its share and slots were scarce.

Rules.
  L1  At most `total` calls are active, and at most `per_host` to one host.
  L2  An account below its share (a quarter of `total`) may take any free slot. An account at or above its share may take one only
      while more than a quarter of all slots is free. So one account alone can use three quarters of the slots, and a new account
      always finds a free one at once.
  L3  Accounts take turns; within an account its backlogs take turns; within a backlog calls start in the order of arrival.
  L4  A call that waits blocks no other: a full host delays only the backlogs for it, an account over its share delays only itself.

Invariant.  If `take` returns None, every call that waits is held back by L1 or L2.

Cost.  O(1) amortised per call; when a slot of a full host becomes free, O(accounts waiting for that host).

Example.  total 100, per_host 10. Account A submits 500 calls to a host that never answers and one to a healthy host: ten of the
first kind start, then the healthy one. Account B's first call starts at once.

Not safe.  The queue is not bounded: the caller must bound it by `waiting_count`. A call that need not be made any more is taken
in its turn like the others, and the caller must release it at once.

Source: deficit round robin (Shreedhar and Varghese) with a quantum of one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")

SHARE = 4  # one part in four: an account's share, and the slots kept free for new accounts


class _Place(Enum):
    OUT = 0
    RING = 1
    PARKED = 2


class _Host(Generic[T]):
    __slots__ = ("active", "backlog_count", "name", "parked")

    def __init__(self, name: str) -> None:
        self.name = name
        self.active = 0
        self.backlog_count = 0
        self.parked: deque[_Backlog[T]] = deque()


class _Account(Generic[T]):
    __slots__ = ("active", "backlogs", "name", "place", "ready")

    def __init__(self, name: str) -> None:
        self.name = name
        self.active = 0
        self.backlogs: dict[str, _Backlog[T]] = {}
        self.ready: deque[_Backlog[T]] = deque()
        self.place = _Place.OUT


class _Backlog(Generic[T]):
    __slots__ = ("account", "host", "queue")

    def __init__(self, account: _Account[T], host: _Host[T]) -> None:
        self.account = account
        self.host = host
        self.queue: deque[T] = deque()


class FairQueue(Generic[T]):
    """The calls that wait for a slot, and the slots in use."""

    def __init__(self, *, total: int, per_host: int) -> None:
        """Allow *total* active calls, *per_host* of them to one host."""
        if total < 1 or per_host < 1:
            raise ValueError("a limit is at least 1")
        self._total = total
        self._per_host = per_host
        self._share = max(1, total // SHARE)
        self._reserve = total // SHARE
        self._accounts: dict[str, _Account[T]] = {}
        self._hosts: dict[str, _Host[T]] = {}
        self._ring: deque[_Account[T]] = deque()
        self._parked: OrderedDict[str, _Account[T]] = OrderedDict()
        self.active_count = 0
        self.waiting_count = 0

    def backlog_length(self, *, account: str, host: str) -> int:
        """Return how many calls of *account* wait for *host*."""
        owner = self._accounts.get(account)
        backlog = None if owner is None else owner.backlogs.get(host)
        return 0 if backlog is None else len(backlog.queue)

    def submit(self, item: T, *, account: str, host: str) -> None:
        """Queue *item*; `take` returns it when its turn has come."""
        owner = self._accounts.get(account)
        if owner is None:
            owner = self._accounts[account] = _Account(account)
        backlog = owner.backlogs.get(host)
        self.waiting_count += 1
        if backlog is not None:
            backlog.queue.append(item)
            return
        target = self._hosts.get(host)
        if target is None:
            target = self._hosts[host] = _Host(host)
        target.backlog_count += 1
        backlog = owner.backlogs[host] = _Backlog(owner, target)
        backlog.queue.append(item)
        self._make_ready(backlog)

    def take(self) -> T | None:
        """Return the next call, which is active from now on; None if no call may start."""
        while self.active_count < self._total:
            account = self._next_account()
            if account is None:
                return None
            account.place = _Place.OUT
            while account.ready:
                backlog = account.ready.popleft()
                if backlog.host.active >= self._per_host:
                    backlog.host.parked.append(backlog)
                    continue
                return self._start(backlog)
        return None

    def release(self, *, account: str, host: str) -> None:
        """Give back the slot of a call that `take` returned."""
        owner, target = self._accounts[account], self._hosts[host]
        was_full = target.active >= self._per_host
        owner.active -= 1
        target.active -= 1
        self.active_count -= 1
        if was_full:
            # All of them, not only the first: if its account is held back by L2, the free slot must go to another account.
            while target.parked:
                self._make_ready(target.parked.popleft())
        if owner.place is _Place.PARKED and owner.active < self._share:
            del self._parked[account]
            owner.place = _Place.RING
            self._ring.append(owner)
        if not owner.active and not owner.backlogs:
            del self._accounts[account]
        if not target.active and not target.backlog_count:
            del self._hosts[host]

    def _next_account(self) -> _Account[T] | None:
        is_scarce = self._total - self.active_count <= self._reserve
        while self._ring:
            account = self._ring.popleft()
            if account.active < self._share or not is_scarce:
                return account
            account.place = _Place.PARKED
            self._parked[account.name] = account
        if self._parked and not is_scarce:
            return self._parked.popitem(last=False)[1]
        return None

    def _start(self, backlog: _Backlog[T]) -> T:
        account, host = backlog.account, backlog.host
        item = backlog.queue.popleft()
        if backlog.queue:
            account.ready.append(backlog)
        else:
            del account.backlogs[host.name]
            host.backlog_count -= 1
        if account.ready:
            account.place = _Place.RING
            self._ring.append(account)
        account.active += 1
        host.active += 1
        self.active_count += 1
        self.waiting_count -= 1
        return item

    def _make_ready(self, backlog: _Backlog[T]) -> None:
        account = backlog.account
        account.ready.append(backlog)
        if account.place is _Place.OUT:
            account.place = _Place.RING
            self._ring.append(account)
