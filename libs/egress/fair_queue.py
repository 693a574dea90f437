"""
FairQueue: decides which call may start next. Pure: limits on concurrent calls, and a fair queue in front of them.

Theory of operation
-------------------
Terms.  A *backlog* is the queue of one account's calls to one host. A backlog is *ready* if it holds a call. It is *parked at its
host* if its turn came while the host was full. An account is in the *ring* while it has ready backlogs. It is *parked* if its turn
came while its share was full. A call *weighs* as many slots as it takes.

Rules.
  L1  At most `total` slots are taken, and at most `per_host` calls are active to one host.
  L2  A call may start if its account then holds no more slots than were free before (libs/domain/fair_shares.py). So one account
      alone uses half of the slots, k accounts 1/(k+1) each, and a new account finds a free one at once.
  L3  Accounts take turns; within an account its backlogs take turns; within a backlog calls start in the order of arrival. Among
      parked accounts the one that needs the fewest free slots is next.
  L4  A call that waits blocks no other account: a full host delays only the backlogs for it, a full share only its own account.

Invariant.  If `take` returns None, every call that waits is held back by L1 or L2, or waits behind such a call of its account.

Cost.  O(1) amortised per call, O(log) with many parked accounts; when a slot of a full host becomes free, O(accounts waiting for
that host).

Example.  total 100, per_host 10. Account A submits 500 calls to a host that never answers and one to a healthy host: ten of the
first kind start, then the healthy one. Account B's first call starts at once.

Not safe.  The queue is not bounded: the caller must bound it by `waiting_count`. A call that need not be made any more is taken
in its turn like the others, and the caller must release it at once.

Source: deficit round robin (Shreedhar and Varghese) with a quantum of one call; docs/adr/0019.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from enum import Enum
from typing import Generic, TypeVar

from libs.domain.fair_shares import FairShares

T = TypeVar("T")


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
    __slots__ = ("backlogs", "name", "parked_as", "place", "ready")

    def __init__(self, name: str) -> None:
        self.name = name
        self.backlogs: dict[str, _Backlog[T]] = {}
        self.ready: deque[_Backlog[T]] = deque()
        self.place = _Place.OUT
        self.parked_as = (0, 0)  # slots that must be free; number of the parking


class _Backlog(Generic[T]):
    __slots__ = ("account", "host", "queue")

    def __init__(self, account: _Account[T], host: _Host[T]) -> None:
        self.account = account
        self.host = host
        self.queue: deque[tuple[T, int]] = deque()


class FairQueue(Generic[T]):
    """The calls that wait for a slot, and the slots in use."""

    def __init__(self, *, total: int, per_host: int) -> None:
        """Allow calls that take *total* slots, *per_host* of them to one host."""
        if per_host < 1:
            raise ValueError("a limit is at least 1")
        self._shares = FairShares(total)
        self._per_host = per_host
        self._weight_max = max(1, total // 2)  # else an account could never start it
        self._accounts: dict[str, _Account[T]] = {}
        self._hosts: dict[str, _Host[T]] = {}
        self._ring: deque[_Account[T]] = deque()
        self._parked: list[tuple[tuple[int, int], _Account[T]]] = []  # sorted
        self._parkings = 0
        self.active_count = 0
        self.waiting_count = 0

    def is_starving(self) -> bool:
        """Whether an account that holds no slot waits because too few are free."""
        return any(not self._shares.held_by(account.name) for _, account in self._parked)

    def submit(self, item: T, *, account: str, host: str, weight: int = 1) -> None:
        """Queue *item*, which takes *weight* slots; `take` returns it when its turn has come."""
        owner = self._accounts.get(account)
        if owner is None:
            owner = self._accounts[account] = _Account(account)
        backlog = owner.backlogs.get(host)
        entry = item, min(weight, self._weight_max)
        self.waiting_count += 1
        if backlog is not None:
            backlog.queue.append(entry)
            return
        target = self._host(host)
        target.backlog_count += 1
        backlog = owner.backlogs[host] = _Backlog(owner, target)
        backlog.queue.append(entry)
        self._make_ready(backlog)

    def take(self) -> T | None:
        """Return the next call, which is active from now on; None if no call may start."""
        while (account := self._next_account()) is not None:
            account.place = _Place.OUT
            while account.ready:
                backlog = account.ready[0]
                if backlog.host.active >= self._per_host:
                    backlog.host.parked.append(account.ready.popleft())
                    continue
                weight = backlog.queue[0][1]
                if self._shares.may_take(account.name, weight):
                    account.ready.popleft()
                    return self._start(backlog)
                self._park(account, self._shares.held_by(account.name) + weight)
                break
        return None

    def release(self, *, account: str, host: str, weight: int = 1) -> None:
        """Give back the slots of a call that `take` returned."""
        owner, target = self._accounts[account], self._hosts[host]
        self._shares.give_back(account, min(weight, self._weight_max))
        self.active_count -= 1
        self._leave(target)
        if owner.place is _Place.PARKED:  # it needs less now, and comes behind those that need as little already
            self._parked.pop(bisect_left(self._parked, (owner.parked_as,)))
            self._park(owner, self._shares.held_by(account) + owner.ready[0].queue[0][1])
        if not self._shares.held_by(account) and not owner.backlogs:
            del self._accounts[account]

    def move(self, *, from_host: str, to_host: str) -> bool:
        """Count an active call to *from_host* as one to *to_host*, unless that is full; return whether it is done."""
        target = self._host(to_host)
        if target.active >= self._per_host:
            return False
        target.active += 1
        self._leave(self._hosts[from_host])
        return True

    def _host(self, name: str) -> _Host[T]:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(name)
        return host

    def _leave(self, host: _Host[T]) -> None:
        was_full = host.active >= self._per_host
        host.active -= 1
        if was_full:
            # All of them, not only the first: if its account is held back by L2, the free slot must go to another account.
            while host.parked:
                self._make_ready(host.parked.popleft())
        if not host.active and not host.backlog_count:
            del self._hosts[host.name]

    def _next_account(self) -> _Account[T] | None:
        if not self._ring and self._parked and self._parked[0][0][0] <= self._shares.free:
            self._unpark(0)
        return self._ring.popleft() if self._ring else None

    def _park(self, account: _Account[T], need: int) -> None:
        self._parkings += 1
        account.place = _Place.PARKED
        account.parked_as = need, self._parkings
        insort(self._parked, (account.parked_as, account))

    def _unpark(self, index: int) -> None:
        _, account = self._parked.pop(index)
        account.place = _Place.RING
        self._ring.append(account)

    def _start(self, backlog: _Backlog[T]) -> T:
        account, host = backlog.account, backlog.host
        item, weight = backlog.queue.popleft()
        if backlog.queue:
            account.ready.append(backlog)
        else:
            del account.backlogs[host.name]
            host.backlog_count -= 1
        if account.ready:
            account.place = _Place.RING
            self._ring.append(account)
        self._shares.take(account.name, weight)
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
