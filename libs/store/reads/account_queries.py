"""
AccountQueries: what the API shows, always of one account, as of the tables' position.

Lists go from the newest id down. An id begins with the instant at which it was made, so rows that arrive while a caller turns
pages stand above the first page: the pages below neither shift nor repeat a row.
"""

from collections.abc import Collection, Sequence
from datetime import date
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from libs.domain.job import WAITING, JobState, JobStatus
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.events import Spec
from libs.sealing.keyring import NO_SEALING, Keyring, Stored
from libs.store.errors import answer_call
from libs.store.projection import rows
from libs.store.projection.changes import ExecutionRow
from libs.store.projection.job_rows import JOBS
from libs.store.projection.schedule_rows import SCHEDULES
from libs.store.projection.state_table import one_of
from libs.store.reads.bodiless_spec import BODILESS_SPEC

_JOB: Final = (
    f"SELECT {JOBS.listed}, spec FROM jobs LEFT JOIN specs ON spec_id = coalesce(shared_spec_id, schedule_id, job_id)"  # noqa: S608
)
SCHEDULE: Final = (
    f"SELECT {SCHEDULES.listed}, {{spec}} FROM schedules"  # noqa: S608
    " LEFT JOIN specs ON spec_id = coalesce(changed_spec_id, schedule_id)"
)

# Whether a schedule is paused at $4: by its status, or until an instant, which stands in `more` (JSON).
_PAUSED: Final = (
    f"(status = {ScheduleStatus.PAUSED:d} OR"
    " coalesce((convert_from(more, 'UTF8')::json->>'paused_until')::int8 > $4, false))"
)
WITH_STATUS: Final = {
    None: "",
    "paused": f" AND {_PAUSED}",
    "active": f" AND NOT {_PAUSED} AND next_run_at IS NOT NULL",
    "finished": f" AND NOT {_PAUSED} AND next_run_at IS NULL",
}

LISTED_SPEC: Final = f"{BODILESS_SPEC} AS spec"

_CHARGED: Final = """
SELECT coalesce(sum(greatest(granted, executions)), 0)::int8
FROM (SELECT part, granted FROM daily_grants WHERE account = $1 AND day = $2) AS g
FULL JOIN (SELECT part, executions FROM usage_daily WHERE account = $1 AND day = $2) AS u USING (part)
"""

_WAITING: Final = one_of("status", WAITING)
_WAITING_JOBS: Final = f"SELECT count(*) FROM (SELECT FROM jobs WHERE account = $1 AND {_WAITING} LIMIT $2) AS waiting"  # noqa: S608
_WAITING_BYTES: Final = (
    "SELECT coalesce(sum(octet_length(spec)), 0)::int8 FROM specs WHERE spec_id IN"  # noqa: S608 - our own names
    f" (SELECT coalesce(shared_spec_id, schedule_id, job_id) FROM jobs WHERE account = $1 AND {_WAITING})"
)

_decode_spec = msgspec.json.Decoder(Spec).decode


class JobRow(NamedTuple):
    """A job and what it calls."""

    job: JobState
    spec: Spec


class WaitingUse(NamedTuple):
    """Jobs that wait, and the bytes that they will send, as stored; a spec that several of them share counts once."""

    jobs: int
    stored_bytes: int


class ScheduleRow(NamedTuple):
    """A schedule and what its jobs call."""

    schedule: ScheduleState
    spec: Spec


class AccountQueries:
    """Reads by account. Every method raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any, keyring: Keyring = NO_SEALING) -> None:
        """Read through *pool*, and open what *keyring* can open."""
        self._pool = pool
        self._keyring = keyring

    @answer_call
    async def get_job(self, account: str, job_id: str) -> JobRow | None:
        """Return a job of *account*; None if there is none, or if it belongs to another account."""
        row = await self._pool.fetchrow(
            f"{_JOB} WHERE jobs.job_id = $1 AND jobs.account = $2", rows.uuid_of(job_id), account
        )
        return None if row is None else (await self.job_rows([row]))[0]

    @answer_call
    async def existing_jobs(self, account: str, job_ids: Collection[str]) -> set[str]:
        """Return those of *job_ids* that are jobs of *account*."""
        query = "SELECT job_id FROM jobs WHERE job_id = ANY ($1::uuid[]) AND account = $2"
        return {rows.job_id_of(row["job_id"]) for row in await self._pool.fetch(query, rows.uuids_of(job_ids), account)}

    @answer_call
    async def forgotten_before(self, partition: int) -> int:
        """Return the instant before which a new id would count for nothing (libs/domain/history); 0 if nothing is forgotten."""
        query = "SELECT greatest(success_before, failed_before) FROM history WHERE part = $1"
        return await self._pool.fetchval(query, partition) or 0

    @answer_call
    async def job_status(self, job_id: str) -> JobStatus | None:
        """Return the status of a job of any account; None if there is no such job."""
        status = await self._pool.fetchval("SELECT status FROM jobs WHERE job_id = $1", rows.uuid_of(job_id))
        return None if status is None else JobStatus(status)

    @answer_call
    async def list_jobs(
        self,
        account: str,
        *,
        statuses: Collection[JobStatus] | None = None,
        schedule_id: str | None = None,
        limit: int,
        before: str | None = None,
    ) -> list[JobRow]:
        """
        Return up to *limit* jobs with ids below *before*, newest first; the body of a large spec is left out.

        Args:
            statuses: only jobs in one of these; None: in any.
            schedule_id: only jobs that this schedule spawned; None: all jobs.
        """
        below = rows.MAX_ID if before is None else rows.uuid_of(before)
        wanted = list(statuses or JobStatus)
        if schedule_id is None:
            found = await self._pool.fetch(_list_of(len(wanted)), account, below, limit, *wanted)
        else:
            query = _list_of(len(wanted), of_schedule=True)
            found = await self._pool.fetch(query, account, below, limit, *wanted, rows.uuid_of(schedule_id))
        return await self.job_rows(found)

    @answer_call
    async def executions(self, account: str, job_id: str) -> list[ExecutionRow]:
        """Return the attempts of a job of *account*, oldest first."""
        found = await self._pool.fetch(
            "SELECT e.* FROM executions e JOIN jobs j USING (job_id)"
            " WHERE e.job_id = $1 AND j.account = $2 ORDER BY e.attempt",
            rows.uuid_of(job_id),
            account,
        )
        return [rows.execution_of(row) for row in found]

    @answer_call
    async def get_schedule(self, account: str, schedule_id: str) -> ScheduleRow | None:
        """Return a schedule of *account*, even a deleted one; None if there is none, or if it belongs to another account."""
        row = await self._pool.fetchrow(
            f"{SCHEDULE.format(spec='spec')} WHERE schedules.schedule_id = $1 AND schedules.account = $2",
            rows.uuid_of(schedule_id),
            account,
        )
        return None if row is None else (await self.schedule_rows([row]))[0]

    @answer_call
    async def list_schedules(
        self, account: str, *, status: str | None = None, now: int = 0, limit: int, before: str | None = None
    ) -> list[ScheduleRow]:
        """
        Return up to *limit* schedules that are not deleted, newest first, without the body of a large spec.

        Args:
            status: only those that are `active`, `paused` or `finished` at *now*; None: all. The account's schedules are gone
                through until enough are found.
        """
        found = await self._pool.fetch(
            f"{SCHEDULE.format(spec=LISTED_SPEC)} WHERE account = $1 AND status <> {ScheduleStatus.DELETED:d}"
            f" AND schedule_id < $2{WITH_STATUS[status]} ORDER BY schedule_id DESC LIMIT $3",
            account,
            rows.MAX_ID if before is None else rows.uuid_of(before),
            limit,
            *([] if status is None else [now]),
        )
        return await self.schedule_rows(found)

    @answer_call
    async def usage(self, account: str, day: date) -> int:
        """Return how many attempts of *account* became due on *day* (UTC)."""
        count: int = await self._pool.fetchval(
            "SELECT coalesce(sum(executions), 0)::int8 FROM usage_daily WHERE account = $1 AND day = $2", account, day
        )
        return count

    @answer_call
    async def charged(self, account: str, day: date) -> int:
        """Return how many executions of *account* on *day* (UTC) count against its limit: due, or granted to an owner."""
        count: int = await self._pool.fetchval(_CHARGED, account, day)
        return count

    @answer_call
    async def waiting_use(self, account: str, *, jobs_max: int | None, with_bytes: bool) -> WaitingUse:
        """
        Count what *account* has waiting.

        Args:
            jobs_max: count no further than this; None: do not count jobs.
            with_bytes: count bytes, which costs a look-up for each job.
        """
        jobs = 0 if jobs_max is None else await self._pool.fetchval(_WAITING_JOBS, account, jobs_max)
        stored_bytes = await self._pool.fetchval(_WAITING_BYTES, account) if with_bytes else 0
        return WaitingUse(jobs, stored_bytes)

    async def job_rows(self, found: Sequence[Any]) -> list[JobRow]:
        """Return the jobs in rows that begin with the columns of `jobs` and have a `spec`, opened."""
        states = [JOBS.state_of(row) for row in found]
        return [JobRow(*each) for each in zip(states, await self._specs(states, found), strict=True)]

    async def schedule_rows(self, found: Sequence[Any]) -> list[ScheduleRow]:
        """Return the same of schedules."""
        states = [SCHEDULES.state_of(row) for row in found]
        return [ScheduleRow(*each) for each in zip(states, await self._specs(states, found), strict=True)]

    async def _specs(self, states: Sequence[JobState | ScheduleState], found: Sequence[Any]) -> list[Spec]:
        """Return the specs of *states*, which stand in *found*, opened."""
        return await self._keyring.shown(
            [
                Stored(_decode_spec(row["spec"]), state.account, state.spec_id)
                for state, row in zip(states, found, strict=True)
            ]
        )


@cache
def _list_of(status_count: int, *, of_schedule: bool = False) -> str:
    """Return the query for a list over *status_count* statuses: a short index scan for each, merged, then the specs."""
    only = f" AND schedule_id = ${4 + status_count}" if of_schedule else ""
    names = ", ".join(JOBS.columns)
    scans = " UNION ALL ".join(
        f"(SELECT {names} FROM jobs WHERE account = $1{only} AND status = ${4 + index}::int2"  # noqa: S608
        " AND job_id < $2 ORDER BY job_id DESC LIMIT $3)"
        for index in range(status_count)
    )
    return (
        f"SELECT j.*, {LISTED_SPEC} FROM (SELECT * FROM ({scans}) merged ORDER BY job_id DESC LIMIT $3) j"  # noqa: S608
        " LEFT JOIN specs ON spec_id = coalesce(j.shared_spec_id, j.schedule_id, j.job_id) ORDER BY j.job_id DESC"
    )
