"""
An in-memory store: the tables an owner reads and the flusher writes, with the same fence, and faults on demand.

It keeps what `PartitionChanges` brings and nothing else, so that a test can compare it with the fold of the log, row for row.
The simulation of whole fleets reaches the same tables over an imagined network (tests/simulation/fleet/store_link.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from libs.domain.history.floors import Floors
from libs.domain.job import JobState
from libs.domain.schedule import ScheduleState
from libs.domain.state_kind import StateKind
from libs.domain.state_registry import State
from libs.events import Claim
from libs.store.carried.seals import Key, Sum
from libs.store.control.daily_grants import GrantAsk
from libs.store.errors import StoreUnavailable
from libs.store.history.janitor import HistoryLook
from libs.store.projection.changes import Flush
from tests.fakes.control.carried import MemoryCarried
from tests.fakes.database import Database


class MemoryStore:
    """The tables of any number of partitions. *failing* makes every call raise `StoreUnavailable` while it is set."""

    def __init__(self) -> None:
        self.database = Database()
        self.positions = self.database.positions
        self.nonces = self.database.nonces
        self.jobs = self.database.jobs
        self.schedules = self.database.schedules
        self.usage = self.database.usage_by_day
        self.failing = False

    @property
    def flush_count(self) -> int:
        """How many flushes of one partition were written."""
        return self.database.flush_count

    async def progress(self, partition: int) -> tuple[int, Claim | None]:
        return self._answer().progress(partition)

    async def load(self, partition: int, ids: list[str]) -> list[State]:
        return self._answer().load(partition, ids)

    async def newest_job(self, partition: int) -> str:
        found: str = self._answer().newest_job(partition)
        return found

    async def load_open(self, partition: int) -> list[State]:
        return self._answer().load_open(partition)

    async def load_zoned(self, partition: int, zone_data: str, after: str, limit: int) -> list[ScheduleState]:
        return self._answer().load_zoned(partition, zone_data, after, limit)

    async def floors(self, partition: int) -> Floors:
        found: Floors = self._answer().floors(partition)
        return found

    async def look(self, partition: int, floors: Floors) -> HistoryLook:
        return self._answer().look(partition, floors)

    async def oldest_end(self, partition: int) -> int | None:
        return self._answer().oldest_end(partition)

    async def ended_rows(self) -> int:
        return self._answer().ended_rows()

    async def sweep(self, partition: int, limit: int) -> int:
        return self._answer().sweep(partition, limit)

    async def sweep_responses(self, partition: int, limit: int) -> int:
        return self._answer().sweep_responses(partition, limit)

    @asynccontextmanager
    async def opened(self, partition: int) -> AsyncIterator[MemoryCarried]:
        """Give out a copy of the tables of *partition*, as `Carrier` does."""
        yield self._answer().carried(partition)

    async def sealing(self, partition: int, since: int, before: int) -> AsyncIterator[dict[Key, Sum]]:
        yield self._answer().carried(partition).sealing(since, before)

    async def daily_usage(self, partition: int, since_day: int) -> dict[tuple[str, int], int]:
        found: dict[tuple[str, int], int] = self._answer().daily_usage(partition, since_day)
        return found

    async def ask(self, asks: Sequence[GrantAsk]) -> list[int | None]:
        return self._answer().ask(asks)

    async def forget_before(self, day: int) -> None:
        self._answer().forget_before(day)

    async def load_backlog(self, partition: int, account: str, before: int, limit: int) -> list[JobState]:
        return self._answer().load_backlog(partition, account, before, limit)

    async def load_due(
        self, kind: StateKind, partition: int, before: int, limit: int, *, since: int = 0, avoid: Sequence[str] = ()
    ) -> list[State]:
        return self._answer().load_due(kind, partition, before, limit, since=since, avoid=avoid)

    async def flush(self, flushes: Sequence[Flush]) -> set[int]:
        return self._answer().flush(flushes)

    def _answer(self) -> Database:
        if self.failing:
            raise StoreUnavailable("the test took the tables away")
        return self.database
