"""
FactAppender: appends facts (the outcomes of calls) to one partition, again and again until they are in the log.

A fact may stand in the log twice, because readers count only the first one. So if the outcome of an append is unknown, the append
is repeated until it succeeds. Only one append is under way at a time; facts that arrive meanwhile go into the next one.

    pace    the appenders of a service share one pace: the first fact leaves at once, and what ends within the next few
            milliseconds, in whichever partition, is written and read together
    bound   the caller bounds the queue: it starts no new work while `pending_count` is high
    cost    O(1) per fact; one task while there is something to append
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from libs.events import Envelope
from libs.log.growing_pauses import growing_pauses
from libs.log.port import MAX_VALUE_BYTES, Log, LogError
from libs.runtime.clock import Clock
from libs.runtime.pace import Pace

GROUP_MAX: Final = 500  # facts in one append
BACKOFF_FIRST_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0

_log = structlog.get_logger("log")


class FactAppender:
    """Appends the facts of one partition."""

    def __init__(self, event_log: Log, partition: int, *, clock: Clock, pace: Pace | None = None) -> None:
        """Append to *partition* of *event_log* at *pace*, or at once. *clock* paces the retries after a failure."""
        self._log = event_log
        self._partition = partition
        self._clock = clock
        self._pending: deque[tuple[Envelope, Callable[[int], None]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._pace = pace or Pace(clock, 0)
        self.failing = False

    @property
    def pending_count(self) -> int:
        """How many facts are not yet known to be in the log."""
        return len(self._pending)

    def put(self, envelope: Envelope, on_written: Callable[[int], None]) -> None:
        """
        Append *envelope* soon. When it is durable, *on_written* is called with its position.

        Raises:
            ValueError: the value is larger than every log's limit.
        """
        if len(envelope.value) > MAX_VALUE_BYTES:
            raise ValueError(f"a fact of {len(envelope.value)} bytes fits into no log")
        self._pending.append((envelope, on_written))
        if self._task is None:
            self._idle.clear()
            self._task = asyncio.create_task(self._append(), name=f"facts of partition {self._partition}")

    async def wait_idle(self) -> None:
        """Return when everything put so far is in the log. The caller must bound the wait."""
        await self._idle.wait()

    async def stop(self) -> None:
        """Drop what is pending. May be called twice, and before the first `put`."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._pending.clear()
        self._pace.skip()
        self._idle.set()

    async def _append(self) -> None:
        pending = self._pending
        pauses = growing_pauses(BACKOFF_FIRST_S, BACKOFF_MAX_S)
        while pending:
            if len(pending) >= GROUP_MAX:
                self._pace.skip()
            await self._pace.turn()
            group = [pending[index] for index in range(min(len(pending), GROUP_MAX))]
            try:
                first = await self._log.append(self._partition, [envelope for envelope, _ in group])
            except Exception as error:  # noqa: BLE001 - it is logged, and the facts are tried again
                if not self.failing:
                    _log.warning(
                        "append_failing",
                        partition=self._partition,
                        reason=str(error),
                        pending=len(pending),
                        exc_info=not isinstance(error, LogError),
                    )
                self.failing = True
                await self._clock.pause(int(next(pauses) * 1000))
                continue
            self.failing = False
            pauses = growing_pauses(BACKOFF_FIRST_S, BACKOFF_MAX_S)
            for index, (_, on_written) in enumerate(group):
                pending.popleft()
                try:
                    on_written(first + index)
                except Exception:  # noqa: BLE001 - it is logged
                    # A defect in one callback must not keep the other facts of the partition out of the log.
                    _log.exception("fact_unheeded", partition=self._partition, position=first + index)
        self._task = None
        self._idle.set()
