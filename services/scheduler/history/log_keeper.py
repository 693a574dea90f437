"""
Log keeper: for every partition that this process owns, has what lives carried over in the log, and deletes what is needed no more.

    seal     what ended since the last time is summed up by the hour, so that its rows can be proved without their records
    close    history.forgotten: requests of ids from before yesterday make no jobs from here on
    carry    rows.carried: what lives, as of one position of the tables at which that decision is folded; then log.carried
    trim     log.carried says how far the log is needed. Once that is in the tables too, the records before are deleted

Each step is repeated by the next owner if this one dies: a crash anywhere leaves more of the log than is needed, never less. All
of it is decided under the owner's claim, so what a process writes that is not the owner any more is void.

It carries twice in the time for which the log is to be kept, the first time when the log is half that old: a log that is younger
costs nothing. At the second time after that time, what stands before is deleted: so the log is as long as the setting says, and
half as long again at the most.

Its work takes a tenth of the time at the most: after each piece that it reads, writes or deletes, it waits nine times as long as
that took.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import msgspec
import structlog

from libs.domain.history.choice import DAY_MS, LEAST_MS
from libs.domain.history.floors import Floors
from libs.events import Claim, HistoryForgotten, LogCarried, RowsCarried, read
from libs.log.port import Log, LogError
from libs.runtime.clock import Clock
from libs.store.carried import seals
from libs.store.carried.carried_rows import CARRIED, SEALS, Piece, pieces, plain_row, rows_carried
from libs.store.carried.seals import Key, Seals, Sum, is_kept, seal_row, sealed_until
from libs.store.errors import StoreUnavailable
from libs.store.history.janitor import HistoryLook
from services.scheduler.history.history_metrics import LogMetrics
from services.scheduler.partition_owner import PartitionOwner

LOOK_EVERY_MS: Final = 60_000
WAIT_MS: Final = 100  # between two looks whether a decision is in the tables
WAITS_MAX: Final = 600
READ_MAX: Final = 50  # records at once: some of 30 kB, which are decoded between two calls
TRIM_STEP: Final = 2_000  # records deleted at once, some 20 ms of PostgreSQL's time
STEPS_MAX: Final = 1_000  # of these at one look; then the other partitions have their turn
REST_FACTOR: Final = 9
REST_MIN_MS: Final = 20

_log = structlog.get_logger("scheduler")


class CarriedTables(Protocol):
    """The tables of one partition as of the position before *begin*."""

    begin: int
    claim: Claim | None
    floors: Floors

    def pieces(self, at: int) -> AsyncIterator[Piece]:
        """Yield all that is to be carried at the instant *at*."""


class Carrying(Protocol):
    """What reads the tables: `Carrier`."""

    def opened(self, partition: int) -> AbstractAsyncContextManager[CarriedTables]:
        """Give out the tables of *partition* as they are now."""

    def sealing(self, partition: int, since: int, before: int) -> AsyncIterator[dict[Key, Sum]]:
        """Yield sums of the jobs of *partition* that ended in [*since*, *before*), and of the days before."""


class Positions(Protocol):
    """How far others are: `Janitor`."""

    async def look(self, partition: int, floors: Floors) -> HistoryLook:
        """Say how far events are fanned out."""


class _NotNow(Exception):
    """This owner is not the owner any more, or the tables are behind: the next look tries again."""


class LogKeeper:
    """Runs for as long as the process does; owners come and go."""

    def __init__(
        self,
        *,
        event_log: Log,
        carrier: Carrying,
        positions: Positions,
        owners: Mapping[int, PartitionOwner],
        clock: Clock,
        days: int,
        metrics: LogMetrics,
    ) -> None:
        """Keep the log of *owners* for *days*; 0 is for ever."""
        self._log = event_log
        self._carrier = carrier
        self._positions = positions
        self._owners = owners
        self._clock = clock
        self._days_ms = days * DAY_MS
        self._metrics = metrics
        self._seen: dict[int, int] = {}  # partition -> when this process first looked at it
        self._began_at: dict[int, int] = {}  # partition -> when its first record was written

    async def run(self) -> None:
        """Look every minute until cancelled."""
        while True:
            await self._clock.pause(LOOK_EVERY_MS)
            self._measure()
            for owner in list(self._owners.values()):
                if not owner.decider.is_deciding:
                    continue
                try:
                    await self.look_at(owner)
                except _NotNow:
                    continue
                except (StoreUnavailable, LogError) as error:
                    _log.warning("log_not_kept", partition=owner.partition, reason=str(error))

    async def look_at(self, owner: PartitionOwner) -> None:
        """Carry what lives over if it is time, and delete what is needed no more."""
        if self._days_ms and self._clock.now() - await self._carried_at(owner) >= self._days_ms // 2:
            await self._carry(owner)
        await self._trim(owner)

    async def _carried_at(self, owner: PartitionOwner) -> int:
        """Return when what lives was carried over last; if it never was, when the log begins."""
        carried_at = owner.decider.ledger.floors.carried_at
        if carried_at or owner.partition in self._began_at:
            return carried_at or self._began_at[owner.partition]
        records = await self._log.read(owner.partition, await self._log.begin(owner.partition), max_records=1)
        if not records:
            return self._clock.now()
        return self._began_at.setdefault(owner.partition, records[0].at)

    def _measure(self) -> None:
        now, overdue_ms = self._clock.now(), 0
        self._seen = {each: self._seen.get(each, now) for each in self._owners}
        for partition, owner in self._owners.items():
            carried_at = max(owner.decider.ledger.floors.carried_at, self._seen[partition])
            overdue_ms = max(overdue_ms, now - carried_at - self._days_ms // 2)
        self._metrics.overdue(overdue_ms if self._days_ms else 0)

    async def _carry(self, owner: PartitionOwner) -> None:
        partition, closed_before = owner.partition, self._clock.now() - LEAST_MS
        floors = owner.decider.ledger.floors
        if closed_before > floors.closed_before:
            now = self._clock.now()
            owner.decider.asked.append(
                HistoryForgotten(through=floors.through, closed_before=closed_before, at=now),
            )
            owner.look_again()
            await self._wait(owner, lambda: owner.decider.ledger.floors.closed_before >= closed_before)
        closed_at = owner.position
        await self._wait(owner, lambda: owner.saved_position >= closed_at)
        count, sealed = 0, await self._sealed(owner, self._clock.now())
        rows = ((SEALS, plain_row(seal_row(*each))) for each in sorted(sealed.known.items()))
        async with self._carrier.opened(partition) as tables:
            if tables.floors.closed_before < closed_before:
                raise _NotNow  # the tables went back
            at = self._clock.now()  # not before: what is over by now, and is not carried, is older than that
            async for piece in tables.pieces(at):
                await self._write(owner, piece, tables.begin, at)
                count += len(piece.rows)
        for piece in pieces(rows):
            await self._write(owner, piece, tables.begin, at)
            count += len(piece.rows)
        floors = owner.decider.ledger.floors
        await owner.write(
            LogCarried(
                begin=tables.begin,
                rows=count,
                claim=None if tables.claim is None else str(tables.claim),
                floors={name: value for name, value in msgspec.structs.asdict(tables.floors).items() if value},
                prior_to=floors.carried_to,
                prior_at=floors.carried_at,
                trim_to=self._needless(floors),
                sealed_before=sealed.before,
                at=at,
            )
        )
        _log.info("log_carried", partition=partition, position=tables.begin, rows=count)

    async def _write(self, owner: PartitionOwner, piece: Piece, begin: int, at: int) -> None:
        self._check(owner)
        began_at = self._clock.steady()
        await owner.write(rows_carried(piece, begin, at))
        self._metrics.carried(len(piece.rows))
        await self._rest(began_at)

    async def _rest(self, began_at: int) -> None:
        await self._clock.pause(max(REST_MIN_MS, REST_FACTOR * (self._clock.steady() - began_at)))

    async def _sealed(self, owner: PartitionOwner, at: int) -> Seals:
        """Return the seals of all that ended long before *at*: those that were carried before, and those of the hours since."""
        sealed, floors = await self._carried_seals(owner), owner.decider.ledger.floors
        before = max(sealed.before, sealed_until(at))
        began_at = self._clock.steady()
        async for sums in self._carrier.sealing(owner.partition, sealed.before, before):
            self._check(owner)
            seals.add(sealed.known, sums)
            await self._rest(began_at)
            began_at = self._clock.steady()
        sealed.known = {key: found for key, found in sealed.known.items() if is_kept(key, floors)}
        sealed.before = before
        return sealed

    async def _carried_seals(self, owner: PartitionOwner) -> Seals:
        """Return the seals that stand in the log with what was carried last."""
        found, begin = Seals(), owner.decider.ledger.floors.carried_to
        position = begin
        while begin and position <= owner.position:
            began_at = self._clock.steady()
            records = await self._log.read(owner.partition, position, max_records=READ_MAX)
            for record in records:
                if record.envelope.type in CARRIED:
                    event = read(owner.partition, record.envelope)
                    if isinstance(event, RowsCarried) and event.begin == begin and event.table == SEALS:
                        found.read(begin, event.rows)
                    elif isinstance(event, LogCarried) and event.begin == begin:
                        found.end(event)
                        return found
            if not records:
                break
            position = records[-1].position + 1
            await self._rest(began_at)
        return found

    def _needless(self, floors: Floors) -> int:
        """Return the position before which the log is needed no more; 0 if all of it is."""
        now = self._clock.now()
        known = ((floors.carried_to, floors.carried_at), (floors.prior_to, floors.prior_at))
        return max((to for to, at in known if to and at <= now - self._days_ms), default=0)

    async def _trim(self, owner: PartitionOwner) -> None:
        trim_to = owner.decider.ledger.floors.trim_to
        if not trim_to:
            return
        partition = owner.partition
        begin = await self._log.begin(partition)
        if begin >= trim_to:
            return
        async with self._carrier.opened(partition) as tables:
            # What the tables do not say yet would be lost with them: the next owner would not know where the log may begin.
            trim_to = min(trim_to, tables.floors.trim_to)
            behind = tables.begin < trim_to
        fanned_out = (await self._positions.look(partition, owner.decider.ledger.floors)).fanned_out
        self._check(owner)
        if behind or fanned_out < trim_to - 1:
            _log.warning("log_still_read", partition=partition, to_position=trim_to, position=fanned_out)
            return
        for _ in range(STEPS_MAX):
            if begin >= trim_to:
                return  # all is deleted; or the tables went back, and say less than was deleted before
            began_at, step = self._clock.steady(), min(trim_to, begin + TRIM_STEP)
            await self._log.trim(partition, step)
            self._metrics.trimmed(step - begin)
            begin = step
            if begin < trim_to:
                await self._rest(began_at)
                self._check(owner)

    async def _wait(self, owner: PartitionOwner, is_true: Callable[[], bool]) -> None:
        for _ in range(WAITS_MAX):
            self._check(owner)
            if is_true():
                return
            await self._clock.pause(WAIT_MS)
        raise _NotNow

    def _check(self, owner: PartitionOwner) -> None:
        if self._owners.get(owner.partition) is not owner or not owner.decider.is_deciding:
            raise _NotNow
