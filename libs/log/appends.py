"""
Appends that wait to be written: a bounded queue in order of arrival. A writer takes one group of appends after the other.

The life of an append: waiting -> taken (with its group) -> durable or failed. Its deadline holds in both states. If the deadline
passes while the append waits, the caller gets `LogUnavailable`: it will never be written. If the deadline passes after the append
was taken, the caller gets `AppendFailed`: it may be written.
One timer serves all deadlines. It checks every append at the earliest deadline, so `put` costs one comparison.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from libs.events import Envelope
from libs.log.port import AppendFailed, LogError, LogUnavailable


@dataclass(slots=True, eq=False)
class Append:
    """One append. Its caller awaits *written*: the position of its first record."""

    partition: int
    envelopes: Sequence[Envelope]
    size: int
    deadline: float
    written: "asyncio.Future[int]"


class AppendQueue:
    """
    The appends of one writer.

    Args:
        max_records, max_bytes: how much may wait. An append beyond that is refused at once. If nothing else waits, one append
            may be larger.
    """

    def __init__(self, *, max_records: int, max_bytes: int) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Append] = deque()
        self._taken: list[Append] = []
        self._records = 0
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def put(self, partition: int, envelopes: Sequence[Envelope], size: int, timeout_s: float) -> "asyncio.Future[int]":
        """
        Queue an append. The caller must not change *envelopes* any more.

        Raises:
            LogUnavailable: the queue is closed or full.
        """
        if self._closed:
            raise LogUnavailable("the log is not running")
        records = self._records + len(envelopes)
        total = self._bytes + size
        if self._waiting and (records > self._max_records or total > self._max_bytes):
            raise LogUnavailable(f"{self._records:,} records wait to be written already")
        self._records = records
        self._bytes = total
        loop = self._loop
        deadline = loop.time() + timeout_s
        written = loop.create_future()
        self._waiting.append(Append(partition, envelopes, size, deadline, written))
        self._arrived.set()
        if self._timer is None or deadline < self._timer_at:
            self._set_timer(deadline)
        return written

    async def arrival(self) -> bool:
        """Return True as soon as an append waits, False as soon as the queue is closed and empty."""
        if not self._waiting and not self._closed:
            self._arrived.clear()
            await self._arrived.wait()
        return bool(self._waiting)

    def take(self, *, max_records: int, max_bytes: int) -> list[Append]:
        """Take the next group in order of arrival. It is empty only if every append that waited was cancelled by its caller."""
        group: list[Append] = []
        records = size = 0
        waiting = self._waiting
        while waiting:
            append = waiting[0]
            count = len(append.envelopes)
            if group and (records + count > max_records or size + append.size > max_bytes):
                break
            waiting.popleft()
            self._records -= count
            self._bytes -= append.size
            if append.written.done():
                continue  # cancelled while it waited
            group.append(append)
            records += count
            size += append.size
        self._taken = group
        return group

    @property
    def is_over(self) -> bool:
        """Whether the queue is closed and empty."""
        return self._closed and not self._waiting

    @property
    def is_taken(self) -> bool:
        """Whether the writer has a group that has not ended."""
        return bool(self._taken)

    def taken_ended(self) -> None:
        """Note that the group taken last is durable and that its callers were told."""
        self._taken = []

    def fail_taken(self, error: LogError) -> None:
        """End the group that was taken last with *error*."""
        taken, self._taken = self._taken, []
        for append in taken:
            _fail(append, type(error)(*error.args))

    def close(self) -> None:
        """Accept no more appends. The writer may still take those that wait."""
        self._closed = True
        self._arrived.set()

    def abandon(self) -> None:
        """Fail everything that is left: waiting appends were never written, taken ones may have been."""
        self.close()
        left = [*self._taken, *self._waiting]
        self.fail_taken(AppendFailed("the log was stopped while the append was under way"))
        waiting, self._waiting = self._waiting, deque()
        self._records = self._bytes = 0
        for append in waiting:
            _fail(append, LogUnavailable("the log was stopped before the append was written"))
        for append in left:
            if not append.written.cancelled():
                append.written.exception()  # its caller may have ended before, which asyncio would report as an error of ours
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._expire)

    def _expire(self) -> None:
        now = self._loop.time()
        for append in self._taken:
            if append.deadline <= now:
                _fail(append, AppendFailed("the log did not answer in time"))
        kept: deque[Append] = deque()
        for append in self._waiting:
            if append.deadline <= now:
                _fail(append, LogUnavailable("the append could not be written in time"))
            if append.written.done():
                self._records -= len(append.envelopes)
                self._bytes -= append.size
            else:
                kept.append(append)
        self._waiting = kept
        live = [append.deadline for append in (*self._taken, *kept) if not append.written.done()]
        self._timer = None
        if live:
            self._set_timer(min(live))


def _fail(append: Append, error: LogError) -> None:
    if not append.written.done():
        append.written.set_exception(error)
