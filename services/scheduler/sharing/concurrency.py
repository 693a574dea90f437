"""
Concurrency: how many attempts of one partition may be under way at once, shared fairly among accounts.

A due job that finds no free slot waits in its account's queue. When a slot becomes free, the accounts take turns. An account may
take one if it then holds no more than was free before (libs/domain/fair_shares.py). So one account alone uses half of the slots,
and accounts whose targets all hang cannot keep the jobs of others from firing.

    invariants   taken <= limit; an account left as many slots free as it holds when it took; a job holds at most one slot
    cost         O(1) per call
"""

from collections import deque
from collections.abc import Callable

from libs.domain.fair_shares import FairShares
from libs.events.ids import share_of


class Concurrency:
    """The slots of one partition, and the due jobs that wait for one."""

    def __init__(self, limit: int) -> None:
        """Allow *limit* attempts under way at once."""
        self._shares = FairShares(limit)
        self._holders: dict[str, str] = {}
        self._waiting: dict[str, deque[str]] = {}
        self._queued: set[str] = set()

    @property
    def taken_count(self) -> int:
        """How many slots are taken."""
        return len(self._holders)

    @property
    def waiting_count(self) -> int:
        """How many due jobs wait for a slot."""
        return len(self._queued)

    def waiting_of(self, account: str) -> int:
        """Return how many due jobs of *account* wait; jobs that were withdrawn may still be counted."""
        return len(self._waiting.get(account, ()))

    def __contains__(self, job_id: object) -> bool:
        """Whether a due job waits for a slot."""
        return job_id in self._queued

    def has_room(self, account: str) -> bool:
        """Whether *account* may take a slot now."""
        return self._shares.may_take(share_of(account))

    def take(self, job_id: str, account: str) -> None:
        """Note that *job_id* is under way, even above the limit: at take-over, more jobs may run than the limit allows."""
        if job_id not in self._holders:
            self._holders[job_id] = share = share_of(account)
            self._shares.take(share)

    def give_back(self, job_id: str) -> bool:
        """Note that *job_id* is not under way any more; return whether jobs wait for the slot that this may have freed."""
        share = self._holders.pop(job_id, None)
        if share is None:
            return False
        self._shares.give_back(share)
        return bool(self._queued)

    def wait(self, job_id: str, account: str) -> None:
        """Queue a due job behind the others of its account."""
        if job_id not in self._queued:
            self._queued.add(job_id)
            self._waiting.setdefault(account, deque()).append(job_id)

    def withdraw(self, job_id: str) -> None:
        """Take a job out of the queue: it is not due any more."""
        self._queued.discard(job_id)

    def shed(self, account: str, *, keep: int) -> list[str]:
        """Take all but the first *keep* due jobs of *account* out of its queue, and return them."""
        queue = self._waiting.get(account)
        shed: list[str] = []
        while queue is not None and len(queue) > keep:
            job_id = queue.pop()
            if job_id in self._queued:
                self._queued.discard(job_id)
                shed.append(job_id)
        return shed

    def next_ready(self, may_start: Callable[[str, str], bool] = lambda _job_id, _account: True) -> str | None:
        """
        Take the next job that may have a slot out of its queue and return it; None if there is none.

        *may_start* is asked of a job and its account once there is a slot for it. If it says no, its account waits.
        """
        if self._shares.free < 1:
            return None
        for account in list(self._waiting):
            queue = self._waiting[account]
            while queue and queue[0] not in self._queued:
                queue.popleft()
            if queue and not (self.has_room(account) and may_start(queue[0], account)):
                continue
            del self._waiting[account]
            if not queue:
                continue
            job_id = queue.popleft()
            self._queued.discard(job_id)
            if queue:
                self._waiting[account] = queue  # goes to the back: the accounts take turns
            return job_id
        return None
