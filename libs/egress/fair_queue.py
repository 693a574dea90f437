"""
FairQueue: who may call next. Pure: concurrency limits with fair queues in front of them.

Theory of operation
-------------------
Terms.  A *lane* is the queue of one account's calls to one host. A lane is *ready* when it holds a call, and *parked at its host*
once it was looked at while the host was full. An account stands in the *ring* while it has ready lanes, or is *parked* after
its turn came while it was over its share and slots were scarce.

Rules.
  L1  At most `total` calls are active, and at most `per_host` to one host.
  L2  An account below its share (a quarter of `total`) may take any free slot. Above it, only while more than a quarter of
      all slots is free: one account alone can use three quarters, and a newcomer always finds room at once.
  L3  Accounts take turns; within an account its lanes take turns; within a lane calls leave in the order of arrival.
  L4  Who waits blocks nobody else: a full host holds back its own lanes only, an account over its share only itself.

Invariant.  When `take` answers None, every call that waits is held back by L1 or L2.

Cost.  O(1) amortised per call; a host that was full costs O(accounts waiting for it) when a slot of it becomes free.

Example.  total 100, per_host 10. Account A submits 500 calls to a host that never answers and one to a healthy host: ten of the
first kind start, then the healthy one. Account B's first call starts at once.

Not safe.  The number that may wait is the caller's business (`waiting_count`); calls that need not be made any more are
taken in turn like others, and the caller releases them at once.

Source: deficit round robin (Shreedhar and Varghese) with a quantum of one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")

SHARE = 4  # an account's share, and what is kept free for newcomers: one part in four


class _Place(Enum):
    OUT = 0
    RING = 1
    PARKED = 2


class _Host(Generic[T]):
    __slots__ = ("active", "lane_count", "name", "parked")

    def __init__(self, name: str) -> None:
        self.name = name
        self.active = 0
        self.lane_count = 0
        self.parked: deque[_Lane[T]] = deque()


class _Account(Generic[T]):
    __slots__ = ("active", "lanes", "name", "place", "ready")

    def __init__(self, name: str) -> None:
        self.name = name
        self.active = 0
        self.lanes: dict[str, _Lane[T]] = {}
        self.ready: deque[_Lane[T]] = deque()
        self.place = _Place.OUT


class _Lane(Generic[T]):
    __slots__ = ("account", "host", "queue")

    def __init__(self, account: _Account[T], host: _Host[T]) -> None:
        self.account = account
        self.host = host
        self.queue: deque[T] = deque()


class FairQueue(Generic[T]):
    """The calls that wait for a slot, and the slots taken."""

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

    def lane_length(self, *, account: str, host: str) -> int:
        """Return how many calls of *account* wait for *host*."""
        owner = self._accounts.get(account)
        lane = None if owner is None else owner.lanes.get(host)
        return 0 if lane is None else len(lane.queue)

    def submit(self, item: T, *, account: str, host: str) -> None:
        """Queue *item*; `take` says when its turn has come."""
        owner = self._accounts.get(account)
        if owner is None:
            owner = self._accounts[account] = _Account(account)
        lane = owner.lanes.get(host)
        self.waiting_count += 1
        if lane is not None:
            lane.queue.append(item)
            return
        target = self._hosts.get(host)
        if target is None:
            target = self._hosts[host] = _Host(host)
        target.lane_count += 1
        lane = owner.lanes[host] = _Lane(owner, target)
        lane.queue.append(item)
        self._make_ready(lane)

    def take(self) -> T | None:
        """Return the call whose turn it is, now active; None when nobody may call."""
        while self.active_count < self._total:
            account = self._next_account()
            if account is None:
                return None
            account.place = _Place.OUT
            while account.ready:
                lane = account.ready.popleft()
                if lane.host.active >= self._per_host:
                    lane.host.parked.append(lane)
                    continue
                return self._start(lane)
        return None

    def release(self, *, account: str, host: str) -> None:
        """Give back the slot of a call that `take` returned."""
        owner, target = self._accounts[account], self._hosts[host]
        was_full = target.active >= self._per_host
        owner.active -= 1
        target.active -= 1
        self.active_count -= 1
        if was_full:
            # All of them, not the first: its account may be held back itself, and must not hold the host's slot idle.
            while target.parked:
                self._make_ready(target.parked.popleft())
        if owner.place is _Place.PARKED and owner.active < self._share:
            del self._parked[account]
            owner.place = _Place.RING
            self._ring.append(owner)
        if not owner.active and not owner.lanes:
            del self._accounts[account]
        if not target.active and not target.lane_count:
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

    def _start(self, lane: _Lane[T]) -> T:
        account, host = lane.account, lane.host
        item = lane.queue.popleft()
        if lane.queue:
            account.ready.append(lane)
        else:
            del account.lanes[host.name]
            host.lane_count -= 1
        if account.ready:
            account.place = _Place.RING
            self._ring.append(account)
        account.active += 1
        host.active += 1
        self.active_count += 1
        self.waiting_count -= 1
        return item

    def _make_ready(self, lane: _Lane[T]) -> None:
        account = lane.account
        account.ready.append(lane)
        if account.place is _Place.OUT:
            account.place = _Place.RING
            self._ring.append(account)
