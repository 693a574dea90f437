"""
Job creation: one job, a batch, a replay.

The steps of a new job: validate -> (reserve its idempotency key) -> append `job.scheduled` -> 201 as soon as that is durable.
The answer does not wait for the tables; reads do.

A job with a `waiting_key` or `singleton_key` goes another way: job_keys.py.

Idempotency. The reservation row says which job a key stands for: id, instant of creation, hash of the request. It is written
before the append, so a crash in between leaves a reservation without a job. A repeat of the request finds that out (it waits
for the tables and finds no row) and appends the same fact again. If both copies land, the first one counts, and they are
equal: a repeat cannot make a second job. If the reserved id is so old that its job may be forgotten, a repeat is answered when the
tables show the job; if they do not, the id is void for ever, and the key is given to a new id (libs/domain/history).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import msgspec
import orjson
from aiohttp.web import BaseRequest

from libs.domain.history.choice import LATE_MS
from libs.domain.job import JobStatus
from libs.domain.jobs.optional_state import JobMore
from libs.events import Envelope, JobScheduled, Spec
from libs.events.ids import from_int, instant_of, partition_of, to_int
from libs.log.port import LogUnavailable
from libs.runtime.crashpoint import crash_at
from libs.store.control.idempotency import Reservation
from services.api.contract import job_answers, requests
from services.api.contract.api_error import ApiError, refuse
from services.api.contract.field import Rules
from services.api.contract.fields.key_fields import JobKey
from services.api.contract.requests import JobRequest
from services.api.handlers.context import APPEND_S, CHANGE_S, Context
from services.api.handlers.idempotency import REPLAYED, checked_key, key_header, reserve
from services.api.handlers.jobs.batch_append import all_of, append_batch
from services.api.handlers.jobs.job_keys import EXISTING, JobKeys
from services.api.handlers.jobs.jobs import find_current
from services.api.http.auth import Identity
from services.api.http.reply import NO_HEADERS, Reply, error_body
from services.api.http.request_body import parse_json, read_json, read_json_body
from services.api.http.request_turns import BATCHES_AT_ONCE, RequestTurns
from services.api.http.trace import traceparent_of
from services.api.state.account_use import Room

JUDGED_AT_ONCE: Final = 50  # jobs of a batch in one piece of work: about 1.5 ms
RESERVE_AT_ONCE: Final = 16  # reservations of one batch under way at once


class JobCreation:
    """The handlers that make jobs."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._keys = JobKeys(context)
        self._rules = Rules(context.check_url)
        self._batches = RequestTurns(BATCHES_AT_ONCE, wait_s=APPEND_S)

    async def create(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """POST /v1/jobs."""
        data = await read_json(request)
        key = key_header(request)
        rules = self._rules if key is None else self._rules._replace(key_header=key)
        job = requests.job_request(data, rules, traceparent=traceparent_of(request))
        self._c.limits.check_load()
        if job.key is not None:
            return await self._make_keyed(job, job.key, identity.account)
        return await self._make(job, identity.account)

    async def create_batch(self, request: BaseRequest, identity: Identity, _: str) -> Reply:
        """POST /v1/jobs/batch."""
        raw = await read_json_body(request)
        async with self._batches.turn(identity.account):
            return await self._create_batch(request, raw, identity.account)

    async def _create_batch(self, request: BaseRequest, raw: bytes, account: str) -> Reply:
        items = requests.batch_items(await parse_json(request, raw))
        if key_header(request) is not None:
            refuse("invalid_idempotency_key", "a batch has no Idempotency-Key header: give each job its own key")
        self._c.limits.check_load()
        await self._c.limits.check_daily(account)
        room = await self._c.use.room(account)
        try:
            return await self._make_batch(request, items, account, room)
        finally:
            room.done()

    async def _make_batch(self, request: BaseRequest, items: Sequence[Any], account: str, room: Room) -> Reply:
        now = self._c.clock.now()
        partition = self._c.mint.partition(now)
        rules, traceparent = self._rules, traceparent_of(request)
        results: list[dict[str, Any]] = []
        envelopes: list[Envelope] = []
        keyed: dict[int, JobRequest] = {}
        with_keys: dict[tuple[str, str], tuple[int, JobRequest]] = {}
        for index, item in enumerate(items):
            if index % JUDGED_AT_ONCE == JUDGED_AT_ONCE - 1:
                await cast(Any, request.protocol).pause()  # a thousand jobs take 30 ms
            try:
                job = requests.job_request(item, rules, traceparent=traceparent)
                if job.idempotency_key is not None:
                    keyed[index] = job
                    results.append({})
                    continue
                if job.key is not None:
                    if (job.key.kind, job.key.name) in with_keys:
                        refuse(
                            f"invalid_{job.key.kind}_key",
                            "another job of this batch has this key: send the last one alone",
                        )
                    with_keys[job.key.kind, job.key.name] = index, job
                    results.append({})
                    continue
                requests.check_schedulable(job, now)
                room.take(job.spec)
            except ApiError as error:
                results.append(error_body(error))
                continue
            job = requests.resolved(job, now)
            job_id = self._c.mint.job_id(now, partition)
            envelopes.append(self._c.sealed(_scheduled(job, job_id, account, now), account))
            results.append({"job": _body(job, job_id, now)})
        if keyed:
            envelopes += await self._reserve_batch(keyed, results, now, account, room)
        await append_batch(self._c, account, envelopes, results)
        if with_keys:
            await self._make_batch_keyed(with_keys.values(), results, account, room)
        crash_at("api.before_reply")
        return Reply(200, orjson.dumps({"results": results}))

    async def replay(self, request: BaseRequest, identity: Identity, job_id: str) -> Reply:
        """POST /v1/jobs/{job_id}/replay."""
        requests.empty_request(await read_json(request, is_optional=True))
        key = checked_key(request)
        account = identity.account
        state, spec, is_fresh = await find_current(self._c, account, job_id)
        if not is_fresh:
            raise LogUnavailable("the log does not say where it ends")
        if state.status != JobStatus.FAILED:
            raise ApiError(409, "job_not_failed", f"the job is {job_answers.PUBLIC_STATUS[state.status]}, not failed")
        self._c.limits.check_load()
        # The spec is shared only if the first job is there for long enough: it goes when the job is forgotten.
        is_kept = state.completed_at is not None and state.completed_at > self._c.clock.now() - LATE_MS
        spec_id = from_int("job", to_int(state.spec_id)) if is_kept else None
        more = state.more or JobMore()
        clone = JobRequest(
            spec,
            self._c.clock.now(),
            state.max_retries,
            key,
            retry=more.retry,
            success_on=more.success_on,
            labels=more.labels,
        )
        return await self._make(clone, account, replay_of=job_id, spec_id=spec_id)

    async def _make_keyed(self, job: JobRequest, key: JobKey, account: str) -> Reply:
        """Answer with the job of *key*: 201 if this request made it, 200 if it was there."""
        room = await self._c.use.room(account)
        try:
            body = await self._find_or_make(job, key, account, room, asyncio.get_running_loop().time() + CHANGE_S)
        finally:
            room.done()
        crash_at("api.before_reply")
        existing = body.get("existing")
        if existing is None:
            return Reply(201, orjson.dumps(body["job"]))
        return Reply(200, orjson.dumps(body["job"]), {EXISTING: existing})

    async def _make_batch_keyed(
        self, jobs: Iterable[tuple[int, JobRequest]], results: list[dict[str, Any]], account: str, room: Room
    ) -> None:
        """Fill in the results of the jobs with keys, each key once."""
        slots = asyncio.Semaphore(RESERVE_AT_ONCE)
        ends_at = asyncio.get_running_loop().time() + CHANGE_S

        async def make(index: int, job: JobRequest, key: JobKey) -> None:
            async with slots:
                try:
                    results[index] = await self._find_or_make(job, key, account, room, ends_at)
                except ApiError as error:
                    results[index] = error_body(error)

        await all_of([make(index, job, job.key) for index, job in jobs if job.key is not None])

    async def _find_or_make(
        self, job: JobRequest, key: JobKey, account: str, room: Room, ends_at: float
    ) -> dict[str, Any]:
        """Return the result of one job with a key, as a batch shows it."""
        is_checked = False

        async def check_new() -> None:
            nonlocal is_checked
            if not is_checked:  # room is taken once
                await self._c.limits.check_daily(account)
                room.take(job.spec)
                is_checked = True

        found = await self._keys.find_or_make(
            job,
            key,
            account,
            ends_at=ends_at,
            check_new=check_new,
            scheduled=lambda resolved, job_id, at: self._c.sealed(_scheduled(resolved, job_id, account, at), account),
        )
        return {"job": found.shown} if found.existing is None else {"job": found.shown, "existing": found.existing}

    async def _make(
        self, job: JobRequest, account: str, *, replay_of: str | None = None, spec_id: str | None = None
    ) -> Reply:
        """Append *job* and answer with it; if its key stands for the same request, answer with the first job."""
        room = await self._c.use.room(account)
        try:
            return await self._make_in(room, job, account, replay_of=replay_of, spec_id=spec_id)
        finally:
            room.done()

    async def _make_in(
        self, room: Room, job: JobRequest, account: str, *, replay_of: str | None, spec_id: str | None
    ) -> Reply:
        now = self._c.clock.now()
        if job.idempotency_key is None:
            await self._check_new(job, now, account, room, replay_of)
            new_id = self._new_id(now, self._c.mint.partition(now), replay_of)
            held = Reservation(new_id, b"", now, is_new=True)
        else:
            held = await self._reserve(job, now, account, room, replay_of)
            if not held.is_new:
                held = await self._repeat(job, held, now, account, room, replay_of=replay_of, spec_id=spec_id)
        if held.is_new:
            fact = _fact(job, held, account, replay_of=replay_of, spec_id=spec_id)
            envelope = self._c.sealed(fact, account)
            await self._c.append(account, partition_of(held.job_id), [envelope])
        crash_at("api.before_reply")
        job = _of_reservation(job, held, replay_of)
        body = _body(job, held.job_id, held.created_at) | ({} if replay_of is None else {"replay_of": replay_of})
        return Reply(201, orjson.dumps(body), NO_HEADERS if held.is_new else REPLAYED)

    async def _repeat(
        self,
        job: JobRequest,
        held: Reservation,
        now: int,
        account: str,
        room: Room,
        *,
        replay_of: str | None = None,
        spec_id: str | None = None,
    ) -> Reservation:
        """
        Append what the process that took the key may not have appended before it died; return the reservation that counts.

        That is a new one, for which nothing was appended yet, if the id of *held* is void.
        """
        if await self._is_known(held.job_id):
            return held
        ends_at = asyncio.get_running_loop().time() + CHANGE_S
        envelope = self._c.sealed(_fact(job, held, account, replay_of=replay_of, spec_id=spec_id), account)
        await self._c.append(account, partition_of(held.job_id), [envelope], ends_at=ends_at)
        if now - instant_of(held.job_id) < LATE_MS or await self._is_known(held.job_id):
            return held
        await self._check_new(job, now, account, room, replay_of)
        new_id = self._new_id(now, self._c.mint.partition(now), replay_of)
        return await self._c.keys.replace(account, job.idempotency_key or "", held, new_id, now)

    async def _check_new(
        self, job: JobRequest, now: int, account: str, room: Room, replay_of: str | None = None
    ) -> None:
        if replay_of is None:
            requests.check_schedulable(job, now)
        await self._c.limits.check_daily(account)
        room.take(job.spec if replay_of is None else None)

    async def _reserve(
        self, job: JobRequest, now: int, account: str, room: Room, replay_of: str | None = None
    ) -> Reservation:
        """Return the reservation of the job's key; raises 409 if it stands for another request."""
        return await reserve(
            self._c,
            account=account,
            key=job.idempotency_key or "",  # only jobs with a key come here
            request_hash=requests.request_hash(job) if replay_of is None else requests.replay_hash(replay_of),
            now=now,
            make_id=lambda at, partition: self._new_id(at, partition, replay_of),
            check_new=lambda: self._check_new(job, now, account, room, replay_of),
        )

    def _new_id(self, now: int, partition: int, replay_of: str | None) -> str:
        """Return a new id: of a copy in the partition of the first job, where the spec that they share stands before it."""
        return self._c.mint.job_id(now, partition if replay_of is None else partition_of(replay_of))

    async def _is_known(self, job_id: str) -> bool:
        found = await self._c.read_index.find(partition_of(job_id), lambda: self._c.queries.job_status(job_id))
        return found is not None

    async def _reserve_batch(
        self, keyed: dict[int, JobRequest], results: list[dict[str, Any]], now: int, account: str, room: Room
    ) -> list[Envelope]:
        """Fill in the results of the jobs with keys; return the envelopes that must still be appended."""
        by_key: dict[str, list[int]] = {}
        for index, job in keyed.items():
            by_key.setdefault(job.idempotency_key or "", []).append(index)
        slots = asyncio.Semaphore(RESERVE_AT_ONCE)
        envelopes: list[Envelope] = []

        async def take(indices: list[int]) -> None:
            # Items that share a key are taken in their order: the first makes the job, the others repeat it.
            made: set[str] = set()
            async with slots:
                for index in indices:
                    job = keyed[index]
                    try:
                        held = await self._reserve(job, now, account, room)
                        if not held.is_new and now - instant_of(held.job_id) >= LATE_MS:
                            held = await self._repeat(job, held, now, account, room)
                    except ApiError as error:
                        results[index] = error_body(error)
                        continue
                    job = requests.resolved(job, held.created_at)
                    results[index] = {"job": _body(job, held.job_id, held.created_at)}
                    if held.job_id not in made and (held.is_new or not await self._is_known(held.job_id)):
                        fact = _scheduled(job, held.job_id, account, held.created_at)
                        envelopes.append(self._c.sealed(fact, account))
                    made.add(held.job_id)

        await all_of([take(indices) for indices in by_key.values()])
        return envelopes


def _body(job: JobRequest, job_id: str, created_at: int) -> dict[str, Any]:
    return job_answers.created_job(
        job_id, job.spec, fire_at=job.fire_at, max_retries=job.max_retries, created_at=created_at
    )


def _of_reservation(job: JobRequest, held: Reservation, replay_of: str | None) -> JobRequest:
    """Return *job* with the instants that follow from the first request: a replay is due when it was first asked for."""
    if replay_of is not None:
        job = msgspec.structs.replace(job, fire_at=held.created_at)
    return requests.resolved(job, held.created_at)


def _fact(
    job: JobRequest, held: Reservation, account: str, *, replay_of: str | None = None, spec_id: str | None = None
) -> JobScheduled:
    job = _of_reservation(job, held, replay_of)
    return _scheduled(job, held.job_id, account, held.created_at, replay_of=replay_of, spec_id=spec_id)


def _scheduled(
    job: JobRequest,
    job_id: str,
    account: str,
    created_at: int,
    *,
    replay_of: str | None = None,
    spec_id: str | None = None,
) -> JobScheduled:
    spec: Spec = job.spec
    if spec_id is not None:  # what may be large stands in the log once
        spec = msgspec.structs.replace(spec, body=None, headers=None, webhook_headers=None)
    return JobScheduled(
        job_id=job_id,
        account=account,
        at=created_at,
        spec=spec,
        fire_at=job.fire_at,
        max_retries=job.max_retries,
        idempotency_key=job.idempotency_key,
        replay_of=replay_of,
        spec_id=spec_id,
        retry=job.retry,
        success_on=job.success_on,
        expires_at=job.expires_at,
        waiting_key=job.key.name if job.key is not None and job.key.kind == "waiting" else None,
        singleton_key=job.key.name if job.key is not None and job.key.kind == "singleton" else None,
        labels=job.labels,
    )
