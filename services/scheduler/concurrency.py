"""
Concurrency: how many attempts of one partition may be under way at once, shared fairly among accounts.

A due job that finds no free slot waits in its account's queue. When a slot becomes free, the accounts take turns. An account
that holds less than its share, a quarter of all slots, may take any free slot. Above its share it takes one only while more
than a quarter of all slots is free. So one account alone can use three quarters of the slots, and an account whose targets all
hang cannot keep the jobs of others from firing.

    invariants   taken <= limit; an account above its share left a quarter free when it took; a job holds at most one slot
    cost         O(1) per call
"""

from collections import deque


class Concurrency:
    """The slots of one partition, and the due jobs that wait for one."""

    def __init__(self, limit: int) -> None:
        """Allow *limit* attempts under way at once."""
        self._limit = limit
        self._share = max(1, limit // 4)
        self._scarce = limit - limit // 4
        self._holders: dict[str, str] = {}
        self._taken: dict[str, int] = {}
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

    def take(self, job_id: str, account: str) -> None:
        """Note that *job_id* is under way, even above the limit: at take-over, more jobs may run than the limit allows."""
        if job_id not in self._holders:
            self._holders[job_id] = account
            self._taken[account] = self._taken.get(account, 0) + 1

    def give_back(self, job_id: str) -> bool:
        """Note that *job_id* is not under way any more; return whether jobs wait for the slot that this may have freed."""
        account = self._holders.pop(job_id, None)
        if account is None:
            return False
        left = self._taken[account] - 1
        if left:
            self._taken[account] = left
        else:
            del self._taken[account]
        return bool(self._queued)

    def wait(self, job_id: str, account: str) -> None:
        """Queue a due job behind the others of its account."""
        if job_id not in self._queued:
            self._queued.add(job_id)
            self._waiting.setdefault(account, deque()).append(job_id)

    def withdraw(self, job_id: str) -> None:
        """Take a job out of the queue: it is not due any more."""
        self._queued.discard(job_id)

    def next_ready(self) -> str | None:
        """Take the next job that may have a slot out of its queue and return it; None if there is none."""
        if len(self._holders) >= self._limit:
            return None
        for account in list(self._waiting):
            queue = self._waiting[account]
            while queue and queue[0] not in self._queued:
                queue.popleft()
            if queue and len(self._holders) >= self._scarce and self._taken.get(account, 0) >= self._share:
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
