"""
Job keys: jobs of which an account has one at a time, while it waits (`waiting_key`) or until it ends (`singleton_key`).

Who has a key stands in the table of names. Its row is taken for a job's id before `job.scheduled` is appended, and is given to the
next id only by somebody who saw that the job before has let go of the key, which it never takes back. So of callers at the same
time, in whatever process, one makes the job and all others find it. If the one that took the key died before it appended, the next
caller finds no job and appends its own request under that id. If both append, the first in the log counts.

What a request makes of a job that waits is decided by the owner of its partition, in one order with the job's first due: either
the target sees it, or the job had fired, and the request makes the next job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import msgspec

from libs.domain.history.choice import LATE_MS
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.optional_state import JobMore
from libs.events import Envelope, JobMergeRequested
from libs.events.ids import instant_of, partition_of
from libs.log.port import LogUnavailable
from libs.runtime.crashpoint import crash_at
from services.api.contract import job_answers, requests
from services.api.contract.api_error import unavailable
from services.api.contract.fields.key_fields import JobKey
from services.api.contract.requests import JobRequest
from services.api.handlers.context import Context
from services.api.handlers.jobs.deciding import Row, decided

TRIES_MAX: Final = 8  # if jobs of the key end, or others take it, at the same time
EXISTING: Final = "Fliq-Existing"
_SAYS: Final = {"keep": "kept", "replace": "replaced", "extend": "extended"}


class Keyed(NamedTuple):
    """The job of a key as it is shown, and what the request made of it: see `_SAYS`; None if the request made the job."""

    shown: dict[str, Any]
    existing: str | None


class JobKeys:
    """Finds or makes the jobs of keys."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def find_or_make(
        self,
        job: JobRequest,
        key: JobKey,
        account: str,
        *,
        ends_at: float,
        check_new: Callable[[], Awaitable[None]],
        scheduled: Callable[[JobRequest, str, int], Envelope],
    ) -> Keyed:
        """
        Return the job of *key*.

        Args:
            ends_at: until when that may take, by the loop's clock.
            check_new: raises what refuses a new job.
            scheduled: (job, id, instant of its creation) -> the record that makes it.

        Raises:
            ApiError: as *check_new*; 503.
        """
        now = self._c.clock.now()
        requests.check_schedulable(job, now)
        job = requests.resolved(job, now)
        fresh_id = self._c.mint.job_id(now, self._c.mint.partition(now))
        wrote_id = ""
        for _ in range(TRIES_MAX):
            if asyncio.get_running_loop().time() >= ends_at:
                break
            held_id = await self._holder(account, key, fresh_id, check_new)
            is_fresh = held_id == fresh_id and wrote_id != fresh_id
            row = None if is_fresh else await self._row(account, held_id, key)
            if row is None:
                await check_new()
                wrote_id = held_id
                position = await self._c.append(
                    account, partition_of(held_id), [scheduled(job, held_id, now)], ends_at=ends_at
                )
                if now - instant_of(held_id) >= LATE_MS and await self._row(account, held_id, key) is None:
                    # The job that had the key is forgotten, and its id never comes back (libs/domain/history).
                    await self._c.names.pass_name_on(account, key.kind, key.name, held_id, fresh_id)
                    continue
                if await self._is_first(account, held_id, position, ends_at):
                    shown = job_answers.created_job(
                        held_id, job.spec, fire_at=job.fire_at, max_retries=job.max_retries, created_at=now
                    )
                    return Keyed(shown, None)
            elif has_let_go(row.state, key):
                await self._c.names.pass_name_on(account, key.kind, key.name, held_id, fresh_id)
            elif key.on_waiting == "keep":
                return Keyed(job_answers.existing_job(*row), _SAYS["keep"])
            else:
                merged = await self._merge(row, job, key, now, account, ends_at)
                if merged is not None:
                    return Keyed(job_answers.existing_job(*merged), _SAYS[key.on_waiting])
        raise unavailable(f"the jobs of the {key.kind}_key come and go; try again")

    async def _holder(self, account: str, key: JobKey, fresh_id: str, check_new: Callable[[], Awaitable[None]]) -> str:
        """Return the id that has *key*, which is *fresh_id* if nobody had it."""
        held_id = await self._c.names.name_holder(account, key.kind, key.name, "job")
        if held_id is None:
            await check_new()  # a refused request takes no name
            crash_at("api.before_reserve")
            held_id = await self._c.names.take_name(account, key.kind, key.name, fresh_id)
            crash_at("api.after_reserve")
        return held_id

    async def _row(self, account: str, job_id: str, key: JobKey) -> Row | None:
        found = await self._c.read_index.current(
            partition_of(job_id),
            lambda: self._c.queries.get_job(account, job_id),
            lambda row: has_let_go(row[0], key),
        )
        if not found.is_fresh:
            raise LogUnavailable("the log does not say where it ends")
        return None if found.row is None else Row(*found.row)

    async def _is_first(self, account: str, job_id: str, position: int, ends_at: float) -> bool:
        """Say whether the record at *position* made the job; if not, that of another caller came first."""

        def look(row: Row) -> tuple[int, ...]:
            return row.state.offsets[:1]

        return await decided(self._c, account, job_id, position, ends_at, look, what="the job") == (position,)

    async def _merge(
        self, row: Row, job: JobRequest, key: JobKey, now: int, account: str, ends_at: float
    ) -> Row | None:
        """Ask the owner to make *job* of the job that waits; return that job, or None if it had let go of the key."""
        state = row.state
        partition = partition_of(state.job_id)
        event = JobMergeRequested(
            job_id=state.job_id, at=now, request_id=self._c.mint.secret(8).hex(), how="extend", fire_at=job.fire_at
        )
        if key.on_waiting == "replace":
            event = msgspec.structs.replace(
                event,
                how="replace",
                max_retries=job.max_retries,
                retry=job.retry,
                success_on=job.success_on,
                expires_at=job.expires_at,
                spec=job.spec,
                new_spec_id=self._c.mint.job_id(now, partition),
            )
        elif key.max_wait_ms is not None:
            latest_at = state.created_at + key.max_wait_ms
            event = msgspec.structs.replace(event, fire_at=min(job.fire_at, latest_at))
        if asyncio.get_running_loop().time() >= ends_at:
            raise unavailable("the jobs of this key do not answer in time; try again")
        position = await self._c.append_change(account, partition, self._c.sealed(event, account), what="the request")

        def look(row: Row) -> tuple[Row | None] | None:
            if (row.state.more or JobMore()).merged_to >= position:
                return (row,)
            return (None,) if has_let_go(row.state, key) else None

        return (await decided(self._c, account, state.job_id, position, ends_at, look, what="the request"))[0]


def has_let_go(state: JobState, key: JobKey) -> bool:
    """Say whether another job may have *key*: once a job has let go of it, it never takes it back."""
    return state.is_terminal if key.kind == "singleton" else state.status != JobStatus.SCHEDULED
