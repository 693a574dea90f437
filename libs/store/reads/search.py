"""
Search: jobs and schedules of an account by filters for which no index has the order of a list.

A look takes ids from the narrowest index at hand, newest first and some at a time, and keeps those whose rows are wanted. It ends
when the page is full, or when it has gone through `SCANNED_MAX` rows; then it says how far it came. So no filter costs more than
that, however few rows it finds.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import msgspec
from asyncpg.pgproto.pgproto import UUID

from libs.domain.job import JobStatus
from libs.domain.schedule import ScheduleStatus
from libs.events.ids import execution_id, from_int, to_int
from libs.store.errors import answer_call
from libs.store.projection import rows
from libs.store.projection.job_rows import JOBS
from libs.store.reads.account_queries import LISTED_SPEC, SCHEDULE, WITH_STATUS, AccountQueries, JobRow, ScheduleRow
from libs.store.reads.filters import Found, JobFilter, Label, ScheduleFilter

# Rows that one look goes through: some 50 ms of processor time, so that a page comes at once.
SCANNED_MAX: Final = 20_000
_FIRST: Final = 4  # times the page: ids taken at first
_GROWTH: Final = 4  # from one step to the next
_STEP_MIN: Final = 100
_STEP_MAX: Final = 5_000
_COUNTED_MAX: Final = 1_000  # of the newest rows of each of several labels, to see which is the rarest
_SAME_MS_MAX: Final = 2_000  # jobs of one millisecond that may have an execution
_HASHES_MAX: Final = 20_000  # ids of executions computed to find one

_BY_LABEL: Final = (
    "SELECT job_id FROM labels WHERE account = $1 AND key = $5 AND value = $6 AND job_id < $2 AND job_id >= $3"
    " ORDER BY job_id DESC LIMIT $4"
)
_BY_SCHEDULE: Final = (
    "SELECT job_id FROM jobs WHERE account = $1 AND schedule_id = $5 AND job_id < $2 AND job_id >= $3"
    " ORDER BY job_id DESC LIMIT $4"
)
_AMONG: Final = (
    "SELECT job_id FROM unnest($5::uuid[]) AS u (job_id) WHERE $1::text IS NOT NULL AND job_id < $2 AND job_id >= $3"
    " ORDER BY job_id DESC LIMIT $4"
)
_RARITY: Final = (
    'SELECT count(*) AS count, min(job_id::text COLLATE "C") AS oldest FROM (SELECT job_id FROM labels'
    " WHERE account = $1 AND key = $2 AND value = $3 AND job_id < $4 ORDER BY job_id DESC LIMIT $5) AS seen"
)
_WANTED: Final = f"""
SELECT j.*, {LISTED_SPEC} FROM (
    SELECT {", ".join(JOBS.columns)} FROM jobs
    WHERE job_id = ANY ($1::uuid[]) AND account = $2 AND ($3::int2[] IS NULL OR status = ANY ($3))
        AND ($4::uuid IS NULL OR schedule_id = $4)
        AND scheduled_at >= $5 AND ($6::int8 IS NULL OR scheduled_at < $6)
        AND NOT EXISTS (
            SELECT FROM unnest($7::text[], $8::text[]) AS w (key, value) WHERE NOT EXISTS (
                SELECT FROM labels l
                WHERE l.account = $2 AND l.key = w.key AND l.value = w.value AND l.job_id = jobs.job_id
            )
        )
    ORDER BY job_id DESC LIMIT $9
) j LEFT JOIN specs ON spec_id = coalesce(j.shared_spec_id, j.schedule_id, j.job_id) ORDER BY j.job_id DESC
"""  # noqa: S608 - our own names
_LIVE: Final = f"account = $1 AND status <> {ScheduleStatus.DELETED:d} AND schedule_id < $2 AND schedule_id >= $3"
# $4: the instant at which a status is asked for. The labels of a schedule stand in `more`, as JSON.
_SCHEDULES: Final = (
    f"{SCHEDULE.format(spec=LISTED_SPEC)} WHERE schedules.schedule_id IN (SELECT schedule_id FROM (SELECT * FROM schedules"  # noqa: S608
    f" WHERE {_LIVE} ORDER BY schedule_id DESC LIMIT {SCANNED_MAX}) AS near"
    " WHERE ($4::int8 IS NOT NULL) AND ($6::uuid[] IS NULL OR schedule_id = ANY ($6)) AND ($7::jsonb IS NULL OR CASE"
    " WHEN position('\"labels\":'::bytea in more) > 0 THEN convert_from(more, 'UTF8')::jsonb->'labels' @> $7 ELSE false END)"
    "{status} ORDER BY schedule_id DESC LIMIT $5) ORDER BY schedules.schedule_id DESC"
)
_SCHEDULES_REACHED: Final = (
    f"SELECT schedule_id FROM schedules WHERE {_LIVE} ORDER BY schedule_id DESC OFFSET {SCANNED_MAX - 1} LIMIT 1"  # noqa: S608
)
_OF_MS: Final = "SELECT job_id, attempt FROM jobs WHERE account = $1 AND job_id >= $2 AND job_id <= $3 LIMIT $4"


class Search:
    """Searches by account. Every method raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any, queries: AccountQueries) -> None:
        """Read through *pool*, and show what was found as *queries* do."""
        self._pool = pool
        self._queries = queries

    @answer_call
    async def search_jobs(self, account: str, wanted: JobFilter, *, limit: int, before: str | None) -> Found[JobRow]:
        """Return up to *limit* jobs with ids below *before*, newest first; the body of a large spec is left out."""
        below = _below(wanted.created_before, before)
        since = _id_at(wanted.created_after or 0)
        source = await self._source(account, wanted, below)
        step, scanned = min(max(_STEP_MIN, min(_STEP_MAX, limit * _FIRST)), SCANNED_MAX), 0
        found: list[JobRow] = []
        while True:
            query, *own = source
            ids = [row["job_id"] for row in await self._pool.fetch(query, account, below, since, step, *own)]
            scanned += len(ids)
            if ids:
                found += await self._wanted(account, wanted, ids, limit - len(found))
            if len(found) >= limit or len(ids) < step:
                return Found(found)
            below = ids[-1]
            if scanned >= SCANNED_MAX:
                return Found(found, rows.job_id_of(below))
            step = min(step * _GROWTH, _STEP_MAX, SCANNED_MAX - scanned)

    async def _source(self, account: str, wanted: JobFilter, below: UUID) -> Sequence[Any]:
        """Return the query that gives the fewest ids, and its own arguments."""
        if wanted.job_ids is not None:
            return _AMONG, rows.uuids_of(wanted.job_ids)
        if wanted.labels:
            return _BY_LABEL, *await self._rarest(account, wanted.labels, below)
        if wanted.schedule_id is not None:
            return _BY_SCHEDULE, rows.uuid_of(wanted.schedule_id)
        statuses = wanted.statuses or tuple(JobStatus)
        return _by_status(len(statuses)), *statuses

    async def _rarest(self, account: str, labels: Sequence[Label], below: UUID) -> Label:
        if len(labels) == 1:
            return labels[0]
        found = [await self._pool.fetchrow(_RARITY, account, *label, below, _COUNTED_MAX) for label in labels]
        # Of two that are more than are counted, that is the rarer one of which as many reach further back.
        _, rarest = min(((each["count"], each["oldest"] or ""), place) for place, each in enumerate(found))
        return labels[rarest]

    async def _wanted(self, account: str, wanted: JobFilter, ids: Sequence[UUID], limit: int) -> list[JobRow]:
        found = await self._pool.fetch(
            _WANTED,
            ids,
            account,
            None if wanted.statuses is None else [int(status) for status in wanted.statuses],
            None if wanted.schedule_id is None else rows.uuid_of(wanted.schedule_id),
            wanted.scheduled_after or 0,
            wanted.scheduled_before,
            [name for name, _ in wanted.labels],
            [value for _, value in wanted.labels],
            limit,
        )
        return await self._queries.job_rows(found)

    @answer_call
    async def search_schedules(
        self, account: str, wanted: ScheduleFilter, *, now: int, limit: int, before: str | None
    ) -> Found[ScheduleRow]:
        """Return up to *limit* schedules that are not deleted, newest first, as `AccountQueries.list_schedules` shows them."""
        labels = dict(wanted.labels)
        if len(labels) < len(wanted.labels):  # one name with two values
            return Found([])
        bounds = account, _below(wanted.created_before, before), _id_at(wanted.created_after or 0)
        found = await self._pool.fetch(
            _SCHEDULES.replace("{status}", WITH_STATUS[wanted.status]),
            *bounds,
            now,
            limit,
            None if wanted.schedule_ids is None else rows.uuids_of(wanted.schedule_ids),
            msgspec.json.encode(labels).decode() if labels else None,
        )
        reached = None if len(found) >= limit else await self._pool.fetchval(_SCHEDULES_REACHED, *bounds)
        shown = await self._queries.schedule_rows(found)
        return Found(shown, None if reached is None else from_int("sched", reached.int))

    @answer_call
    async def job_of_execution(self, account: str, wanted_id: str) -> str | None:
        """
        Return the job of which *wanted_id* is an execution; None if there is none.

        An execution's id is a hash behind the first half of its job's id: jobs of one millisecond and partition are tried.
        """
        first = to_int(wanted_id) >> 64 << 64
        last = UUID((first | (1 << 64) - 1).to_bytes(16, "big"))
        found = await self._pool.fetch(_OF_MS, account, UUID(first.to_bytes(16, "big")), last, _SAME_MS_MAX)
        left = _HASHES_MAX
        for row in found:
            job_id = rows.job_id_of(row["job_id"])
            tried = min(left, row["attempt"])
            left -= tried
            if any(execution_id(job_id, attempt) == wanted_id for attempt in range(1, tried + 1)):
                return job_id
        return None


@cache
def _by_status(status_count: int) -> str:
    """Return the query for ids over *status_count* statuses: a short index scan for each, merged."""
    scans = " UNION ALL ".join(
        f"(SELECT job_id FROM jobs WHERE account = $1 AND status = ${5 + index}::int2"  # noqa: S608 - our own names
        " AND job_id < $2 AND job_id >= $3 ORDER BY job_id DESC LIMIT $4)"
        for index in range(status_count)
    )
    return f"SELECT job_id FROM ({scans}) merged ORDER BY job_id DESC LIMIT $4"  # noqa: S608


def _id_at(ms: int) -> UUID:
    """Return the lowest id of the instant *ms*."""
    return UUID((min(max(ms, 0), (1 << 48) - 1) << 80).to_bytes(16, "big"))


def _below(created_before: int | None, before: str | None) -> UUID:
    """Return the id that all wanted ones are below."""
    bounds = [rows.MAX_ID]
    if created_before is not None:
        bounds.append(_id_at(created_before))
    if before is not None:
        bounds.append(rows.uuid_of(before))
    return min(bounds)
