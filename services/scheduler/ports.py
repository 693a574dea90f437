"""What the scheduler needs of others: narrow ports, met by libs/store and by fakes in tests."""

from collections.abc import Sequence
from typing import Protocol

from libs.domain.history.floors import Floors
from libs.domain.job import JobState
from libs.domain.schedule import ScheduleState
from libs.domain.state_kind import StateKind
from libs.domain.state_registry import State
from libs.events import Claim


class TableReader(Protocol):
    """What an owner reads from the tables of its partition."""

    async def progress(self, partition: int) -> tuple[int, Claim | None]:
        """Return the position up to which the tables are folded, and the claim admitted there."""

    async def load(self, partition: int, ids: list[str]) -> list[State]:
        """Return the states of those of *ids* that exist."""

    async def newest_job(self, partition: int) -> str:
        """Return an id that no job of *partition* in the tables exceeds."""

    async def load_open(self, partition: int) -> list[State]:
        """Return the jobs under way, and those with an unanswered cancel."""

    async def load_due(
        self, kind: StateKind, partition: int, before: int, limit: int, *, since: int = 0, avoid: Sequence[str] = ()
    ) -> list[State]:
        """Return waiting states with since <= timer < before, the earliest first, without the accounts in *avoid*."""

    async def load_zoned(self, partition: int, zone_data: str, after: str, limit: int) -> list[ScheduleState]:
        """Return active schedules with a time zone, by id, whose next run was computed with another version of the zone data."""

    async def floors(self, partition: int) -> Floors:
        """Return what is forgotten in *partition*."""

    async def daily_usage(self, partition: int, since_day: int) -> dict[tuple[str, int], int]:
        """Return how many attempts became due, by account and UTC day, from *since_day* on (days since 1970-01-01)."""

    async def load_backlog(self, partition: int, account: str, before: int, limit: int) -> list[JobState]:
        """Return waiting jobs of one account with fire_at < before, the earliest first."""
