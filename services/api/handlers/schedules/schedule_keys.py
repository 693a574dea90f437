"""
Schedule keys: schedules under a name of the caller's own, which a deployment declares again and again.

The key stands in a table of its own, written before the fact, so that of callers at the same time one makes the schedule and all
others find it. The fact carries the key, so the row can be found again in the log. A process may die between the two: then the
key names a schedule that is not there, and the next caller makes it, under the same id.
"""

from __future__ import annotations

from typing import Final

from aiohttp.web import BaseRequest

from libs.domain.schedule import ScheduleStatus
from libs.domain.schedule import create as first_state
from libs.runtime.crashpoint import crash_at
from services.api.contract.api_error import ApiError, not_found, refuse
from services.api.contract.query import flag_of
from services.api.contract.schedules.fields import check_schedule_key
from services.api.contract.schedules.patch import must_be_new, version_conflict, wanted_version
from services.api.contract.schedules.requests import ScheduleRequest, schedule_request
from services.api.handlers.context import Context
from services.api.handlers.schedules.schedule_changes import TRIES_MAX, ScheduleChanges
from services.api.handlers.schedules.schedule_creation import created_event
from services.api.handlers.schedules.schedule_rows import Row, ScheduleRows
from services.api.http.auth import Identity
from services.api.http.reply import Reply
from services.api.http.request_body import read_json
from services.api.http.trace import traceparent_of

KIND: Final = "schedule"


class ScheduleKeys:
    """The handlers for schedules by their keys."""

    def __init__(self, context: Context, rows: ScheduleRows, changes: ScheduleChanges) -> None:
        self._c = context
        self._rows = rows
        self._changes = changes

    async def get(self, _: BaseRequest, identity: Identity, key: str) -> Reply:
        """GET /v1/schedules/by-key/{key}."""
        schedule_id = await self._c.names.name_holder(identity.account, KIND, check_schedule_key(key), "sched")
        if schedule_id is None:
            raise not_found("schedule")
        row = await self._rows.find(identity.account, schedule_id, fresh=True)
        return await self._rows.answer(row, with_payload="read:payloads" in identity.scopes)

    async def put(self, request: BaseRequest, identity: Identity, key: str) -> Reply:
        """PUT /v1/schedules/by-key/{key}: make or replace."""
        account, name = identity.account, check_schedule_key(key)
        data = await read_json(request)
        if_match = request.headers.get("If-Match")
        version, is_new_only = wanted_version(if_match), must_be_new(if_match, request.headers.get("If-None-Match"))
        traceparent = traceparent_of(request)
        with_payload = "write:payloads" in identity.scopes
        wanted = schedule_request(data, self._c.check_url, self._c.clock.now(), self._c.zones, traceparent=traceparent)
        if wanted.key not in (None, name):
            refuse("invalid_key", "the key in the body is not the one in the path: leave it out")
        async with self._c.changes.turn(account):
            if flag_of(request.query, "dry_run"):
                return await self._foretold(
                    account, name, wanted, version, is_new_only=is_new_only, with_payload=with_payload
                )
            for _ in range(TRIES_MAX):
                row, is_new = await self._find_or_create(account, name, wanted, must_exist=if_match is not None)
                if is_new:
                    return await self._answer(row, with_payload, 201, "created")
                if is_new_only:
                    raise ApiError(412, "version_conflict", f"the key is that of {row.state.schedule_id} already")
                if version is not None and row.state.version != version:
                    raise version_conflict(row.state.version)
                changed = await self._changes.replace(row, wanted)
                if changed is not None:
                    said = "unchanged" if changed is row else "updated"
                    return await self._answer(changed, with_payload, 200, said)
            raise version_conflict(row.state.version)

    async def _foretold(
        self,
        account: str,
        name: str,
        wanted: ScheduleRequest,
        version: int | None,
        *,
        is_new_only: bool,
        with_payload: bool,
    ) -> Reply:
        """Return the schedule of the key as it is, and say what would become of it; 404 if it would be made."""
        held_id = await self._c.names.name_holder(account, KIND, name, "sched")
        row = None if held_id is None else await self._rows.look(account, held_id, fresh=True)
        if row is None or row.state.status == ScheduleStatus.DELETED:
            raise not_found("schedule")
        if is_new_only:
            raise ApiError(412, "version_conflict", f"the key is that of {row.state.schedule_id} already")
        if version is not None and row.state.version != version:
            raise version_conflict(row.state.version)
        would_change = self._changes.would_change(row, wanted)
        return await self._answer(row, with_payload, 200, "updated" if would_change else "unchanged")

    async def _answer(self, row: Row, with_payload: bool, status: int, change: str) -> Reply:
        reply = await self._rows.answer(row, with_payload=with_payload)
        return Reply(status, reply.body, {**reply.headers, "Fliq-Change": change})

    async def create(self, account: str, wanted: ScheduleRequest, schedule_id: str, at: int) -> None:
        """
        Make the schedule of a request that names its key, as *schedule_id*, asked for at *at*.

        Raises:
            ApiError: 409 if the key is that of another schedule.
        """
        name = wanted.key or ""
        row, is_new = await self._find_or_create(account, name, wanted, must_exist=False, fresh_id=schedule_id, at=at)
        if not is_new:
            message = f"the key is that of {row.state.schedule_id}: change that schedule, or choose another key"
            raise ApiError(409, "key_taken", message)

    async def _find_or_create(
        self,
        account: str,
        name: str,
        wanted: ScheduleRequest,
        *,
        must_exist: bool,
        fresh_id: str | None = None,
        at: int | None = None,
    ) -> tuple[Row, bool]:
        """Return the schedule that *name* stands for, and whether this call made it: as *fresh_id*, asked for at *at*."""
        now = self._c.clock.now()
        at = now if at is None else at
        fresh_id = fresh_id or self._c.mint.schedule_id(now, self._c.mint.partition(now))
        held_id = await self._c.names.name_holder(account, KIND, name, "sched")
        if held_id is None and must_exist:
            raise ApiError(412, "version_conflict", "no schedule has this key: leave If-Match out to make one")
        is_ours = False
        if held_id is None:
            self._c.limits.check_load()
            await self._c.limits.check_daily(account)
            held_id = await self._c.names.take_name(account, KIND, name, fresh_id)
            crash_at("api.after_reserve")
            is_ours = held_id == fresh_id
        row = None if is_ours else await self._rows.look(account, held_id, fresh=True)
        if row is not None and row.state.status == ScheduleStatus.DELETED:
            held_id = await self._c.names.pass_name_on(account, KIND, name, held_id, fresh_id)
            is_ours = held_id == fresh_id
            row = None if is_ours else await self._rows.look(account, held_id, fresh=True)
        if row is not None and row.state.status != ScheduleStatus.DELETED:
            return row, False
        event = created_event(self._c, wanted, held_id, account, at, now, key=name)
        await self._rows.change(event, account, held_id)
        made = await self._rows.find(account, held_id)
        # Another caller may have taken the one that took the key for dead, and have written first: then this one replaces that.
        return made, (made.state, made.spec) == (first_state(event, made.state.changed_at), event.spec)
