"""
Fenced tables: an owner's reads of its tables, refused if the tables are not what the owner itself has saved.

An owner drops states that the tables hold, and reads them again later. If the tables are older by then, as after a failover to a
replica that lagged, a job that has ended looks as if it were still to fire. If they are newer, another owner writes them. The rows
follow from the position of the tables, so it is enough to check the position after every read: it must be one that this owner has
saved, or is saving at the moment.

Flushes do not wait for the disk, so a server that crashed comes back with older tables. A partition in which nothing happens reads
and writes nothing and would never notice, while callers do not find what they were told is there. So `watch` checks every second.

Source: the protocol model (tests/simulation), mutation "reads not fenced".
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from libs.domain.history.floors import Floors
from libs.domain.job import JobState
from libs.domain.schedule import ScheduleState
from libs.domain.state_kind import StateKind
from libs.domain.state_registry import State
from libs.events import Claim
from libs.runtime.clock import Clock
from libs.store.errors import StoreUnavailable
from services.scheduler.ports import TableReader

WATCH_EVERY_MS: Final = 1_000

Rows = TypeVar("Rows")


class TablesMoved(Exception):
    """This owner has not brought the tables to the position where they are: what was read of them must not be used."""


class FencedTables:
    """A `TableReader` whose rows are those of the owner's own positions; every read may raise `TablesMoved`."""

    def __init__(self, tables: TableReader, positions: Callable[[], tuple[int, int]]) -> None:
        """Read *tables*; *positions* returns the last position saved and the last one that may be by now."""
        self._tables = tables
        self._positions = positions

    async def watch(self, partition: int, clock: Clock) -> None:
        """Check the position of the tables every second; raises `TablesMoved` if this owner has not brought them there."""
        while True:
            await clock.beat(WATCH_EVERY_MS)
            saved, _ = self._positions()
            try:
                await self._check(partition, saved)
            except StoreUnavailable:
                continue  # other tasks log that the tables do not answer; this one asks again

    async def progress(self, partition: int) -> tuple[int, Claim | None]:
        """Return the position of the tables, whatever it is."""
        return await self._tables.progress(partition)

    async def load(self, partition: int, ids: list[str]) -> list[State]:
        """Return the states of those of *ids* that exist."""
        return await self._fenced(partition, self._tables.load(partition, ids))

    async def newest_job(self, partition: int) -> str:
        """Return an id that no job of *partition* in the tables exceeds."""
        return await self._fenced(partition, self._tables.newest_job(partition))

    async def load_open(self, partition: int) -> list[State]:
        """Return the jobs under way, and those with an unanswered cancel."""
        return await self._fenced(partition, self._tables.load_open(partition))

    async def load_due(
        self, kind: StateKind, partition: int, before: int, limit: int, *, since: int = 0, avoid: Sequence[str] = ()
    ) -> list[State]:
        """Return waiting states with since <= timer < before, the earliest first, without the accounts in *avoid*."""
        return await self._fenced(
            partition, self._tables.load_due(kind, partition, before, limit, since=since, avoid=avoid)
        )

    async def load_zoned(self, partition: int, zone_data: str, after: str, limit: int) -> list[ScheduleState]:
        """Return active schedules with a time zone, by id, whose next run was computed with another version of the zone data."""
        return await self._fenced(partition, self._tables.load_zoned(partition, zone_data, after, limit))

    async def floors(self, partition: int) -> Floors:
        """Return what is forgotten in *partition*."""
        return await self._fenced(partition, self._tables.floors(partition))

    async def daily_usage(self, partition: int, since_day: int) -> dict[tuple[str, int], int]:
        """Return how many attempts became due, by account and UTC day, from *since_day* on."""
        return await self._fenced(partition, self._tables.daily_usage(partition, since_day))

    async def load_backlog(self, partition: int, account: str, before: int, limit: int) -> list[JobState]:
        """Return waiting jobs of one account with fire_at < before, the earliest first."""
        return await self._fenced(partition, self._tables.load_backlog(partition, account, before, limit))

    async def _fenced(self, partition: int, rows: Awaitable[Rows]) -> Rows:
        """Return *rows* if the tables are this owner's own before and after they are read."""
        saved, _ = self._positions()
        found = await rows
        await self._check(partition, saved)
        return found

    async def _check(self, partition: int, saved: int) -> None:
        """Raise unless the tables stand between *saved*, the position when the read began, and the last one being saved."""
        position, _ = await self._tables.progress(partition)
        _, latest = self._positions()
        if not saved <= position <= latest:
            raise TablesMoved(f"the tables stand at {position}, this owner has brought them from {saved} to {latest}")
