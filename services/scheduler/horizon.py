"""
Horizon: how far ahead an owner holds states in memory, and loading more of them as time passes.

    in memory     waiting states owed before the horizon: in the wheel
    in the tables all states; those owed after the horizon are only there

Every half second: if the horizon is less than a minute ahead, load everything due within two minutes. A load is bounded, so the
horizon may end up nearer than that; the next load goes on from `resume_at`. With too many states in memory, the horizon moves back.

An account with very many due jobs (the decider's backlog) is left out of these loads, so that its rows do not come before those of
all others. When few of its jobs are left in memory, its earliest ones are loaded.

An owner looks at its take-over at schedules whose next run older zone data decided (libs/domain/schedules/realign.py).

While rows are being loaded, the owner evicts nothing: what was in memory when the query began is newer than the rows, and stays.

Source: ARCHITECTURE.md, "Tables".
"""

from collections.abc import Callable
from typing import Final

import structlog

from libs.domain.job import JobState
from libs.domain.state_registry import OWED_KINDS
from libs.events.fields import MAX_INSTANT
from libs.runtime.clock import Clock
from libs.store.errors import StoreUnavailable
from services.scheduler.decider import Decider
from services.scheduler.ports import TableReader

HORIZON_MS: Final = 120_000  # how far ahead timers are kept in memory
LOOK_EVERY_MS: Final = 500
LOAD_MAX: Final = 20_000  # rows taken from the tables in one go
RECALL_MAX: Final = 4_000  # the same for one account of the backlog; more than it may have in memory then, and unsaved
STATES_MAX: Final = 60_000  # states in memory per partition; beyond, the horizon moves back
NEAREST_MS: Final = 2_000  # but not nearer than this
ZONED_MAX: Final = 500  # schedules with older zone data taken from the tables in one go

_log = structlog.get_logger("scheduler")


class Horizon:
    """The horizon of one partition's decider."""

    def __init__(
        self,
        partition: int,
        decider: Decider,
        tables: TableReader,
        clock: Clock,
        *,
        lead_ms: int,
        on_moved: Callable[[], None],
        tidy: Callable[[], None],
    ) -> None:
        """
        Keep the horizon of *decider*; *on_moved* is called when there may be something new to decide.

        *tidy* is called in every round and drops states that are saved. Otherwise only new records cause that, and a full memory
        would keep the horizon where it is.
        """
        self._partition = partition
        self._decider = decider
        self._tables = tables
        self._clock = clock
        self._lead_ms = lead_ms
        self._on_moved = on_moved
        self._tidy = tidy
        self._resume_at = MAX_INSTANT
        self._is_failing = False
        self._zoned_after: str | None = ""  # id of the last schedule that was looked at; None: all were
        self.is_loading = False

    def _note(self, what: str, error: StoreUnavailable) -> None:
        """Log it once in an outage: there are many partitions, and each of them tries twice a second."""
        if not self._is_failing:
            self._is_failing = True
            _log.warning(what, partition=self._partition, reason=str(error))

    async def keep(self) -> None:
        """Move the horizon on until cancelled; tables that do not answer are asked again."""
        decider = self._decider
        while True:
            await self._look_at_zone_data()
            await self._clock.beat(LOOK_EVERY_MS)
            self._tidy()
            now = self._clock.now()
            if decider.state_count > STATES_MAX and decider.horizon_at > now + NEAREST_MS:
                decider.shrink(now + (decider.horizon_at - now) // 2)
            elif min(decider.horizon_at, self._resume_at) < now + HORIZON_MS // 2:
                try:
                    await self.load()
                    self._is_failing = False
                except StoreUnavailable as error:
                    # What is in memory is served meanwhile, and the same load is tried again.
                    self._note("horizon_not_loaded", error)
                self._on_moved()
            for account in decider.needs_recall():
                try:
                    await self._recall(account)
                except StoreUnavailable as error:
                    self._note("backlog_not_loaded", error)
                self._on_moved()

    async def load(self) -> None:
        """
        Move the horizon to `HORIZON_MS` from now, or as far as one load and memory allow.

        Raises:
            StoreUnavailable: the tables do not answer; the next load starts from the same instant.
        """
        decider = self._decider
        since, target = min(decider.horizon_at, self._resume_at), self._clock.now() + HORIZON_MS
        room = STATES_MAX - decider.state_count
        if target <= since or room < LOAD_MAX // 10:
            return
        limit = min(room, LOAD_MAX)
        self._resume_at = since
        reached = target
        self.is_loading = True
        try:
            # From here on, states folded from the log stay in memory if they are owed before the target; the rest is loaded.
            decider.extend(target)
            for kind in OWED_KINDS:
                states = await self._tables.load_due(
                    kind,
                    self._partition,
                    target + self._lead_ms,
                    limit,
                    since=since + self._lead_ms if since else 0,
                    avoid=sorted(decider.backlog) if kind.state is JobState else (),
                )
                decider.load(states)
                if len(states) == limit:
                    reached = min(reached, getattr(states[-1], kind.timer) - self._lead_ms)
        finally:
            self.is_loading = False
        self._resume_at = reached
        if reached < target:
            # There may be more rows at `reached`: the next load reads that instant again, and what was loaded of it stays.
            decider.shrink(reached + 1)

    async def _look_at_zone_data(self) -> None:
        """Have the decider look at all schedules whose next run was computed with other zone data, once after the take-over."""
        decider = self._decider
        while self._zoned_after is not None:
            self.is_loading = True
            try:
                found = await self._tables.load_zoned(self._partition, decider.zone_data, self._zoned_after, ZONED_MAX)
                decider.look_at_zone_data(found)
            except StoreUnavailable as error:
                self._note("zone_data_not_looked_at", error)
                return
            finally:
                self.is_loading = False
            self._zoned_after = found[-1].schedule_id if len(found) == ZONED_MAX else None
            self._on_moved()

    async def _recall(self, account: str) -> None:
        """Load the earliest waiting jobs of *account* that lie before the horizon."""
        decider = self._decider
        found: list[JobState] | None = None
        self.is_loading = True
        try:
            decider.recall(account)
            found = await self._tables.load_backlog(
                self._partition, account, decider.horizon_at + self._lead_ms, RECALL_MAX
            )
            decider.load(found)
        finally:
            self.is_loading = False
            if found is None or len(found) >= RECALL_MAX:
                decider.backlog.add(account)
