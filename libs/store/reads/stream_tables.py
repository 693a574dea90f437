"""Stream tables: whose the jobs and schedules of a partition are, for the stream of events."""

from collections.abc import Collection
from typing import Any, Final, NamedTuple

import msgspec

from libs.events.ids import from_int
from libs.store.errors import store_call
from libs.store.projection import rows
from libs.store.reads.partition_tables import TablePosition, consistent, positions, progress_of

_JOBS: Final = "SELECT job_id, account, schedule_id, more FROM jobs WHERE job_id = ANY ($1::uuid[]) AND part = $2"
_SCHEDULES: Final = (
    "SELECT schedule_id, account, changed_at, more FROM schedules WHERE schedule_id = ANY ($1::uuid[]) AND part = $2"
)


class StreamFacts(NamedTuple):
    """
    What is known of a job or a schedule.

    Args:
        schedule_id: that the job belongs to; of a schedule its own.
        labels: names and values.
        changed_at: of a schedule the position of the last record that changed it; 0 of a job.
    """

    account: str
    schedule_id: str | None
    labels: dict[str, str]
    changed_at: int


class _More(msgspec.Struct):
    labels: dict[str, str] | None = None


_read_more = msgspec.json.Decoder(_More).decode


class StreamTables:
    """Reads by partition. Every method raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Read through *pool*."""
        self._pool = pool

    @store_call
    async def positions(self) -> dict[int, TablePosition]:
        """Return how far the tables are, and the claims admitted there, by partition; those that hold nothing are left out."""
        return await positions(self._pool)

    @store_call
    async def facts_of(self, partition: int, ids: Collection[str]) -> tuple[int, dict[str, StreamFacts]]:
        """
        Return those of the jobs and schedules *ids* of *partition* that exist, and the position as of which.

        The tables may have gone back since somebody last asked for their position.
        """
        jobs = [each for each in ids if each.startswith("job_")]
        schedules = [each for each in ids if each.startswith("sched_")]
        found: dict[str, StreamFacts] = {}
        async with consistent(self._pool) as connection:
            position, _ = await progress_of(connection, partition)
            if jobs:
                for row in await connection.fetch(_JOBS, rows.uuids_of(jobs), partition):
                    of = row["schedule_id"]
                    schedule_id = None if of is None else from_int("sched", of.int)
                    found[rows.job_id_of(row["job_id"])] = StreamFacts(row["account"], schedule_id, _labels(row), 0)
            if schedules:
                for row in await connection.fetch(_SCHEDULES, rows.uuids_of(schedules), partition):
                    schedule_id = from_int("sched", row["schedule_id"].int)
                    found[schedule_id] = StreamFacts(row["account"], schedule_id, _labels(row), row["changed_at"])
        return position, found


def _labels(row: Any) -> dict[str, str]:
    more = row["more"]
    return {} if more is None else _read_more(more).labels or {}
