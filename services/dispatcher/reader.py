"""
Reader: one partition under one lease, from the start protocol to the loss of the lease.

    start   E = end of the log; wait until the tables are folded up to E - 1; one snapshot: position A, claim, running attempts
    fold    from A + 1, admitted due events only
    again   after any trouble, with back-off: from the start protocol, since only the tables say what is still running

Waiting for E - 1 takes out of the snapshot every attempt whose outcome already stands in the log when we begin.

A gap, a truncated log, or a record that must be understood stops the partition: it is tried again, never passed over. In front of
the last the service gives the partition up, so that a process of a newer build can take it.

Source: ARCHITECTURE.md, "Tables" (Dispatcher start).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from libs.domain.ledger import GapInLog, MustUnderstand
from libs.domain.reader_fold import ReaderFold
from libs.events import AttemptDue
from libs.log.port import Log, LogError
from libs.runtime.clock import Clock
from libs.runtime.crashpoint import crash_at
from libs.runtime.pace import Pace
from services.dispatcher.held_attempts import HeldAttempts
from services.dispatcher.ports import DueTables, Meter, Progress, Snapshot

READ_MAX: Final = 500
READ_WAIT_S: Final = 1.0
PROGRESS_WAIT_S: Final = 5.0
RETRY_FIRST_MS: Final = 100
RETRY_MAX_MS: Final = 5_000
WATCH_EVERY_MS: Final = 30_000
OVERDUE_MS: Final = 120_000  # beyond an attempt's own deadline

STARTING: Final = "starting"
HALTS: Final = (
    "GapInLog:",
    "MustUnderstand:",
    "LogDamaged:",
    "LogError:",
)  # how the trouble of a partition begins that waiting does not mend
_WANTED: Final = frozenset({"attempt.due"})

log = structlog.get_logger("dispatcher")


class Reader:
    """Reads one partition and hands over the attempts found due."""

    def __init__(
        self,
        partition: int,
        *,
        event_log: Log,
        tables: DueTables,
        progress: Progress,
        clock: Clock,
        held_attempts: HeldAttempts,
        meter: Meter,
        on_due: Callable[[int, Sequence[tuple[int, AttemptDue]]], None],
        room: Callable[[], "asyncio.Future[None] | None"],
        gather_ms: int = 0,
    ) -> None:
        """Hand attempts to *on_due*; wait for what *room* returns while no more can be held."""
        self.partition = partition
        self.trouble: str | None = STARTING
        self._reached = -1
        self._position = -1
        self._log = event_log
        self._tables = tables
        self._progress = progress
        self._clock = clock
        self._held_attempts = held_attempts
        self._meter = meter
        self._on_due = on_due
        self._room = room
        self._gather_ms = gather_ms

    @property
    def position(self) -> int:
        """The last position read, -1 before the first."""
        return self._position

    @property
    def is_halted(self) -> bool:
        """Whether the partition cannot be read on: a gap, a truncated log, or a record that must be understood."""
        return self.trouble is not None and self.trouble.startswith(HALTS)

    @property
    def must_leave(self) -> bool:
        """Whether it stands in front of a record that only a newer build may pass."""
        return self.trouble is not None and self.trouble.startswith("MustUnderstand:")

    async def run(self) -> None:
        """Read until cancelled."""
        retry_ms = RETRY_FIRST_MS
        while True:
            reached = self._reached
            try:
                fold = await self._begin()
                if self.trouble == STARTING:
                    self.trouble = None
                await self._follow(fold)
            except (MustUnderstand, GapInLog, LogError) as error:
                self._note_trouble(f"{type(error).__name__}: {error}")
            except Exception as error:  # noqa: BLE001 - whatever the store raises, the partition goes on later
                self._note_trouble(f"{type(error).__name__}: {error}")
            else:
                continue  # the watchdog asked for a reload
            if self._reached > reached:
                retry_ms = RETRY_FIRST_MS  # it had gone on for a while
            await self._clock.pause(retry_ms)
            retry_ms = min(retry_ms * 2, RETRY_MAX_MS)

    async def _begin(self) -> ReaderFold:
        """Go through the start protocol and return the fold to follow."""
        partition = self.partition
        end = await self._log.end(partition)
        while not await self._progress.wait(partition, end - 1, PROGRESS_WAIT_S):
            log.info("waiting_for_tables", partition=partition, position=end - 1)
        snapshot = await self._tables.running(partition)
        crash_at("dispatcher.after_snapshot")
        if snapshot.position < end - 1:
            raise GapInLog(f"partition {partition}: the tables went back from {end - 1} to {snapshot.position}")
        self._held_attempts.passed(partition, snapshot.position)
        self._position = snapshot.position
        await self._take_snapshot(snapshot)
        return ReaderFold(partition, wanted=_WANTED, position=snapshot.position, claim=snapshot.claim)

    async def _take_snapshot(self, snapshot: Snapshot) -> None:
        running = snapshot.running
        for start in range(0, len(running), READ_MAX):
            await self._wait_for_room()
            self._on_due(self.partition, [(snapshot.position, due) for due in running[start : start + READ_MAX]])

    async def _follow(self, fold: ReaderFold) -> None:
        """Read on from *fold*; return when the partition is to be loaded again."""
        partition = self.partition
        watch_at = self._clock.now() + WATCH_EVERY_MS
        pace = Pace(self._clock, self._gather_ms)
        while True:
            await self._wait_for_room()
            await pace.turn()
            records = await self._log.read(partition, fold.position + 1, max_records=READ_MAX, wait_s=READ_WAIT_S)
            if len(records) == READ_MAX:
                pace.skip()
            due: list[tuple[int, AttemptDue]] = []
            try:
                for position, _, envelope in records:
                    event = fold.take(position, envelope)
                    if isinstance(event, AttemptDue):
                        due.append((position, event))
            finally:
                # What stands in front of a record that stops us is admitted all the same.
                self._count(fold)
                if due:
                    self._on_due(partition, due)
                self._position = fold.position
                self._reached = max(self._reached, fold.position)
            self.trouble = None
            self._held_attempts.passed(partition, fold.position)
            if self._clock.now() >= watch_at:
                if await self._has_overdue():
                    return
                watch_at = self._clock.now() + WATCH_EVERY_MS

    async def _has_overdue(self) -> bool:
        """Say whether an attempt is running in the tables that nobody here knows of, long after its deadline."""
        snapshot = await self._tables.running(self.partition)
        now = self._clock.now()
        overdue = [
            due
            for due in snapshot.running
            if due.not_before + due.timeout_ms + OVERDUE_MS < now
            and not self._held_attempts.knows(self.partition, due.execution_id)
        ]
        if overdue:
            self._meter.overdue(len(overdue))
            log.error("attempts_overdue", partition=self.partition, count=len(overdue), first=overdue[0].job_id)
        return bool(overdue)

    async def _wait_for_room(self) -> None:
        while (room := self._room()) is not None:
            await room

    def _count(self, fold: ReaderFold) -> None:
        if fold.poison_count:
            log.error("unreadable_records", partition=self.partition, count=fold.poison_count, position=fold.position)
            self._meter.poison(fold.poison_count)
            fold.poison_count = 0

    def _note_trouble(self, reason: str) -> None:
        if self.trouble != reason:
            log.error("partition_halted", partition=self.partition, reason=reason)
        self.trouble = reason
