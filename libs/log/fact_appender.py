"""
Facts: appends outcomes to one partition until they are in.

A fact may stand in the log twice (its fold is "first wins"), so an append whose outcome is unknown is simply made again, until it
succeeds. What arrives while an append is under way goes with the next one: one append at a time, as large as the moment asks for.

    pace    one append in *gather_ms*, the first at once: facts of one moment are written, read and folded together
    bound   the caller's: it holds back its own work while `pending_count` is high
    cost    O(1) per fact, one task while there is something to append
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from libs.events import Envelope
from libs.log.port import MAX_VALUE_BYTES, Log, LogError
from libs.runtime.pace import Pace

GROUP_MAX: Final = 500  # facts in one append
BACKOFF_FIRST_MS: Final = 50
BACKOFF_MAX_MS: Final = 2_000

log = structlog.get_logger("log")


class Clock(Protocol):
    """What waits for the next try (libs/runtime/clock.py)."""

    def steady(self) -> int:
        """Return ms that go on with real time."""

    async def pause(self, ms: int, /) -> None:
        """Return after *ms*."""


class FactAppender:
    """The facts of one partition on their way into the log."""

    def __init__(self, event_log: Log, partition: int, *, clock: Clock, gather_ms: int = 0) -> None:
        """Append to *partition* of *event_log* at most once in *gather_ms*; *clock* paces that, and the tries after a failure."""
        self._log = event_log
        self._partition = partition
        self._clock = clock
        self._pending: deque[tuple[Envelope, Callable[[int], None]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._pace = Pace(clock, gather_ms)
        self.failing = False

    @property
    def pending_count(self) -> int:
        """How many facts are not known to be in the log."""
        return len(self._pending)

    def put(self, envelope: Envelope, on_written: Callable[[int], None]) -> None:
        """
        Append *envelope* soon; *on_written* is called with its position once it is durable.

        Raises:
            ValueError: the value is larger than any log takes.
        """
        if len(envelope.value) > MAX_VALUE_BYTES:
            raise ValueError(f"a fact of {len(envelope.value)} bytes fits into no log")
        self._pending.append((envelope, on_written))
        if self._task is None:
            self._idle.clear()
            self._task = asyncio.create_task(self._append(), name=f"facts of partition {self._partition}")

    async def wait_idle(self) -> None:
        """Return once everything put so far is in the log; the caller bounds the wait."""
        await self._idle.wait()

    async def stop(self) -> None:
        """Give up what is pending. Stopping twice, or unstarted, is fine."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._pending.clear()
        self._pace.skip()
        self._idle.set()

    async def _append(self) -> None:
        pending = self._pending
        backoff_ms = BACKOFF_FIRST_MS
        while pending:
            if len(pending) >= GROUP_MAX:
                self._pace.skip()
            await self._pace.turn()
            group = [pending[index] for index in range(min(len(pending), GROUP_MAX))]
            try:
                first = await self._log.append(self._partition, [envelope for envelope, _ in group])
            except Exception as error:
                if not self.failing:
                    log.warning(
                        "append_failing",
                        partition=self._partition,
                        reason=str(error),
                        pending=len(pending),
                        exc_info=not isinstance(error, LogError),
                    )
                self.failing = True
                await self._clock.pause(backoff_ms)
                backoff_ms = min(backoff_ms * 2, BACKOFF_MAX_MS)
                continue
            self.failing = False
            backoff_ms = BACKOFF_FIRST_MS
            for index, (_, on_written) in enumerate(group):
                pending.popleft()
                try:
                    on_written(first + index)
                except Exception:
                    # Its owner's defect must not keep the partition's other facts out of the log.
                    log.exception("fact_unheeded", partition=self._partition, position=first + index)
        self._task = None
        self._idle.set()
