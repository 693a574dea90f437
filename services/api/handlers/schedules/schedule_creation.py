"""Schedule creation: a new schedule, one schedule, and the list of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from aiohttp.web import BaseRequest

from libs.domain.calendar.recorded_rule import rule_of
from libs.domain.schedule import ScheduleStatus
from libs.domain.schedule import create as first_state
from libs.domain.schedules.tick_decision import next_run
from libs.events import ScheduleCreated, ScheduleDefined
from libs.events.ids import is_id, partition_of
from libs.runtime.crashpoint import crash_at
from libs.store.reads.filters import Found, ScheduleFilter
from services.api.contract.api_error import not_found
from services.api.contract.fields.list_filters import listing_of
from services.api.contract.schedules import schedule_answers
from services.api.contract.schedules.requests import ScheduleRequest, schedule_hash, schedule_request
from services.api.handlers.context import Context
from services.api.handlers.idempotency import REPLAYED, checked_key, reserve, schedule_id_of
from services.api.handlers.listing import page
from services.api.handlers.schedules.schedule_rows import Row, ScheduleRows, never_fires, rule_not_known
from services.api.handlers.searching import schedules_asked_for
from services.api.http.auth import Identity
from services.api.http.reply import Reply
from services.api.http.request_body import read_json
from services.api.http.trace import traceparent_of

Created = ScheduleCreated | ScheduleDefined
CreateUnderKey = Callable[[str, ScheduleRequest, str, int], Awaitable[None]]  # `ScheduleKeys.create`


class ScheduleCreation:
    """The handlers that make and show schedules."""

    def __init__(self, context: Context, rows: ScheduleRows, create_under_key: CreateUnderKey) -> None:
        self._c = context
        self._rows = rows
        self._create_under_key = create_under_key

    async def create(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """POST /v1/schedules."""
        data = await read_json(request)
        key = checked_key(request)
        now, account = self._c.clock.now(), identity.account
        wanted = schedule_request(data, self._c.check_url, now, self._c.zones, traceparent=traceparent_of(request))
        self._c.limits.check_load()
        if key is None:
            await self._c.limits.check_daily(account)
            new_id = self._c.mint.schedule_id(now, self._c.mint.partition(now))
            event = created_event(self._c, wanted, new_id, account, now, now, key=wanted.key)
            await self._write(event, wanted)
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
        event = created_event(self._c, wanted, schedule_id_of(held), account, held.created_at, now, key=wanted.key)
        if held.is_new or await self._rows.look(account, event.schedule_id) is None:
            # The process that reserved it may have died before it appended: the same fact again, of which the first counts.
            await self._write(event, wanted)
        return Reply(201, _created_body(event), {} if held.is_new else REPLAYED)

    async def _write(self, event: Created, wanted: ScheduleRequest) -> None:
        if wanted.key is not None:
            await self._create_under_key(event.account, wanted, event.schedule_id, event.at)
            return
        envelope = self._c.sealed(event, event.account)
        await self._c.append(event.account, partition_of(event.schedule_id), [envelope])
        crash_at("api.before_reply")

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
        with_payload = "read:payloads" in identity.scopes
        return await self._rows.answer(Row(*found.row), with_payload=with_payload, is_fresh=found.is_fresh)

    async def _of_key(self, account: str, key: str) -> list[Row]:
        """Return the schedule of *key*, if there is one."""
        schedule_id = await self._c.names.name_holder(account, "schedule", key, "sched")
        row = None if schedule_id is None else await self._rows.look(account, schedule_id)
        return [] if row is None or row.state.status == ScheduleStatus.DELETED else [row]

    async def list(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """GET /v1/schedules."""
        account, now = identity.account, self._c.clock.now()
        wanted, key = await schedules_asked_for(self._c, account, request.query)

        async def query(limit: int, before: str | None) -> Found[Row]:
            if key is not None:
                rows = await self._of_key(account, key) if before is None else []
                return Found([row for row in rows if _is_wanted(row, wanted, now)])
            if wanted.is_plain:
                status = wanted.status
                found = Found(
                    await self._c.queries.list_schedules(account, status=status, now=now, limit=limit, before=before)
                )
            else:
                found = await self._c.search.search_schedules(account, wanted, now=now, limit=limit, before=before)
            # One after the other: a list must not take all connections to the database at once.
            return Found([await self._rows.as_of_now(Row(*row)) for row in found.rows], found.reached)

        return await page(
            self._c,
            request,
            account,
            kind="sched",
            listing=listing_of(request.query, f"schedules {wanted.status or ''}", "status", "key"),
            name="schedules",
            query=query,
            shown=lambda state, spec: schedule_answers.item(state, spec, now),
        )


def _is_wanted(row: Row, wanted: ScheduleFilter, now: int) -> bool:
    return schedule_answers.has_status(row.state, wanted.status, now) and wanted.takes(row.state)


def created_event(
    context: Context,
    wanted: ScheduleRequest,
    schedule_id: str,
    account: str,
    at: int,
    now: int,
    *,
    key: str | None = None,
) -> Created:
    """
    Return the fact that a schedule was asked for at *at*; if it has no run after that, it runs first after *now*.

    Raises:
        ApiError: 409 if it has no run at all.
    """
    record = wanted.rule_at(at)
    rule = rule_of(record, context.zones.find)
    if rule is None:
        raise rule_not_known()
    first = next_run(rule, schedule_id, at)
    if first.run_at is None:
        first = next_run(rule, schedule_id, now)
    if first.run_at is None:
        raise never_fires()
    if wanted.is_plain and key is None:
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
        policy=wanted.policy,
        max_retries=wanted.max_retries,
        key=key,
        terms=wanted.terms,
        runs=wanted.runs,
        labels=wanted.labels,
    )


def _created_body(event: Created) -> bytes:
    return orjson.dumps(schedule_answers.created(first_state(event, 0), event.spec, event.at))
