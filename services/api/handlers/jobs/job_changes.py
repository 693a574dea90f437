"""
Job changes: another body, another instant, a call now, for a job that waits for its first attempt.

A change is a request to the partition's owner, as a cancel is: the owner decides about changes and due events in one order. So
200 means that the target sees the change, and 409 that it was called as before. The request says on which version of the job it
was made. If the job is at another one when the owner decides, the change is made anew on that, unless the caller named a version.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp.web import BaseRequest

from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.optional_state import JobMore
from libs.events import JobChangeRequested
from libs.events.ids import partition_of
from services.api.contract import job_answers, requests
from services.api.contract.api_error import ApiError
from services.api.contract.field import Rules
from services.api.contract.fields import job_patch
from services.api.contract.requests import JobRequest
from services.api.contract.schedules.patch import wanted_version
from services.api.handlers.context import CHANGE_S, Context
from services.api.handlers.jobs.deciding import Row, decided
from services.api.handlers.jobs.jobs import find_current
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply
from services.api.http.request_body import read_json

TRIES_MAX: Final = 3  # if others change the job at the same time


class JobChanges:
    """The handlers that change jobs that wait."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def patch(self, request: BaseRequest, identity: Identity, job_id: str) -> Reply:
        """PATCH /v1/jobs/{job_id}."""
        patch = await read_json(request)

        def wanted(row: Row, now: int) -> JobRequest:
            asked = requests.job_request(job_patch.patched(*row, patch), Rules(self._c.check_url))
            if job_patch.moves(patch):
                requests.check_schedulable(asked, now)
            return requests.resolved(asked, now)

        return await self._change(request, identity, job_id, wanted)

    async def run(self, request: BaseRequest, identity: Identity, job_id: str) -> Reply:
        """POST /v1/jobs/{job_id}/run: the job as it is, at once."""
        requests.empty_request(await read_json(request, is_optional=True))

        def wanted(row: Row, now: int) -> JobRequest:
            more = row.state.more or JobMore()
            return JobRequest(
                row.spec,
                now,
                row.state.max_retries,
                None,
                retry=more.retry,
                success_on=more.success_on,
                expires_at=more.expires_at,
            )

        return await self._change(request, identity, job_id, wanted)

    async def _change(
        self, request: BaseRequest, identity: Identity, job_id: str, wanted: Callable[[Row, int], JobRequest]
    ) -> Reply:
        ends_at = asyncio.get_running_loop().time() + CHANGE_S
        version = wanted_version(request.headers.get("If-Match"))
        async with self._c.changes.turn(identity.account):
            for _ in range(TRIES_MAX):
                row = Row(*(await find_current(self._c, identity.account, job_id))[:2])
                if version is not None and row.state.version != version:
                    break
                if row.state.status != JobStatus.SCHEDULED:
                    raise not_waiting(row.state)
                now = self._c.clock.now()
                event = self._event(row, wanted(row, now), now)
                changed = await self._decided_within_limits(identity.account, row, event, ends_at)
                if changed is not None:
                    return self._answer(changed, identity)
        raise version_conflict(row.state.version)

    def _event(self, row: Row, job: JobRequest, now: int) -> JobChangeRequested:
        state = row.state
        spec = msgspec.structs.replace(job.spec, traceparent=row.spec.traceparent)
        is_new = spec != row.spec
        return JobChangeRequested(
            job_id=state.job_id,
            at=now,
            request_id=self._c.mint.secret(8).hex(),
            version=state.version,
            fire_at=job.fire_at,
            max_retries=job.max_retries,
            retry=job.retry,
            success_on=job.success_on,
            expires_at=job.expires_at,
            spec=spec if is_new else None,
            new_spec_id=self._c.mint.job_id(now, partition_of(state.job_id)) if is_new else None,
        )

    async def _decided_within_limits(
        self, account: str, row: Row, event: JobChangeRequested, ends_at: float
    ) -> Row | None:
        """Change the job as `_decided` does, if the account has room for what it sends then; else raise 429."""
        if event.spec is None:
            return await self._decided(account, event, ends_at)
        room = await self._c.use.room(account)
        try:
            room.grow(row.spec, event.spec)
            return await self._decided(account, event, ends_at)
        finally:
            room.done()

    async def _decided(self, account: str, event: JobChangeRequested, ends_at: float) -> Row | None:
        """
        Append *event* and return the job that it made; None if the job was at another version.

        Raises:
            ApiError: 409 if the job does not wait any more, 503 if the decision was not seen in time.
        """
        envelope = self._c.sealed(event, account)
        position = await self._c.append_change(account, partition_of(event.job_id), envelope, what="the change")

        def look(row: Row) -> tuple[Row | None] | None:
            more = row.state.more or JobMore()
            if event.request_id in more.changed_ids:
                return (row,)
            if event.request_id in more.refused_ids:
                return (None,)
            if row.state.status != JobStatus.SCHEDULED:
                raise not_waiting(row.state)
            return None

        return (await decided(self._c, account, event.job_id, position, ends_at, look, what="the change"))[0]

    def _answer(self, row: Row, identity: Identity) -> Reply:
        with_payload = "write:payloads" in identity.scopes
        shown: dict[str, Any] = job_answers.job(*row, self._c.clock.now(), with_payload=with_payload)
        return json_reply(200, shown, {"ETag": job_answers.entity_tag(row.state)})


def not_waiting(state: JobState) -> ApiError:
    """Return the 409 for a job that does not wait for its first attempt."""
    if state.attempt:
        return ApiError(409, "job_already_fired", "the job's first attempt is under way or done")
    return ApiError(409, "job_not_waiting", "the job ended before its first attempt")


def version_conflict(version: int) -> ApiError:
    """Return the 412 for a job that is at another *version* than was asked for, or that others keep changing."""
    message = f"the job is at version {version}: read it again, and repeat your change on it"
    return ApiError(412, "version_conflict", message)
