"""
Fan-out tables: what webhook endpoints are told of a job or a schedule that the owner's decisions do not say, and how far each
partition is done.

The positions are in the table `fan_out` only. One that is lost, or older, costs a second reading of the log, and nothing else.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from libs.domain.endpoints.webhook_event import Attempt
from libs.domain.jobs.state import NO_LABELS
from libs.events import Claim, Response
from libs.events.ids import from_int
from libs.store.errors import store_call
from libs.store.projection import rows
from libs.store.projection.job_rows import JOBS
from libs.store.reads.partition_tables import NOTHING_FOLDED, TablePosition, consistent, progress_of, states_of

JobAttempt = tuple[str, int]  # the id of a job, and the number of one of its attempts; 0 for none

_ATTEMPTS: Final = (
    "SELECT executions.job_id, executions.attempt, ok, status_code, error, duration_ms, executed_at FROM executions"
    " JOIN unnest($1::uuid[], $2::int4[]) AS wanted (job_id, attempt)"
    " ON executions.job_id = wanted.job_id AND executions.attempt = wanted.attempt WHERE ok IS NOT NULL"
)
_RESPONSES: Final = (
    "SELECT responses.job_id, responses.attempt, key, data FROM responses"
    " JOIN unnest($1::uuid[], $2::int4[]) AS wanted (job_id, attempt)"
    " ON responses.job_id = wanted.job_id AND responses.attempt = wanted.attempt"
)
# The URL alone: a spec may have a large body.
_URLS: Final = (
    "SELECT spec_id, coalesce(whole->>'url', whole->'sealed'->>'url') AS url"
    " FROM (SELECT spec_id, convert_from(spec, 'UTF8')::json AS whole FROM specs WHERE spec_id = ANY ($1::uuid[])) AS specs"
)

_SAVE: Final = (
    "INSERT INTO fan_out (part, position, claim_epoch, claim_nonce) VALUES ($1, $2, $3, $4) ON CONFLICT (part) DO UPDATE"
    " SET position = $2, claim_epoch = $3, claim_nonce = $4 WHERE fan_out.position < $2"
)


class ToldJob(NamedTuple):
    """A job; *url* if it was asked for, *attempt* if that attempt has ended, *response* if one is kept of it, still sealed."""

    account: str
    schedule_id: str | None
    url: str | None
    attempt: Attempt | None
    labels: Mapping[str, str] = NO_LABELS
    response: Response | None = None


class ToldSchedule(NamedTuple):
    """A schedule; *changed_at* is the position of the last record that changed it."""

    account: str
    changed_at: int
    labels: Mapping[str, str] = NO_LABELS


class _Labelled(msgspec.Struct, gc=False):
    """What is read of the column `more` of a schedule."""

    labels: dict[str, str] | None = None


_decode_labels: Final = msgspec.json.Decoder(_Labelled).decode


class ToldJobs:
    """Reads by partition. Every method raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Read through *pool*."""
        self._pool = pool

    @store_call
    async def jobs_of(
        self, partition: int, wanted: Sequence[JobAttempt], *, with_urls: bool, answers: Sequence[JobAttempt] = ()
    ) -> tuple[int, dict[JobAttempt, ToldJob]]:
        """
        Return the jobs of *partition* that exist, each with the attempt that is asked for, and the position as of which.

        What was kept of answers is read of those in *answers*. The tables may have gone back since somebody last asked for their
        position.
        """
        ids = rows.uuids_of(dict.fromkeys(job_id for job_id, _ in wanted))
        async with consistent(self._pool) as connection:
            position, _ = await progress_of(connection, partition)
            found = await connection.fetch(
                f"{JOBS.select} WHERE job_id = ANY ($1::uuid[]) AND part = $2", ids, partition
            )
            jobs = {job.job_id: job for job in await states_of(JOBS, found)}
            attempts = await _attempts(connection, [each for each in wanted if each[1]])
            urls = await _urls(connection, {job.spec_id for job in jobs.values()}) if with_urls else {}
            responses = await _responses(connection, [each for each in answers if each[1]])
        return position, {
            (job.job_id, number): ToldJob(
                job.account,
                job.schedule_id,
                urls.get(job.spec_id),
                attempts.get((job.job_id, number)),
                job.labels,
                responses.get((job.job_id, number)),
            )
            for job_id, number in wanted
            if (job := jobs.get(job_id)) is not None
        }

    @store_call
    async def schedules_of(self, partition: int, ids: Collection[str]) -> tuple[int, dict[str, ToldSchedule]]:
        """Return those of the schedules of *partition* that exist, and the position as of which; see `jobs_of`."""
        async with consistent(self._pool) as connection:
            position, _ = await progress_of(connection, partition)
            found = await connection.fetch(
                "SELECT schedule_id, account, changed_at, more FROM schedules WHERE schedule_id = ANY ($1::uuid[]) AND part = $2",
                rows.uuids_of(ids),
                partition,
            )
        return position, {
            from_int("sched", row["schedule_id"].int): ToldSchedule(
                row["account"], row["changed_at"], _labels(row["more"])
            )
            for row in found
        }


def _labels(more: bytes | None) -> Mapping[str, str]:
    return (None if more is None else _decode_labels(more).labels) or NO_LABELS


async def _attempts(connection: Any, wanted: Sequence[JobAttempt]) -> dict[JobAttempt, Attempt]:
    if not wanted:
        return {}
    ids = rows.uuids_of(job_id for job_id, _ in wanted)
    attempts: dict[JobAttempt, Attempt] = {}
    for row in await connection.fetch(_ATTEMPTS, ids, [number for _, number in wanted]):
        job_id = rows.job_id_of(row["job_id"])
        attempts[job_id, row["attempt"]] = Attempt(job_id, *list(row.values())[1:])
    return attempts


async def _responses(connection: Any, wanted: Sequence[JobAttempt]) -> dict[JobAttempt, Response]:
    if not wanted:
        return {}
    ids = rows.uuids_of(job_id for job_id, _ in wanted)
    found = await connection.fetch(_RESPONSES, ids, [number for _, number in wanted])
    return {
        (rows.job_id_of(row["job_id"]), row["attempt"]): Response(data=row["data"], key=row["key"]) for row in found
    }


async def _urls(connection: Any, spec_ids: set[str]) -> dict[str, str]:
    by_key = {rows.uuid_of(spec_id): spec_id for spec_id in spec_ids}
    return {by_key[row["spec_id"]]: row["url"] for row in await connection.fetch(_URLS, list(by_key))}


class FanOutPositions:
    """The positions. Every method raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Use *pool*."""
        self._pool = pool

    @store_call
    async def progress(self, partition: int) -> TablePosition:
        """Return the position of the tables, and the claim admitted there."""
        return await progress_of(self._pool, partition)

    @store_call
    async def fanned_out(self, partition: int) -> TablePosition:
        """Return the position that was saved last, and the claim admitted there; -1 and None if there is none."""
        query = "SELECT position, claim_epoch, claim_nonce FROM fan_out WHERE part = $1"
        row = await self._pool.fetchrow(query, partition)
        return NOTHING_FOLDED if row is None else (row["position"], rows.claim_of(row))

    @store_call
    async def save_fan_out(self, partition: int, position: int, claim: Claim | None) -> None:
        """Save a position; one that is not behind what is saved already changes nothing."""
        await self._pool.execute(_SAVE, partition, position, *rows.claim_columns(claim))
