"""
Schedule runs: a run now, asked for by a caller.

Such a run is a job like any other, which names its schedule. The API writes the fact as it does for a job: the schedule's next
run and its counters stay, and nothing is asked of the owner. It calls what the schedule calls at this moment, and shares the spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
from aiohttp.web import BaseRequest

from libs.domain.history.choice import LATE_MS
from libs.events import JobScheduled, Spec
from libs.events.fields import MAX_INSTANT
from libs.events.ids import from_int, instant_of, partition_of, to_int
from libs.events.retry_policy import JobTerms
from libs.runtime.crashpoint import crash_at
from libs.store.control.idempotency import Reservation
from services.api.contract import job_answers
from services.api.contract.schedules.requests import run_hash, run_request
from services.api.handlers.context import Context
from services.api.handlers.idempotency import REPLAYED, checked_key, reserve
from services.api.handlers.schedules.schedule_rows import Row, ScheduleRows
from services.api.http.auth import Identity
from services.api.http.reply import NO_HEADERS, Reply
from services.api.http.request_body import read_json
from services.api.state.account_use import Room


class ScheduleRuns:
    """The handlers for runs that a caller asks for."""

    def __init__(self, context: Context, rows: ScheduleRows) -> None:
        self._c = context
        self._rows = rows

    async def run(self, request: BaseRequest, identity: Identity, schedule_id: str) -> Reply:
        """POST /v1/schedules/{schedule_id}/run; also while the schedule is paused or finished."""
        data = await read_json(request, is_optional=True)
        key = checked_key(request)
        async with self._c.changes.turn(identity.account):
            row = await self._rows.find(identity.account, schedule_id, fresh=True)
            own = run_request(data, row.spec)
            self._c.limits.check_load()
            room = await self._c.use.room(identity.account)
            try:
                return await self._run(row, own, key, room)
            finally:
                room.done()

    async def _run(self, row: Row, own: Mapping[str, Any], key: str | None, room: Room) -> Reply:
        account = row.state.account
        spec = msgspec.structs.replace(row.spec, **own) if own else row.spec
        held = await self._reserved(row, own, key, room, spec)
        made = None if held.is_new else await self._made(account, held.job_id)
        if made is None:
            event = _scheduled(row, spec if own else None, held, key)
            await self._c.append(account, partition_of(held.job_id), [self._c.sealed(event, account)])
            if not held.is_new and await self._is_void(account, held.job_id):
                now = self._c.clock.now()
                new_id = self._c.mint.job_id(now, partition_of(held.job_id))
                held = await self._c.keys.replace(account, key or "", held, new_id, now)
                event = _scheduled(row, spec if own else None, held, key)
                await self._c.append(account, partition_of(held.job_id), [self._c.sealed(event, account)])
        else:
            spec = made  # the schedule may call something else by now
        crash_at("api.before_reply")
        body = job_answers.created_job(
            held.job_id,
            spec,
            fire_at=held.created_at,
            max_retries=row.state.max_retries,
            created_at=held.created_at,
        )
        answer = orjson.dumps(body | {"schedule_id": row.state.schedule_id})
        return Reply(201, answer, NO_HEADERS if held.is_new else REPLAYED)

    async def _reserved(self, row: Row, own: Mapping[str, Any], key: str | None, room: Room, spec: Spec) -> Reservation:
        """Return the id of the run: in the partition of the schedule, where the spec that they share stands before it."""
        now, account, schedule_id = self._c.clock.now(), row.state.account, row.state.schedule_id
        partition = partition_of(schedule_id)

        async def check_new() -> None:
            await self._c.limits.check_daily(account)
            room.take(spec if own else None)

        if key is None:
            await check_new()
            return Reservation(self._c.mint.job_id(now, partition), b"", now, is_new=True)
        return await reserve(
            self._c,
            account=account,
            key=key,
            request_hash=run_hash(schedule_id, own),
            now=now,
            make_id=lambda at, _: self._c.mint.job_id(at, partition),
            check_new=check_new,
        )

    async def _is_void(self, account: str, job_id: str) -> bool:
        """Say whether the record of *job_id*, which is appended, makes nothing, because an id so old may have been forgotten."""
        return self._c.clock.now() - instant_of(job_id) >= LATE_MS and await self._made(account, job_id) is None

    async def _made(self, account: str, job_id: str) -> Spec | None:
        """Return what the run of a request that is repeated calls; None if its process died before it was made."""
        queries = self._c.queries
        found = await self._c.read_index.find(partition_of(job_id), lambda: queries.get_job(account, job_id))
        return None if found is None else found[1]


def _scheduled(row: Row, own_spec: Spec | None, held: Reservation, key: str | None) -> JobScheduled:
    state = row.state
    terms = (state.more.terms if state.more is not None else None) or JobTerms()
    expires_at = None if terms.expires_in_ms is None else min(held.created_at + terms.expires_in_ms, MAX_INSTANT)
    # What may be large stands in the log once.
    shared = msgspec.structs.replace(row.spec, body=None, headers=None, webhook_headers=None)
    return JobScheduled(
        job_id=held.job_id,
        account=state.account,
        at=held.created_at,
        spec=own_spec or shared,
        fire_at=held.created_at,
        max_retries=state.max_retries,
        idempotency_key=key,
        spec_id=None if own_spec is not None else from_int("job", to_int(state.spec_id)),
        schedule_id=state.schedule_id,
        is_tracked=state.more is not None and state.more.runs is not None,
        retry=terms.retry,
        success_on=terms.success_on,
        expires_at=expires_at,
        labels=None if state.more is None else state.more.labels,
    )
