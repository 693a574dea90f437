"""
Schedules: rules that spawn jobs.

A change (pause, resume, delete) is a fact in the log. The answer comes once the tables hold it, so that every later read sees
the change.
"""

from __future__ import annotations

import asyncio

import msgspec
import orjson
from aiohttp.web import BaseRequest

from libs.domain.calendar.recorded_rule import rule_of
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.domain.schedule import create as first_state
from libs.domain.schedule_ticks import next_run, rule_of_schedule
from libs.events import (
    Event,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    Spec,
    encode,
)
from libs.events.ids import is_id, partition_of
from libs.log.port import LogUnavailable
from libs.runtime.crashpoint import crash_at
from services.api.contract import requests
from services.api.contract.api_error import ApiError, not_found, outcome_unknown
from services.api.contract.schedules import shown
from services.api.contract.schedules.requests import ScheduleRequest, schedule_hash, schedule_request
from services.api.handlers.context import CHANGE_S, Context
from services.api.handlers.listing import page
from services.api.handlers.reserving import REPLAYED, checked_key, reserve, schedule_id_of
from services.api.handlers.schedule_preview import rule_not_known
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply, no_content
from services.api.http.request_body import read_json
from services.api.http.trace import traceparent_of
from services.api.state.consistency import FRESH, STALE

Row = tuple[ScheduleState, Spec]
Created = ScheduleCreated | ScheduleDefined


class Schedules:
    """The handlers for schedules."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def create(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """POST /v1/schedules."""
        data = await read_json(request)
        key = checked_key(request)
        now, account = self._c.clock.now(), identity.account
        wanted = schedule_request(data, self._c.check_url, now, self._c.zones, traceparent=traceparent_of(request))
        self._c.limits.check_load()
        if key is None:
            await self._c.limits.check_daily(account)
            event = self._created(wanted, self._c.mint.schedule_id(now, self._c.mint.partition(now)), account, now, now)
            await self._append(event)
            return Reply(201, _created_body(event))
        held = await reserve(
            self._c,
            account=account,
            key=key,
            request_hash=schedule_hash(wanted),
            now=now,
            make_id=self._c.mint.schedule_id,
            check_new=lambda: self._c.limits.check_daily(account),
        )
        event = self._created(wanted, schedule_id_of(held), account, held.created_at, now)
        if held.is_new or not await self._is_known(event.schedule_id, account):
            # The process that reserved it may have died before it appended: the same fact again, of which the first counts.
            await self._append(event)
        return Reply(201, _created_body(event), {} if held.is_new else REPLAYED)

    def _created(self, wanted: ScheduleRequest, schedule_id: str, account: str, at: int, now: int) -> Created:
        """Return the fact that a schedule was asked for at *at*; if it has no run after that, it runs first after *now*."""
        record = wanted.rule_at(at)
        rule = rule_of(record, self._c.zones.find)
        if rule is None:
            raise rule_not_known()
        first = next_run(rule, schedule_id, at)
        if first.run_at is None:
            first = next_run(rule, schedule_id, now)
        if first.run_at is None:
            raise never_fires()
        if wanted.is_plain:
            return ScheduleCreated(
                schedule_id=schedule_id,
                account=account,
                at=at,
                spec=wanted.spec,
                cron=record.cron or "",
                next_run_at=first.run_at,
                max_retries=wanted.max_retries,
            )
        return ScheduleDefined(
            schedule_id=schedule_id,
            account=account,
            at=at,
            spec=wanted.spec,
            rule=record,
            next_run_at=first.run_at,
            next_tick_at=first.tick_at,
            zone_data=first.zone_data,
            max_runs=wanted.max_runs,
            max_retries=wanted.max_retries,
        )

    async def _append(self, event: Created) -> None:
        await self._c.append(partition_of(event.schedule_id), [encode(event)])
        crash_at("api.before_reply")

    async def _is_known(self, schedule_id: str, account: str) -> bool:
        queries = self._c.queries
        found = await self._c.read_index.find(
            partition_of(schedule_id), lambda: queries.get_schedule(account, schedule_id)
        )
        return found is not None

    async def get(self, _: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """GET /v1/schedules/{schedule_id}."""
        if not is_id(schedule_id, "sched"):
            raise not_found("schedule")
        # Do not show the row at once: after a crash the tables may be a little older than an acknowledged change.
        found = await self._c.read_index.current(
            partition_of(schedule_id),
            lambda: self._c.queries.get_schedule(identity.account, schedule_id),
            lambda row: row[0].status == ScheduleStatus.DELETED,
        )
        if found.row is None or found.row[0].status == ScheduleStatus.DELETED:
            raise not_found("schedule")
        state, spec = await self._as_of_now(*found.row)
        answer = shown.schedule(state, spec, with_payload="read:payloads" in identity.scopes)
        return json_reply(200, answer, FRESH if found.is_fresh else STALE)

    async def list(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """GET /v1/schedules."""
        account = identity.account

        async def query(limit: int, before: str | None) -> list[Row]:
            rows = await self._c.queries.list_schedules(account, limit=limit, before=before)
            # One after the other: a list must not take all connections to the database at once.
            return [await self._as_of_now(*row) for row in rows]

        return await page(
            self._c,
            request,
            account,
            kind="sched",
            listing="schedules",
            name="schedules",
            query=query,
            shown=shown.item,
        )

    async def delete(self, _: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """DELETE /v1/schedules/{schedule_id}."""
        await self._find(identity.account, schedule_id)
        await self._change(ScheduleDeleted(schedule_id=schedule_id, at=self._c.clock.now()), schedule_id)
        return no_content()

    async def pause(self, request: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """POST /v1/schedules/{schedule_id}/pause; pausing a paused schedule changes nothing."""
        requests.empty_request(await read_json(request, is_optional=True))
        state, spec = await self._find(identity.account, schedule_id, fresh=True)
        if state.status == ScheduleStatus.ACTIVE:
            await self._change(SchedulePaused(schedule_id=schedule_id, at=self._c.clock.now()), schedule_id)
            state, spec = await self._find(identity.account, schedule_id)
        state, spec = await self._as_of_now(state, spec)
        return json_reply(200, shown.schedule(state, spec, with_payload="write:payloads" in identity.scopes))

    async def resume(self, request: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """POST /v1/schedules/{schedule_id}/resume; it goes on from now, and ticks missed meanwhile are not made up for."""
        requests.empty_request(await read_json(request, is_optional=True))
        state, spec = await self._find(identity.account, schedule_id, fresh=True)
        if state.status == ScheduleStatus.PAUSED:
            now = self._c.clock.now()
            await self._change(self._resumed(state, now), schedule_id)
            state, spec = await self._find(identity.account, schedule_id)
        state, spec = await self._as_of_now(state, spec)
        return json_reply(200, shown.schedule(state, spec, with_payload="write:payloads" in identity.scopes))

    def _resumed(self, state: ScheduleState, now: int) -> ScheduleResumed:
        rule = rule_of_schedule(state, self._c.zones.find)
        if rule is None:
            raise rule_not_known()
        following = next_run(rule, state.schedule_id, max(now, state.last_run_at or 0))
        if following.run_at is None:
            raise never_fires()
        return ScheduleResumed(
            schedule_id=state.schedule_id,
            at=now,
            next_run_at=following.run_at,
            next_tick_at=following.tick_at,
            zone_data=following.zone_data,
            version=state.version,
        )

    async def _as_of_now(self, state: ScheduleState, spec: Spec) -> Row:
        """
        Return the schedule as a caller sees it now.

        A tick is written a little ahead of its instant. Until that has come, the last run is the one before it.
        """
        now = self._c.clock.now()
        if state.last_run_at is not None and state.last_run_at > now:
            jobs = await self._c.queries.list_jobs(state.account, schedule_id=state.schedule_id, limit=2)
            last_run_at = next((job.scheduled_at for job, _ in jobs if job.scheduled_at <= now), None)
            state = msgspec.structs.replace(state, last_run_at=last_run_at)
        return state, spec

    async def _find(self, account: str, schedule_id: str, *, fresh: bool = False) -> tuple[ScheduleState, Spec]:
        """
        Return the account's schedule; raises 404.

        Set *fresh* before skipping a change as a no-op: a newer event may not be in the tables yet.
        """
        if not is_id(schedule_id, "sched"):
            raise not_found("schedule")
        partition = partition_of(schedule_id)
        if fresh and not await self._c.read_index.partition(partition):
            raise LogUnavailable("the log does not say where it ends")
        row = await self._c.read_index.find(partition, lambda: self._c.queries.get_schedule(account, schedule_id))
        if row is None or row[0].status == ScheduleStatus.DELETED:
            raise not_found("schedule")
        state, spec = row
        return state, spec

    async def _change(self, event: Event, schedule_id: str) -> None:
        partition = partition_of(schedule_id)
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + CHANGE_S
        position = await self._c.append_change(partition, encode(event), what="the change")
        if not await self._c.read_index.applied(partition, position, wait_s=ends_at - loop.time()):
            raise outcome_unknown("the change is recorded but not in force yet; read the schedule again")


def never_fires() -> ApiError:
    """Return the 409 for a rule that has no tick left."""
    return ApiError(409, "schedule_never_fires", "the rule has no instant within the next 5 years")


def _created_body(event: Created) -> bytes:
    return orjson.dumps(shown.created(first_state(event, 0), event.spec))
