"""Jobs: reading, listing and cancelling them, their executions and their timeline."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Final, cast

import structlog
from aiohttp.web import BaseRequest

from libs.domain.job import TERMINAL, JobState, JobStatus
from libs.events import JobCancelRequested, JobStopRequested, Spec, encode, read
from libs.events.ids import is_id, partition_of
from libs.log.port import LogError, LogUnavailable
from libs.runtime.crashpoint import crash_at
from libs.store.reads.account_queries import JobRow
from libs.store.reads.filters import Found
from services.api.contract import job_answers, requests
from services.api.contract.api_error import ApiError, not_found, outcome_unknown
from services.api.contract.fields.list_filters import listing_of
from services.api.handlers.context import CHANGE_S, Context
from services.api.handlers.jobs.timeline import records_at
from services.api.handlers.listing import page
from services.api.handlers.searching import jobs_asked_for
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply, no_content
from services.api.http.request_body import read_json
from services.api.state.consistency import FRESH, STALE

HAS_FIRED: Final = frozenset(JobStatus) - {JobStatus.SCHEDULED}  # or never will
CANCEL_S: Final = 3.0  # bound on the owner's decision; it usually takes some 10 ms
_STEP_S: Final = 0.1  # the row is read this often even if no progress is seen

_log = structlog.get_logger("api")


async def find_current(context: Context, account: str, job_id: str) -> tuple[JobState, Spec, bool]:
    """
    Return the account's job, and whether it is as new as the log; False if the log could not be asked.

    Raises 404, and 503 if the tables are too far behind.
    """
    if not is_id(job_id, "job"):
        raise not_found("job")
    found = await context.read_index.current(
        partition_of(job_id), lambda: context.queries.get_job(account, job_id), lambda row: row[0].is_terminal
    )
    if found.row is None:
        raise not_found("job")
    state, spec = found.row
    return state, spec, found.is_fresh


class Jobs:
    """The handlers for jobs that exist."""

    def __init__(self, context: Context, *, cancel_s: float = CANCEL_S) -> None:
        self._c = context
        self._cancel_s = cancel_s

    async def get(self, _: BaseRequest, identity: Identity, job_id: str) -> Reply:
        """GET /v1/jobs/{job_id}; if the tables cannot be made current, the job as they have it."""
        account = identity.account
        is_fresh = False
        try:
            state, spec, is_fresh = await find_current(self._c, account, job_id)
        except (ApiError, LogError, TimeoutError) as error:
            # Reads go on while the fold is behind or the log is away. If no row is found, raise the original error, not 404:
            # the job may exist in the log.
            is_missing = isinstance(error, ApiError) and error.status == 404
            row = None if is_missing else await self._c.queries.get_job(account, job_id)
            if row is None:
                raise
            state, spec = row
        shown = job_answers.job(
            state,
            spec,
            self._c.clock.now(),
            with_payload="read:payloads" in identity.scopes,
            waits_until=await self._c.limits.waits_until(state),
        )
        return json_reply(200, shown, {"ETag": job_answers.entity_tag(state), **(FRESH if is_fresh else STALE)})

    async def list(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """GET /v1/jobs."""
        return await self._list(request, identity.account, None)

    async def list_of_schedule(self, request: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """GET /v1/schedules/{schedule_id}/jobs."""
        if not is_id(schedule_id, "sched"):
            raise not_found("schedule")
        account = identity.account
        found = await self._c.read_index.find(
            partition_of(schedule_id), lambda: self._c.queries.get_schedule(account, schedule_id)
        )
        if found is None:
            raise not_found("schedule")
        return await self._list(request, account, schedule_id)

    async def cancel(self, _: BaseRequest, identity: Identity, job_id: str) -> Reply:
        """DELETE /v1/jobs/{job_id}: 204 means that it never fires, 409 that its first attempt was admitted."""
        ends_at = asyncio.get_running_loop().time() + CHANGE_S
        state = (await self._find(identity.account, job_id))[0]
        status: JobStatus = state.status
        if status == JobStatus.SCHEDULED:
            partition = partition_of(job_id)
            envelope = encode(JobCancelRequested(job_id=job_id, at=self._c.clock.now()))
            crash_at("api.before_cancel_append")
            position = await self._c.append_change(identity.account, partition, envelope, what="the cancellation")
            crash_at("api.after_cancel_append")
            status = await self._decided(job_id, partition, position, ends_at, HAS_FIRED, what="cancellation")
            crash_at("api.after_cancel_decision")
        if status == JobStatus.CANCELLED:
            return no_content()
        if status == JobStatus.FAILED and not (await self._find(identity.account, job_id))[0].attempt:
            raise ApiError(409, "job_expired", "the job expired before its first attempt")
        raise ApiError(409, "job_already_fired", "the job's first attempt is under way or done")

    async def stop(self, request: BaseRequest, identity: Identity, job_id: str) -> Reply:
        """POST /v1/jobs/{job_id}/stop: the job at its end; one that had ended already stays as it is."""
        requests.empty_request(await read_json(request, is_optional=True))
        ends_at = asyncio.get_running_loop().time() + CHANGE_S
        account = identity.account
        state = (await self._find(account, job_id))[0]
        if not state.is_terminal:
            partition = partition_of(job_id)
            envelope = encode(JobStopRequested(job_id=job_id, at=self._c.clock.now()))
            position = await self._c.append_change(account, partition, envelope, what="the stop")
            await self._decided(job_id, partition, position, ends_at, TERMINAL, what="stop")
        state, spec, _ = await self._find(account, job_id)
        shown = job_answers.job(state, spec, self._c.clock.now(), with_payload="write:payloads" in identity.scopes)
        return json_reply(200, shown)

    async def executions(self, _: BaseRequest, identity: Identity, job_id: str) -> Reply:
        """GET /v1/jobs/{job_id}/executions."""
        async with self._c.lists.turn(identity.account):
            _state, _spec, is_fresh = await self._find(identity.account, job_id, fresh=True)
            rows = await self._c.queries.executions(identity.account, job_id)
            shown = job_answers.executions(job_id, rows)
        return json_reply(200, {"executions": shown}, FRESH if is_fresh else STALE)

    async def events(self, request: BaseRequest, identity: Identity, job_id: str) -> Reply:
        """GET /v1/jobs/{job_id}/events: the job's own records, read back from the log."""
        async with self._c.lists.turn(identity.account), asyncio.timeout(CHANGE_S):
            return await self._events(request, identity.account, job_id)

    async def _events(self, request: BaseRequest, account: str, job_id: str) -> Reply:
        state, _spec, is_fresh = await self._find(account, job_id, fresh=True)
        if not is_fresh:
            raise LogUnavailable("the log does not say where it ends")
        partition = partition_of(job_id)
        begin = await self._c.log.begin(partition)
        numbers = {position: number for number, position in enumerate(state.offsets) if position >= begin}
        records = await records_at(self._c.log, partition, numbers)
        rows = await self._c.queries.executions(account, job_id) if len(numbers) < len(state.offsets) else None
        await cast(Any, request.protocol).pause()
        events = [
            job_answers.timeline_entry(
                read(partition, record.envelope),
                partition=partition,
                position=numbers[record.position],
                at=record.at,
            )
            for record in records
        ]
        # Of the records that were trimmed the tables know what came of them.
        return json_reply(200, {"events": events} | ({} if rows is None else job_answers.trimmed(state, rows)))

    async def _find(self, account: str, job_id: str, *, fresh: bool = False) -> tuple[JobState, Spec, bool]:
        """
        Return the account's job, and whether the tables are as new as the log. Raises 404.

        *fresh* waits for the tables even if the row is there.
        """
        if not is_id(job_id, "job"):
            raise not_found("job")
        partition, is_fresh = partition_of(job_id), True
        if fresh:
            is_fresh = await self._c.read_index.partition(partition)
            row = await self._c.queries.get_job(account, job_id)
            if row is None and not is_fresh:
                raise LogUnavailable("the log does not say where it ends")
        else:
            row = await self._c.read_index.find(partition, lambda: self._c.queries.get_job(account, job_id))
        if row is None:
            raise not_found("job")
        state, spec = row
        return state, spec, is_fresh

    async def _list(self, request: BaseRequest, account: str, schedule_id: str | None) -> Reply:
        wanted = await jobs_asked_for(self._c, account, request.query, schedule_id)

        async def query(limit: int, before: str | None) -> Found[JobRow]:
            if not wanted.is_plain:
                return await self._c.search.search_jobs(account, wanted, limit=limit, before=before)
            rows = await self._c.queries.list_jobs(
                account, statuses=wanted.statuses, schedule_id=wanted.schedule_id, limit=limit, before=before
            )
            return Found(rows)

        first = f"jobs {schedule_id or ''} {request.query.get('status', '')}"
        return await page(
            self._c,
            request,
            account,
            kind="job",
            listing=listing_of(request.query, first, "status"),
            name="jobs",
            query=query,
            shown=lambda state, spec: job_answers.job_item(state, spec, self._c.clock.now()),
        )

    async def _decided(
        self,
        job_id: str,
        partition: int,
        position: int,
        ends_at: float,
        answers: Collection[JobStatus],
        *,
        what: str,
    ) -> JobStatus:
        """
        Return the job's status once it is one of *answers*, by *ends_at* of the loop's clock.

        The owner's decision about *what* follows the request, which stands at *position*, in the log. So the row is read again
        whenever the tables have advanced.
        """
        progress = self._c.progress
        try:
            async with asyncio.timeout_at(min(ends_at, asyncio.get_running_loop().time() + self._cancel_s)):
                await progress.wait(partition, position, self._cancel_s)
                while True:
                    seen = progress.known(partition)
                    status = await self._c.queries.job_status(job_id)
                    # If the row is missing for a moment (the database crashed, the owner folds again), nothing is decided yet.
                    if status is not None and status in answers:
                        return status
                    await progress.wait(partition, max(seen, position) + 1, _STEP_S)
        except TimeoutError:
            _log.warning("cancel_undecided", partition=partition)
            raise outcome_unknown(f"the {what} stands but is not decided yet; repeat the request") from None
