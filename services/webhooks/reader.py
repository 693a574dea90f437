"""
Follower: one partition under one lease, from its saved position on.

    start   position and claim from role_lease; look ahead for outcomes that stand in the log already: those jobs are not told again
    follow  admitted job.finished and job.cancelled that have a webhook -> spec -> delivery
    save    each second: the position below which everything is done, so that a crash repeats no more than that

Source: ARCHITECTURE.md, "A job's life", "What happens when something dies".
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

import structlog

from libs.domain.reader_fold import ReaderFold
from libs.events import Claim, JobCancelled, JobFinished, Spec
from libs.log.port import Log, Record
from libs.runtime.clock import Clock
from libs.runtime.crashpoint import crash_at
from libs.runtime.pace import Pace
from services.webhooks.deliveries import Deliveries, Delivery
from services.webhooks.look_ahead import LookAhead
from services.webhooks.payload import TerminalEvent
from services.webhooks.ports import Lease, Meter, Positions, Progress, SigningSecrets, SpecTables
from services.webhooks.watermark import Watermark

READ_MAX: Final = 500
READ_WAIT_S: Final = 1.0
PENDING_MAX: Final = 5_000  # POSTs held by the process; beyond it reading stops
PROGRESS_WAIT_S: Final = 5.0
SAVE_EVERY_MS: Final = 1_000
RETRY_FIRST_MS: Final = 100
RETRY_MAX_MS: Final = 5_000
ROOM_CHECK_MS: Final = 50

SPEC_MISSING: Final = "spec_missing"
SECRET_MISSING: Final = "signing_secret_missing"  # noqa: S105 - an error's name
STARTING: Final = "starting"
HALTS: Final = (
    "GapInLog:",
    "MustUnderstand:",
    "LogDamaged:",
    "LogError:",
)  # how the trouble of a partition begins that waiting does not mend

_WANTED: Final = frozenset({"job.finished", "job.cancelled"})

L = TypeVar("L", bound=Lease)
R = TypeVar("R")
Told = tuple[int, TerminalEvent]

log = structlog.get_logger("webhooks")


class Follower(Generic[L]):
    """Follows one partition and hands its jobs' ends to the deliveries."""

    def __init__(
        self,
        lease: L,
        *,
        event_log: Log,
        positions: Positions[L],
        tables: SpecTables,
        progress: Progress,
        secrets: SigningSecrets,
        clock: Clock,
        deliveries: Deliveries,
        meter: Meter,
        gather_ms: int = 0,
    ) -> None:
        """Prepare to follow the partition of *lease*; nothing happens before `run`."""
        self.partition = lease.partition
        self.trouble: str | None = STARTING
        self._lease = lease
        self._log = event_log
        self._positions = positions
        self._tables = tables
        self._progress = progress
        self._secrets = secrets
        self._clock = clock
        self._pace = Pace(clock, gather_ms)
        self._deliveries = deliveries
        self._meter = meter
        self._watermark: Watermark | None = None
        self._saved: tuple[int, Claim | None] | None = None
        self._reached = -1

    @property
    def position(self) -> int:
        """The last position read, -1 before the first."""
        return self._reached

    @property
    def is_halted(self) -> bool:
        """Whether the partition cannot be read on: a gap, a truncated log, or a record that must be understood."""
        return self.trouble is not None and self.trouble.startswith(HALTS)

    @property
    def must_leave(self) -> bool:
        """Whether it stands in front of a record that only a newer build may pass."""
        return self.trouble is not None and self.trouble.startswith("MustUnderstand:")

    async def run(self) -> None:
        """Follow until cancelled."""
        fold: ReaderFold | None = None
        told: LookAhead | None = None
        retry_ms = RETRY_FIRST_MS
        while True:
            try:
                if fold is None or told is None:
                    fold, told = await self._begin()
                while True:
                    await self._step(fold, told)
                    self.trouble = None
                    retry_ms = RETRY_FIRST_MS
            except Exception as error:  # noqa: BLE001 - log, tables, a gap, a record not understood: the partition waits, and tries again
                reason = f"{type(error).__name__}: {error}"
                if self.trouble != reason:
                    log.error("partition_halted", partition=self.partition, reason=reason)
                self.trouble = reason
            await self._clock.pause(retry_ms)
            retry_ms = min(retry_ms * 2, RETRY_MAX_MS)

    async def save_forever(self) -> None:
        """Save the position each second until cancelled."""
        while True:
            await self._clock.pause(SAVE_EVERY_MS)
            await self.save()

    async def save(self) -> None:
        """Save the position, if it moved."""
        if self._watermark is None:
            return
        mark = self._watermark.mark()
        if mark == self._saved:
            return
        crash_at("webhooks.before_save")
        try:
            await self._positions.save_position(self._lease, *mark)
        except Exception as error:  # noqa: BLE001 - the next second saves it; until then a crash would repeat a little more
            log.warning("position_not_saved", partition=self.partition, reason=str(error))
        else:
            crash_at("webhooks.after_save")
            self._saved = mark

    async def _begin(self) -> tuple[ReaderFold, LookAhead]:
        position, claim = await self._positions.position(self.partition)
        told = LookAhead(self._log, self.partition, position)
        await told.move(position)
        self._saved = position, claim
        self._reached = position
        self._watermark = Watermark(position, claim)
        if self.trouble == STARTING:
            self.trouble = None
        return ReaderFold(self.partition, wanted=_WANTED, position=position, claim=claim), told

    async def _step(self, fold: ReaderFold, told: LookAhead) -> None:
        """Read once, and hand over what is to be told."""
        while self._deliveries.held_count >= PENDING_MAX:
            await self._clock.pause(ROOM_CHECK_MS)
        await told.move(fold.position)
        await self._pace.turn()
        records = await self._log.read(self.partition, fold.position + 1, max_records=READ_MAX, wait_s=READ_WAIT_S)
        if len(records) == READ_MAX:
            self._pace.skip()
        ends: list[Told] = []
        try:
            self._take(fold, records, told, ends)
        finally:
            # What stands in front of a record that stops us is told all the same.
            self._count(fold)
            self._reached = fold.position
            if ends:
                await self._deliver(ends)

    def _take(self, fold: ReaderFold, records: Sequence[Record], told: LookAhead, ends: list[Told]) -> None:
        watermark = self._watermark
        assert watermark is not None  # noqa: S101 - set by _begin
        for position, _, envelope in records:
            event = fold.take(position, envelope)
            if not isinstance(event, JobFinished | JobCancelled) or not event.has_webhook or told.take(event.job_id):
                watermark.read(position, fold.claim, is_pending=False)
                continue
            watermark.read(position, fold.claim, is_pending=True)
            if self._deliveries.holds(event.job_id):
                # Begun under a lease that was lost in between: it is not made twice, and not done before it is recorded.
                self._deliveries.join(event.job_id, partial(watermark.done, position))
            else:
                ends.append((position, event))

    async def _deliver(self, ends: list[Told]) -> None:
        specs = await self._patiently(lambda: self._tables.specs([event.spec_id for _, event in ends]))
        late = [position for position, event in ends if event.spec_id not in specs]
        if late:
            while not await self._patiently(lambda: self._progress.wait(self.partition, late[-1], PROGRESS_WAIT_S)):
                log.info("waiting_for_tables", partition=self.partition, position=late[-1])
            specs = await self._patiently(lambda: self._tables.specs([event.spec_id for _, event in ends]))
        accounts = sorted({event.account for _, event in ends})
        secrets = await self._patiently(lambda: self._secrets.signing_secrets(accounts))
        for position, event in ends:
            self._hand_over(position, event, specs.get(event.spec_id), secrets)

    def _hand_over(
        self, position: int, event: TerminalEvent, spec: Spec | None, secrets: Mapping[str, Sequence[str]]
    ) -> None:
        watermark = self._watermark
        assert watermark is not None  # noqa: S101 - set by _begin
        valid = tuple(secrets.get(event.account, ()))

        def on_done() -> None:
            watermark.done(position)

        if spec is None or spec.webhook_url is None:
            log.error("spec_missing", job_id=event.job_id, partition=self.partition, position=position)
            self._deliveries.give_up(self.partition, event, SPEC_MISSING, on_done)
        elif not valid:
            self._deliveries.give_up(self.partition, event, SECRET_MISSING, on_done)
        else:
            self._deliveries.put(Delivery(self.partition, event, spec, valid, on_done))

    async def _patiently(self, ask: Callable[[], Awaitable[R]]) -> R:
        """Return what the store answers, asking until it does: what was read must not be lost by an error."""
        retry_ms = RETRY_FIRST_MS
        while True:
            try:
                return await ask()
            except Exception as error:  # noqa: BLE001 - whatever the store raises, it is asked again
                self.trouble = f"{type(error).__name__}: {error}"
                log.warning("tables_unreachable", partition=self.partition, reason=str(error))
            await self._clock.pause(retry_ms)
            retry_ms = min(retry_ms * 2, RETRY_MAX_MS)

    def _count(self, fold: ReaderFold) -> None:
        if fold.poison_count:
            log.error("unreadable_records", partition=self.partition, count=fold.poison_count, position=fold.position)
            self._meter.poison(fold.poison_count)
            fold.poison_count = 0
