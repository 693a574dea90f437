"""
Schedule changes: delete, pause, resume, and a merge patch.

A change is a fact in the log. The answer comes once the tables hold it, so that every later read sees the change.

A patch names the version that it makes. Of two patches of the same version the one that stands first in the log counts, on every
reader, without a lock. The row keeps the ids of the last changes, so this handler sees whether its own was the one. If it was not,
it lays the patch over what is there now and tries again; with `If-Match` the caller is told instead (412).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp.web import BaseRequest

from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.domain.schedules.optional_state import ScheduleMore
from libs.domain.schedules.tick_decision import NextRun, next_run
from libs.events import ScheduleChanged, ScheduleDeleted, SchedulePaused, ScheduleResumed, ScheduleRule
from services.api.contract.schedules.patch import fields_of, merged, version_conflict, wanted_version
from services.api.contract.schedules.requests import (
    PauseRequest,
    ScheduleRequest,
    pause_request,
    schedule_request,
    wants_catch_up,
)
from services.api.handlers.context import Context
from services.api.handlers.schedules.schedule_rows import Row, ScheduleRows
from services.api.http.auth import Identity
from services.api.http.reply import Reply, no_content
from services.api.http.request_body import read_json

TRIES_MAX: Final = 3  # changes that others overtook, before the caller is told


class ScheduleChanges:
    """The handlers that change schedules."""

    def __init__(self, context: Context, rows: ScheduleRows) -> None:
        self._c = context
        self._rows = rows

    async def delete(self, _: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """DELETE /v1/schedules/{schedule_id}."""
        await self._rows.find(identity.account, schedule_id)
        await self._rows.change(
            ScheduleDeleted(schedule_id=schedule_id, at=self._c.clock.now()), identity.account, schedule_id
        )
        return no_content()

    async def pause(self, request: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """POST /v1/schedules/{schedule_id}/pause; on a paused schedule it changes note and end, if it has any."""
        wanted = pause_request(await read_json(request, is_optional=True), self._c.clock.now())
        async with self._c.changes.turn(identity.account):
            row = await self._rows.find(identity.account, schedule_id, fresh=True)
            for _ in range(TRIES_MAX):
                if not _is_paused_as(row.state, wanted, self._c.clock.now()):
                    await self._rows.change(self._paused(row.state, wanted), row.state.account, schedule_id)
                    row = await self._rows.find(identity.account, schedule_id)
                if wanted.until is None or _is_paused_as(row.state, wanted, self._c.clock.now()):
                    return await self._rows.answer(row, with_payload="write:payloads" in identity.scopes)
            raise version_conflict(row.state.version)

    async def resume(self, request: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """POST /v1/schedules/{schedule_id}/resume; it goes on from now, unless the ticks of the pause are to be made up for."""
        catch_up = wants_catch_up(await read_json(request, is_optional=True))
        async with self._c.changes.turn(identity.account):
            row = await self._rows.find(identity.account, schedule_id, fresh=True)
            for _ in range(TRIES_MAX):
                if not row.state.is_paused_at(self._c.clock.now()):
                    return await self._rows.answer(row, with_payload="write:payloads" in identity.scopes)
                await self._rows.change(self._resumed(row.state, catch_up=catch_up), row.state.account, schedule_id)
                row = await self._rows.find(identity.account, schedule_id)
            if row.state.is_paused_at(self._c.clock.now()):
                raise version_conflict(row.state.version)
            return await self._rows.answer(row, with_payload="write:payloads" in identity.scopes)

    async def patch(self, request: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """PATCH /v1/schedules/{schedule_id}."""
        patch = await read_json(request)
        version = wanted_version(request.headers.get("If-Match"))
        async with self._c.changes.turn(identity.account):
            row = await self._rows.find(identity.account, schedule_id, fresh=True)
            for _ in range(TRIES_MAX):
                if version is not None and row.state.version != version:
                    raise version_conflict(row.state.version)
                wanted = self._declared(merged(fields_of(*row), patch))
                changed = await self.replace(row, wanted)
                if changed is not None:
                    return await self._rows.answer(changed, with_payload="write:payloads" in identity.scopes)
                row = await self._rows.find(identity.account, schedule_id)
            raise version_conflict(row.state.version)

    async def replace(self, row: Row, wanted: ScheduleRequest) -> Row | None:
        """
        Have the schedule be as *wanted*; return it as it is then, or None if somebody else's change came first.

        Nothing is appended if it is as *wanted* already.
        """
        state = row.state
        event = self._changed(row, wanted)
        if event is None:
            return row
        await self._rows.change(event, state.account, state.schedule_id)
        now = await self._rows.find(state.account, state.schedule_id)
        is_ours = now.state.more is not None and event.change_id in now.state.more.change_ids
        return now if is_ours else None

    def would_change(self, row: Row, wanted: ScheduleRequest) -> bool:
        """Whether `replace` would change anything."""
        return self._changed(row, wanted) is not None

    def _declared(self, fields: dict[str, Any]) -> ScheduleRequest:
        return schedule_request(fields, self._c.check_url, self._c.clock.now(), self._c.zones)

    def _changed(self, row: Row, wanted: ScheduleRequest) -> ScheduleChanged | None:
        """Return the fact that makes the schedule as *wanted*; None if it is."""
        state, now = row.state, self._c.clock.now()
        rule = wanted.rule_at(state.created_at)
        spec = msgspec.structs.replace(wanted.spec, traceparent=row.spec.traceparent)
        had_max_runs = None if state.more is None else state.more.max_runs
        is_new_rule = rule != state.rule or wanted.max_runs != had_max_runs
        more = state.more or ScheduleMore(rule=state.rule)
        was = (row.spec, state.max_retries, more.policy, more.terms, more.runs, more.labels)
        asked = (spec, wanted.max_retries, wanted.policy, wanted.terms, wanted.runs, wanted.labels)
        if not is_new_rule and asked == was:
            return None
        following, after = NextRun(None, None, ""), None
        if is_new_rule:
            after = max(now, state.last_slot_at)
            following = self._first_of(state, rule, wanted.max_runs, after)
        return ScheduleChanged(
            schedule_id=state.schedule_id,
            at=now,
            version=state.version + 1,
            change_id=self._c.mint.secret(8).hex(),
            rule=rule,
            max_runs=wanted.max_runs,
            policy=wanted.policy,
            max_retries=wanted.max_retries,
            spec=None if spec == row.spec else spec,
            after_at=after,
            next_run_at=following.run_at,
            next_tick_at=following.tick_at,
            zone_data=following.zone_data,
            terms=wanted.terms,
            runs=wanted.runs,
            labels=wanted.labels,
        )

    def _first_of(self, state: ScheduleState, record: ScheduleRule, max_runs: int | None, after: int) -> NextRun:
        """Return the first run of a changed rule; a pause with an end still holds."""
        more = state.more
        if more is not None and more.paused_until is not None:
            after = max(after, more.paused_until - 1)
        if more is not None and max_runs is not None and more.run_count >= max_runs:
            return NextRun(None, None, "")
        return next_run(self._rows.rule_of(record), state.schedule_id, after)

    def _paused(self, state: ScheduleState, wanted: PauseRequest) -> SchedulePaused:
        paused = SchedulePaused(schedule_id=state.schedule_id, at=self._c.clock.now(), note=wanted.note)
        if state.more is not None or wanted.note is not None or wanted.until is not None:
            paused = msgspec.structs.replace(paused, version=state.version)
        if wanted.until is None:
            return paused
        after = max(wanted.until - 1, state.last_slot_at)
        following = self._rows.next_run(self._rows.rule(state), state.schedule_id, after)
        return msgspec.structs.replace(
            paused,
            until=wanted.until,
            next_run_at=following.run_at,
            next_tick_at=following.tick_at,
            zone_data=following.zone_data,
        )

    def _resumed(self, state: ScheduleState, *, catch_up: bool) -> ScheduleResumed:
        """Return the fact that *state* goes on: from now, or from its last tick on."""
        now = self._c.clock.now()
        after = max(state.since_at if catch_up else now, state.last_slot_at)
        following = self._rows.next_run(self._rows.rule(state), state.schedule_id, after)
        return ScheduleResumed(
            schedule_id=state.schedule_id,
            at=now,
            next_run_at=following.run_at or 0,
            next_tick_at=following.tick_at,
            zone_data=following.zone_data,
            version=state.version,
        )


def _is_paused_as(state: ScheduleState, wanted: PauseRequest, now: int) -> bool:
    """Say whether *state* is paused as asked for: until the same instant; and if a note was sent, with this note."""
    more = state.more
    if not state.is_paused_at(now):
        return False
    if wanted.until is None and wanted.note is None:
        return state.status == ScheduleStatus.PAUSED
    until = None if more is None or state.status == ScheduleStatus.PAUSED else more.paused_until
    return until == wanted.until and (more.note if more is not None else None) == wanted.note
