"""
Partition owner: the I/O around one decider, from taking a partition over to giving it up.

    take over   load what the tables know, append the claim, read until it comes back admitted; only then decide
    steady      read records -> load what they name -> fold -> decide -> append; the flusher saves the folds
    give up     any failed append, a newer claim, or a lost lease: drop everything; the next owner starts from tables and log

An append that failed may still be written later. So the owner resigns: what it wrote stands before the next claim or, because it
bears the old one, is void.

Source: ARCHITECTURE.md, "Facts and decisions", "Leases", "What happens when something dies".
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from libs.domain.calendar.recorded_rule import ZoneLookup, only_utc
from libs.domain.instants import day_of
from libs.domain.ledger import Applied, GapInLog, Ledger, MustUnderstand, Verdict, names
from libs.events import Claim, Envelope, Event, OwnerClaimed, ScheduleRealigned, ScheduleTicked, encode, read
from libs.log.port import READ_WAIT_S, AppendFailed, Log, LogDamaged, LogError
from libs.runtime.alarm import Alarm
from libs.runtime.clock import Clock, Entropy
from libs.runtime.crashpoint import crash_at, is_armed
from libs.runtime.pace import Pace
from libs.store.errors import StoreUnavailable
from libs.store.leases.lease_table import Lease
from libs.store.projection.changes import Flush, PartitionChanges
from services.scheduler.crash_moments import crash_after, crash_before
from services.scheduler.daily.daily_permits import DailyPermits, no_limit
from services.scheduler.decider import Decider
from services.scheduler.fenced_tables import FencedTables, TablesMoved
from services.scheduler.horizon import Horizon
from services.scheduler.metrics import Reason, SchedulerMetrics
from services.scheduler.new_jobs import NewJobs
from services.scheduler.ports import TableReader

READ_EVERY_MS: Final = 4  # records that arrive within it are folded, decided and saved together
READ_MAX: Final = 50  # records folded in one round of the loop: about 3 ms
RETRY_MS: Final = 500  # before the tables are asked again
UNSAVED_MAX: Final = 1_000  # changed states not yet in the tables; then reading waits: a larger flush blocks the loop
UNSAVED_BYTES_MAX: Final = 4_000_000  # the same for the specs among them: a flush is one message to the database
HAND_OFF_EARLY_MS: Final = 1_500  # due events and ticks of this time are written before a partition is handed over

_log = structlog.get_logger("scheduler")


class Resigned(Exception):
    """The owner gave its partition up."""

    def __init__(self, reason: Reason, detail: object) -> None:
        """Give up for *reason*; *detail* is for people."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


def _resignation(error: Exception) -> Exception:
    """Return why an owner gives up, as `Resigned`; a defect is returned as it is."""
    match error:
        case AppendFailed():
            return Resigned(Reason.APPEND_FAILED, error)
        case LogDamaged():
            return Resigned(Reason.HALTED, error)
        case LogError():
            return Resigned(Reason.LOG, error)
        case StoreUnavailable():
            return Resigned(Reason.TABLES, error)
        case TablesMoved():
            return Resigned(Reason.FENCED, error)
        case GapInLog() | MustUnderstand():
            return Resigned(Reason.HALTED, error)
        case _:
            return error


class PartitionOwner:
    """Owns one partition under one lease, for as long as `run` runs."""

    def __init__(
        self,
        lease: Lease,
        *,
        node: str,
        event_log: Log,
        tables: TableReader,
        clock: Clock,
        entropy: Entropy,
        metrics: SchedulerMetrics,
        lead_ms: int,
        retry_base_s: float,
        concurrency: int,
        gather_ms: int = 1,
        zones: ZoneLookup = only_utc,
        wake_flusher: Callable[[], None],
        daily_limit: Callable[[str], int] = no_limit,
        wake_asker: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to own *lease*'s partition; *daily_limit* returns an account's executions per day, 0 for no limit."""
        self.partition = lease.partition
        self.deciding = asyncio.Event()
        self._lease = lease
        self._node = node
        self._log = event_log
        self._tables = FencedTables(tables, self._own_positions)
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._lead_ms = lead_ms
        self._wake_flusher = wake_flusher
        self._wake_asker = wake_asker
        self._claim = Claim(lease.epoch, lease.nonce)
        self._decider = Decider(
            Ledger(lease.partition),
            self._claim,
            lead_ms=lead_ms,
            retry_base_s=retry_base_s,
            concurrency=concurrency,
            horizon_at=0,
            gather_ms=gather_ms,
            zones=zones,
            permits=DailyPermits(daily_limit),
        )
        self._saved_position = -1
        self._unsaved = PartitionChanges(lease.partition)
        self._saving: Flush | None = None
        self._saved = asyncio.Event()
        self._outbox: list[Envelope] = []
        self._outbox_filled = asyncio.Event()
        self._appending = False
        self._loading = 0
        self._early_ms = 0
        self._end: asyncio.Future[None]
        self._timer = Alarm(clock, self.look_again)
        self.horizon = Horizon(
            lease.partition, self._decider, self._tables, clock, lead_ms=lead_ms, on_moved=self._decide, tidy=self._tidy
        )

    @property
    def timer_count(self) -> int:
        """How many timers wait in memory."""
        return self._decider.timer_count

    @property
    def waiting_count(self) -> int:
        """How many due jobs wait for a slot."""
        return self._decider.concurrency.waiting_count

    @property
    def position(self) -> int:
        """The last position folded."""
        return self._decider.ledger.position

    @property
    def saved_position(self) -> int:
        """The last position whose fold is in the tables."""
        return self._saved_position

    async def run(self) -> None:
        """
        Take the partition over and own it until cancelled.

        Raises:
            Resigned: the partition was given up.
        """
        self._end = asyncio.get_running_loop().create_future()
        try:
            await self._take_over()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read_forever())
                tasks.create_task(self._append_forever())
                tasks.create_task(self.horizon.keep())
                tasks.create_task(self._tables.watch(self.partition, self._clock))
                tasks.create_task(self._wait_for_end())
        except ExceptionGroup as group:
            raise _resignation(group.exceptions[0]) from group
        except (LogError, StoreUnavailable, TablesMoved) as error:
            raise _resignation(error) from error
        finally:
            self.deciding.clear()
            self._timer.cancel()

    async def hand_off(self) -> None:
        """Write the due events and ticks of the next moments early and wait until all that was decided is read back and saved."""
        crash_at("scheduler.before_hand_off")
        self._early_ms = HAND_OFF_EARLY_MS  # from now on: the jobs of those ticks are due early, too
        self._decide()
        while self._outbox or self._appending or self._decider.overlay_count or self._has_unsaved:
            self._wake_flusher()
            await asyncio.sleep(0.005)

    async def write(self, decision: Event) -> None:
        """
        Append a decision about the partition that is too large to be made with the others.

        Raises:
            LogError: it may be in the log, or not. If that is not known, this owner gives up, as after any other decision.
        """
        try:
            await self._log.append(self.partition, [encode(decision, self._claim)])
        except AppendFailed as error:
            self._give_up(_resignation(error))
            raise

    def take_flush(self) -> Flush | None:
        """Return what is to be saved next, or None. The same flush comes again until `flushed` or `fence_lost` is called."""
        if self._saving is None and self._has_unsaved:
            ledger = self._decider.ledger
            self._saving = Flush(
                self.partition, self._lease.nonce, self._saved_position, ledger.position, ledger.claim, self._unsaved
            )
            self._unsaved = PartitionChanges(self.partition)
        return self._saving

    def flushed(self) -> None:
        """Note that the flush taken last is in the tables."""
        if self._saving is not None:
            self._saved_position = self._saving.to_position
            self._saving = None
            self._saved.set()

    def fence_lost(self) -> None:
        """Note that the tables refused the flush: another process has the lease."""
        self._give_up(Resigned(Reason.FENCED, "the tables belong to another lease"))

    @property
    def decider(self) -> Decider:
        """What decides here; `look_again` after it was told something."""
        return self._decider

    def __contains__(self, owner_id: object) -> bool:
        """Whether the state of *owner_id* is not in the tables yet (see `Decider.evict`)."""
        return owner_id in self._unsaved or (self._saving is not None and owner_id in self._saving.changes)

    @property
    def _has_unsaved(self) -> bool:
        return self._saving is not None or self._decider.ledger.position > self._saved_position

    def _own_positions(self) -> tuple[int, int]:
        """Return the position saved last, and the one that may be saved by now (see `FencedTables`)."""
        return self._saved_position, self._saving.to_position if self._saving is not None else self._saved_position

    async def _take_over(self) -> None:
        position, claim = await self._tables.progress(self.partition)
        self._saved_position = position
        self._decider.ledger.position = position
        self._decider.ledger.claim = claim
        self._decider.ledger.floors = await self._tables.floors(self.partition)
        self._decider.new_jobs = NewJobs(await self._tables.newest_job(self.partition))
        yesterday = day_of(self._clock.now()) - 1
        self._decider.permits.load(await self._tables.daily_usage(self.partition, yesterday))
        self._decider.load(await self._tables.load_open(self.partition))
        await self.horizon.load()
        crash_at("scheduler.before_claim")
        claimed = OwnerClaimed(epoch=self._claim.epoch, nonce=self._claim.nonce, node=self._node, at=self._clock.now())
        await self._log.append(self.partition, [encode(claimed)])
        crash_at("scheduler.after_claim")
        self._metrics.claims.inc()

    async def _read_forever(self) -> None:
        decider = self._decider
        pace = Pace(self._clock, READ_EVERY_MS)
        while True:
            while len(self._unsaved) > UNSAVED_MAX or self._unsaved.spec_bytes > UNSAVED_BYTES_MAX:
                self._saved.clear()
                self._wake_flusher()
                await self._saved.wait()
            records = await self._log.read(
                self.partition, decider.ledger.position + 1, max_records=READ_MAX, wait_s=READ_WAIT_S
            )
            if not records:
                continue
            if len(records) == READ_MAX:
                pace.skip()
            else:
                self._tidy()  # in a burst the horizon does it, from time to time: it costs as much as there is unsaved
            crash_at("scheduler.after_read")
            items = [((each.position, each.envelope), read(self.partition, each.envelope)) for each in records]
            missing = decider.missing([owner_id for _, item in items for owner_id in names(item)])
            if missing:
                await self._load(missing)
            for (position, envelope), item in items:
                applied = decider.apply(position, item, envelope.claim)
                self._unsaved.note(envelope)
                self._unsaved.add(applied)
                if applied.verdict is not Verdict.APPLIED:
                    self._count(position, applied)
                elif isinstance(item, ScheduleTicked):
                    self._metrics.ticks.inc()
                    self._metrics.missed_ticks.inc(item.missed_count)
                elif isinstance(item, ScheduleRealigned):
                    self._metrics.realigned.inc()
            if decider.superseded:
                raise Resigned(Reason.SUPERSEDED, "a newer claim stands in the log")
            if decider.is_deciding and not self.deciding.is_set():
                _log.debug("deciding", partition=self.partition, epoch=self._claim.epoch, position=self.position)
                self.deciding.set()
                crash_at("scheduler.deciding")
            self._wake_flusher()
            self._decide()
            await pace.turn()

    def _tidy(self) -> None:
        """Drop what need not be in memory, except while rows are being loaded: what is in memory then is newer than the rows."""
        if not self._loading and not self.horizon.is_loading:
            self._decider.evict(self)

    async def _load(self, ids: list[str]) -> None:
        """Load the states of *ids*, waiting for the tables as long as it takes: no record can be folded without them."""
        wanted = list(dict.fromkeys(ids))
        self._loading += 1
        is_failing = False
        try:
            while True:
                try:
                    states = await self._tables.load(self.partition, wanted)
                    break
                except StoreUnavailable as error:
                    if not is_failing:
                        is_failing = True
                        _log.warning("tables_unreachable", partition=self.partition, reason=str(error))
                    await self._clock.pause(RETRY_MS)
            self._decider.load(states)
        finally:
            self._loading -= 1

    async def _append_forever(self) -> None:
        while True:
            await self._outbox_filled.wait()
            self._outbox_filled.clear()
            batch, self._outbox = self._outbox, []
            if not batch:
                continue
            self._appending = True
            if is_armed():
                crash_before(batch)
            await self._log.append(self.partition, batch)
            if is_armed():
                crash_after(batch)
            self._appending = False

    async def _wait_for_end(self) -> None:
        """Raise, among the owner's tasks, what went wrong outside of them."""
        await self._end

    def _give_up(self, reason: Exception) -> None:
        if not self._end.done():
            self._end.set_exception(reason)

    def look_again(self) -> None:
        """Decide what may be decided now."""
        try:
            self._decide()
        except Exception as error:  # noqa: BLE001 - a timer has no caller: the owner ends with the error
            self._give_up(error)

    def _decide(self) -> None:
        now = self._clock.now()
        decisions = self._decider.decide(now, self._entropy.jitter, early_ms=self._early_ms)
        if self._decider.not_understood:
            self._note_not_understood()
        if decisions:
            self._outbox.extend([encode(each, self._claim) for each in decisions])
            self._outbox_filled.set()
        if self._decider.permits.wanted:
            self._wake_asker()
        self._timer.set(self._decider.next_decision_at())

    def _note_not_understood(self) -> None:
        """Log the schedules that wait for a build which knows their rule or their time zone; all others go on."""
        ids = self._decider.not_understood
        _log.warning("rule_not_understood", partition=self.partition, count=len(ids), first=ids[0])
        ids.clear()

    def _count(self, position: int, applied: Applied) -> None:
        match applied.verdict:
            case Verdict.VOID:
                self._metrics.void.inc()
            case Verdict.ILLEGAL:
                self._metrics.illegal.inc()
                event_type = type(applied.event).__name__
                _log.error("illegal_decision", partition=self.partition, position=position, event_type=event_type)
            case Verdict.POISON:
                self._metrics.poison.inc()
                _log.error("unreadable_record", partition=self.partition, position=position)
            case Verdict.SKIPPED:
                self._metrics.skipped.inc()
            case _:
                pass
