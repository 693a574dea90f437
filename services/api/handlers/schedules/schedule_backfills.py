"""
Schedule back-fills: runs at ticks that have gone by, asked for by a caller, and stopping them.

Such a run is a job like any other. It names its schedule and its tick, and waits for its instant: one after the other, at the pace
that was asked for. The API looks for the ticks and writes the facts, so a back-fill costs an owner what its jobs cost, and is as
safe as they are. The job of a tick has the one id that the tick's own job has. So a tick that has run is passed over by every
reader, whoever asks, and however often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec
from aiohttp.web import BaseRequest

from libs.domain.calendar.rule import Rule
from libs.domain.job import JobStatus
from libs.domain.schedules.tick_decision import local_time
from libs.events import JobCancelRequested, JobScheduled, encode
from libs.events.fields import MAX_INSTANT
from libs.events.ids import from_int, partition_of, repeated_tick_job_id, tick_job_id, to_int
from libs.events.retry_policy import JobTerms
from libs.runtime.crashpoint import crash_at
from services.api.contract.api_error import outcome_unknown
from services.api.contract.requests import empty_request
from services.api.contract.schedules.backfill import (
    SLOTS_MAX,
    BackfillRequest,
    backfill_request,
    refuse_forgotten,
    refuse_too_many,
    shown,
)
from services.api.handlers.context import CHANGE_S, Context
from services.api.handlers.idempotency import checked_key
from services.api.handlers.schedules.schedule_rows import Row, ScheduleRows
from services.api.http.auth import Identity
from services.api.http.reply import Reply, json_reply
from services.api.http.request_body import read_json
from services.api.state.account_use import Room

TICKS_AT_ONCE: Final = 10  # looked for before others may go on: the dearest rule takes 0.4 ms for one
APPENDED_AT_ONCE: Final = 50  # they take some milliseconds to make
STEP_S: Final = 0.5  # then the row is read again, whatever the tables' position
MARGIN_MS: Final = 3_600_000  # the history goes on while the jobs of a request are appended
PAGE: Final = 500  # jobs read in one go while a back-fill is stopped
PAGES_MAX: Final = 200

Pause: TypeAlias = Callable[[], Awaitable[None]]  # ends a piece of work, and waits for the turn of the next one


class ScheduleBackfills:
    """The handlers for ticks that have gone by."""

    def __init__(self, context: Context, rows: ScheduleRows) -> None:
        self._c = context
        self._rows = rows

    async def backfill(self, request: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """POST /v1/schedules/{schedule_id}/backfill; also while the schedule is paused or finished."""
        now = self._c.clock.now()
        wanted = backfill_request(await read_json(request), now)
        nonce = checked_key(request) or self._c.mint.secret(8).hex()
        row = await self._rows.find(identity.account, schedule_id, fresh=True)
        rule = self._rows.rule(row.state)
        forgotten = await self._c.queries.forgotten_before(partition_of(schedule_id))
        if forgotten and wanted.since < forgotten + MARGIN_MS:
            refuse_forgotten(forgotten + MARGIN_MS)
        async with self._c.lists.turn(identity.account):
            return await self._backfill(request, row, rule, wanted, nonce, now)

    async def _backfill(
        self, request: BaseRequest, row: Row, rule: Rule, wanted: BackfillRequest, nonce: str, now: int
    ) -> Reply:
        schedule_id, pause = row.state.schedule_id, cast(Any, request.protocol).pause
        ticks = await _ticks(rule, wanted, pause)
        ran = await self._c.queries.existing_jobs(
            row.state.account, [tick_job_id(schedule_id, tick_at) for tick_at in ticks]
        )
        answer = shown(schedule_id, row.state.version, wanted, ticks=len(ticks), ran=len(ran), first_at=now)
        if not wanted.is_dry_run and answer["jobs"]:
            ids = {tick_at: tick_job_id(schedule_id, tick_at) for tick_at in ticks}
            if wanted.existing == "skip":
                ticks = [tick_at for tick_at in ticks if ids[tick_at] not in ran]
            else:
                ids = {tick_at: repeated_tick_job_id(schedule_id, tick_at, nonce) for tick_at in ticks}
            await self._make(row, rule, [(ids[tick_at], tick_at) for tick_at in ticks], wanted.pace_ms, now, pause)
        return json_reply(200, answer)

    async def stop(self, request: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """POST /v1/schedules/{schedule_id}/backfill/stop; what is under way goes on."""
        empty_request(await read_json(request, is_optional=True))
        row = await self._rows.find(identity.account, schedule_id, fresh=True)
        now, partition = self._c.clock.now(), partition_of(schedule_id)
        found = await self._waiting(row)
        for first in range(0, len(found), APPENDED_AT_ONCE):
            part = [JobCancelRequested(job_id=job_id, at=now) for job_id in found[first : first + APPENDED_AT_ONCE]]
            await self._c.append(row.state.account, partition, [encode(each) for each in part])
        if found:
            await self._decided(found[-1])
        return json_reply(200, {"schedule_id": schedule_id, "jobs": len(found)})

    async def _decided(self, job_id: str) -> None:
        """Wait until the owner has answered the cancel of *job_id*: it answers in the order of the log."""
        partition, progress = partition_of(job_id), self._c.progress
        try:
            async with asyncio.timeout(CHANGE_S):
                while True:
                    seen = progress.known(partition)
                    if await self._c.queries.job_status(job_id) not in (None, JobStatus.SCHEDULED):
                        return
                    await progress.wait(partition, seen + 1, STEP_S)
        except TimeoutError:
            raise outcome_unknown("the jobs are asked to be cancelled; repeat the request") from None

    async def _waiting(self, row: Row) -> list[str]:
        """Return the jobs of back-fills that have not begun."""
        found: list[str] = []
        before: str | None = None
        for _ in range(PAGES_MAX):
            page = await self._c.queries.list_jobs(
                row.state.account,
                statuses=(JobStatus.SCHEDULED,),
                schedule_id=row.state.schedule_id,
                limit=PAGE,
                before=before,
            )
            found += [job.job_id for job, _ in page if job.more is not None and job.more.trigger == "backfill"]
            if len(page) < PAGE:
                break
            before = page[-1][0].job_id
        return found

    async def _make(
        self, row: Row, rule: Rule, runs: Sequence[tuple[str, int]], pace_ms: int, now: int, pause: Pause
    ) -> None:
        account = row.state.account
        self._c.limits.check_load()
        await self._c.limits.check_daily(account)
        room = await self._c.use.room(account)
        try:
            _take(room, runs)
            for first in range(0, len(runs), APPENDED_AT_ONCE):
                await pause()
                part = runs[first : first + APPENDED_AT_ONCE]
                facts = [
                    _scheduled(row, rule, job_id, tick_at, now, now + (first + index) * pace_ms)
                    for index, (job_id, tick_at) in enumerate(part)
                ]
                envelopes = [self._c.sealed(each, account) for each in facts]
                await self._c.append(account, partition_of(row.state.schedule_id), envelopes)
            crash_at("api.before_reply")
        finally:
            room.done()


async def _ticks(rule: Rule, wanted: BackfillRequest, pause: Pause) -> list[int]:
    """Return the ticks of the range, oldest first; raises 400 if there are too many."""
    found: list[int] = []
    tick_at = rule.next_after(max(wanted.since - 1, 0))
    while tick_at is not None and tick_at < wanted.before:
        if len(found) >= SLOTS_MAX:
            refuse_too_many()
        found.append(tick_at)
        if len(found) % TICKS_AT_ONCE == 0:
            await pause()
        tick_at = rule.next_after(tick_at)
    return found


def _take(room: Room, runs: Iterable[object]) -> None:
    for _ in runs:
        room.take(None)  # they share the schedule's spec


def _scheduled(row: Row, rule: Rule, job_id: str, tick_at: int, now: int, fire_at: int) -> JobScheduled:
    state = row.state
    terms = (state.more.terms if state.more is not None else None) or JobTerms()
    return JobScheduled(
        job_id=job_id,
        account=state.account,
        at=now,
        spec=msgspec.structs.replace(row.spec, body=None, headers=None, webhook_headers=None),
        fire_at=fire_at,
        max_retries=state.max_retries,
        spec_id=from_int("job", to_int(state.spec_id)),
        schedule_id=state.schedule_id,
        retry=terms.retry,
        success_on=terms.success_on,
        expires_at=None if terms.expires_in_ms is None else min(fire_at + terms.expires_in_ms, MAX_INSTANT),
        tick_at=tick_at,
        local_time=local_time(rule, tick_at),
        labels=None if state.more is None else state.more.labels,
    )
