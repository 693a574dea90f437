"""
Api: every method of the client, described once for both clients.

Each method says what is sent and how the answer is read. The decorators of `surface.py` make it a call of `Fliq` or `AsyncFliq`.
Every create carries a key, the caller's or one of its own, so that sending it again makes nothing twice. Those of jobs with a
`waiting_key` or `singleton_key` carry none: Fliq takes none with them, and they are not sent again if the first may have arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Unpack

from msgspec import UNSET

from fliq_client import answers
from fliq_client.answers import Page, Timeline
from fliq_client.call import Call, Request, document, key_header, path, query
from fliq_client.contract import models
from fliq_client.contract.request_fields import (
    BackfillFields,
    JobFields,
    JobPatchFields,
    JobRequest,
    PauseFields,
    PreviewFields,
    ResumeFields,
    RunFields,
    ScheduleFields,
    SchedulePatchFields,
)
from fliq_client.errors import ApiError
from fliq_client.groups.list_filters import JobFilters, ScheduleFilters, filtered
from fliq_client.job_request import has_own_key, job_request, keyed, with_json
from fliq_client.pages import Listing
from fliq_client.surface import E, Group, call, listing

PAGE_SIZE: Final = 100  # the most that Fliq gives at once

_CREATED_JOB: Final = answers.one(models.CreatedJob)
_JOB: Final = answers.one(models.Job)
_JOBS: Final = answers.page(models.JobList, lambda found: (found.jobs, found.next_cursor))
_EXECUTIONS: Final = answers.items(models.Executions, lambda found: found.executions)
_RESPONSE: Final = answers.one(models.Response)
_SCHEDULE: Final = answers.one(models.Schedule)
_SCHEDULES: Final = answers.page(models.ScheduleList, lambda found: (found.schedules, found.next_cursor))
_BACKFILL: Final = answers.one(models.Backfill)
_BACKFILL_STOP: Final = answers.one(models.BackfillStop)
_PREVIEW: Final = answers.one(models.Preview)


class Jobs(Group[E]):
    """Calls that are made once, at an instant."""

    @call
    def create(
        self,
        url: str,
        *,
        at: datetime | None = None,
        json: object = UNSET,
        key: str | None = None,
        **fields: Unpack[JobFields],
    ) -> Call[models.CreatedJob]:
        """
        Create a job; when this returns, it is durable.

        Args:
            url: what is called.
            at: when, with a time zone; or give `delay_seconds`.
            json: becomes the body, with its Content-Type; instead of `body`.
            key: an idempotency key of your own. The same key and the same request give the same job, `is_replayed`; without one
                the client takes a new one for each call of this method. Not with `waiting_key` or `singleton_key`: of a job that
                has such a key already, `existing` says what became of it.
            fields: every other field of the API, by its name there.
        """
        made = keyed(job_request(url, at=at, json=json, key=key, **fields), self._new_key)
        request = Request(method="POST", path=path("jobs"), content=document(made))
        return Call(request=request, read=_CREATED_JOB, is_repeatable=not has_own_key(made))

    @call
    def create_many(self, requests: Iterable[JobRequest]) -> Call[list[models.CreatedJob | ApiError]]:
        """
        Create 1 to 1,000 jobs (see `job_request`) in one request; returns for each, in order, the job or the error that refused it.
        """
        jobs = [keyed(each, self._new_key) for each in requests]
        request = Request(method="POST", path=path("jobs", "batch"), content=document({"jobs": jobs}))
        is_repeatable = not any(has_own_key(each) for each in jobs)
        return Call(request=request, read=answers.results, is_repeatable=is_repeatable)

    @call
    def get(self, job_id: str) -> Call[models.Job]:
        """Get a job as it stands now."""
        return Call(request=Request(method="GET", path=path("jobs", job_id)), read=_JOB)

    @listing
    def list(self, *, status: str | None = None, **filters: Unpack[JobFilters]) -> Listing[models.JobItem]:
        """
        Walk over the jobs, newest first, or those with a *status* and what *filters* say; pages are fetched as they are needed.
        """
        return Listing(call_of=lambda cursor: _page_of_jobs(path("jobs"), status, filters, PAGE_SIZE, cursor))

    @call
    def page(
        self,
        *,
        status: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        **filters: Unpack[JobFilters],
    ) -> Call[Page[models.JobItem]]:
        """Get one page of the jobs, of at most *limit* items; *cursor* is the `next_cursor` of the page before."""
        return _page_of_jobs(path("jobs"), status, filters, limit, cursor)

    @call
    def cancel(self, job_id: str) -> Call[None]:
        """Cancel a job: when this returns, it never fires. Raises JobAlreadyFired if its first attempt was due."""
        return Call(request=Request(method="DELETE", path=path("jobs", job_id)), read=answers.nothing)

    @call
    def update(
        self,
        job_id: str,
        *,
        at: datetime | None = None,
        json: object = UNSET,
        if_match: str | None = None,
        **fields: Unpack[JobPatchFields],
    ) -> Call[models.Job]:
        """
        Change a job that waits for its first attempt. A field that is None takes its default; one that is left out stays.

        Args:
            at, json: as in `create`.
            if_match: `"v2"` of version 2. Another version raises VersionConflict; without it the change is made on the newest one.
            fields: every field of the API, by its name there.
        """
        changes = with_json(dict(fields), json) | ({} if at is None else {"scheduled_at": at})
        request = Request(
            method="PATCH", path=path("jobs", job_id), headers=_if_match(if_match), content=document(changes)
        )
        return Call(request=request, read=_JOB, is_repeatable=if_match is None)

    @call
    def run(self, job_id: str, *, if_match: str | None = None) -> Call[models.Job]:
        """Call a job that waits for its first attempt now; *if_match* as in `update`."""
        request = Request(method="POST", path=path("jobs", job_id, "run"), headers=_if_match(if_match))
        return Call(request=request, read=_JOB, is_repeatable=False)

    @call
    def stop(self, job_id: str) -> Call[models.Job]:
        """Stop a job: get it at its end. A call under way is cut off; what its target has begun goes on."""
        return Call(request=Request(method="POST", path=path("jobs", job_id, "stop")), read=_JOB)

    @call
    def executions(self, job_id: str) -> Call[Sequence[models.Execution]]:
        """Get the attempts of a job, oldest first."""
        return Call(request=Request(method="GET", path=path("jobs", job_id, "executions")), read=_EXECUTIONS)

    @call
    def response(self, job_id: str, attempt_num: int) -> Call[models.Response]:
        """Get what was kept of the answer of the target to an attempt; 404 `no_response` if nothing was."""
        request = Request(method="GET", path=path("jobs", job_id, "executions", str(attempt_num), "response"))
        return Call(request=request, read=_RESPONSE)

    @call
    def events(self, job_id: str) -> Call[Timeline]:
        """Get the timeline of a job: its records in the log."""
        return Call(request=Request(method="GET", path=path("jobs", job_id, "events")), read=answers.timeline)

    @call
    def replay(self, job_id: str, *, key: str | None = None) -> Call[models.ReplayedJob]:
        """Make a copy of a failed job, due at once; *key* as in `create`. Raises JobNotFailed."""
        headers = key_header(self._new_key() if key is None else key)
        request = Request(method="POST", path=path("jobs", job_id, "replay"), headers=headers)
        return Call(request=request, read=answers.one(models.ReplayedJob))


class Schedules(Group[E]):
    """Rules that make a job at each of their instants."""

    @call
    def create(
        self,
        url: str,
        *,
        json: object = UNSET,
        key: str | None = None,
        schedule_key: str | None = None,
        **fields: Unpack[ScheduleFields],
    ) -> Call[models.CreatedSchedule]:
        """
        Create a schedule.

        Args:
            url, json, key: as of a job. The API's field `key` is called *schedule_key* here; KeyTaken: another schedule has it.
            fields: `cron` or `every`, `timezone` and every other field of the API, by its name there.
        """
        named = {} if schedule_key is None else {"key": schedule_key}
        made: dict[str, Any] = {"url": url, **named, **with_json(dict(fields), json)}
        headers = key_header(self._new_key() if key is None else key)
        request = Request(method="POST", path=path("schedules"), headers=headers, content=document(made))
        return Call(request=request, read=answers.one(models.CreatedSchedule))

    @call
    def preview_rule(self, **fields: Unpack[PreviewFields]) -> Call[models.Preview]:
        """Get the coming runs of a rule that is not saved; it takes the fields of a schedule that say when it runs."""
        return Call(
            request=Request(method="POST", path=path("schedules", "preview"), content=document(fields)), read=_PREVIEW
        )

    @call
    def preview(
        self, schedule_id: str, *, count: int | None = None, after: datetime | None = None
    ) -> Call[models.Preview]:
        """Get the coming runs of a schedule, *count* of them after the instant *after*."""
        asked = query(count=count, after=after)
        request = Request(method="GET", path=path("schedules", schedule_id, "preview"), query=asked)
        return Call(request=request, read=_PREVIEW)

    @call
    def get(self, schedule_id: str) -> Call[models.Schedule]:
        """Get a schedule."""
        return Call(request=Request(method="GET", path=path("schedules", schedule_id)), read=_SCHEDULE)

    @listing
    def list(
        self, *, status: str | None = None, key: str | None = None, **filters: Unpack[ScheduleFilters]
    ) -> Listing[models.ScheduleItem]:
        """Walk over the schedules, newest first: all, or those with a status (active, paused, finished), or the one of a key."""
        return Listing(call_of=lambda cursor: _page_of_schedules(status, key, filters, PAGE_SIZE, cursor))

    @call
    def page(
        self,
        *,
        status: str | None = None,
        key: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        **filters: Unpack[ScheduleFilters],
    ) -> Call[Page[models.ScheduleItem]]:
        """Get one page of the schedules, as in `jobs.page`."""
        return _page_of_schedules(status, key, filters, limit, cursor)

    @call
    def delete(self, schedule_id: str) -> Call[None]:
        """Delete a schedule; a job that it has already made may still fire."""
        request = Request(method="DELETE", path=path("schedules", schedule_id))
        return Call(request=request, read=answers.nothing, gone_is_done=True)

    @call
    def update(
        self,
        schedule_id: str,
        *,
        json: object = UNSET,
        if_match: str | None = None,
        **fields: Unpack[SchedulePatchFields],
    ) -> Call[models.Schedule]:
        """
        Change a schedule. A field that is None takes its default; one that is left out stays.

        Args:
            json: becomes the body, as of a job.
            if_match: `"v7"` of version 7. Another version raises VersionConflict; without it the change is made on the newest one.
            fields: every field of the API, by its name there.
        """
        request = Request(
            method="PATCH",
            path=path("schedules", schedule_id),
            headers=_if_match(if_match),
            content=document(with_json(dict(fields), json)),
        )
        return Call(request=request, read=_SCHEDULE, is_repeatable=if_match is None)

    @call
    def put(
        self,
        schedule_key: str,
        url: str,
        *,
        json: object = UNSET,
        if_match: str | None = None,
        if_none_match: str | None = None,
        dry_run: bool | None = None,
        **fields: Unpack[ScheduleFields],
    ) -> Call[models.Schedule]:
        """
        Make the schedule of a key of your own, or have it be exactly as said here: what is left out takes its default.

        A deployment may do this again and again: if nothing is different, nothing happens; `change` says what happened.

        Args:
            json, if_match, fields: as in `create` and `update`. `*` as if_none_match: VersionConflict if the key has a schedule.
            dry_run: change nothing; get the schedule as it is, `change` says what would happen. NotFound: it would be made.
        """
        made: dict[str, Any] = {"url": url, **with_json(dict(fields), json)}
        where = path("schedules", "by-key", schedule_key)
        headers = _if_match(if_match) + _if_match(if_none_match, "If-None-Match")
        asked = query(dry_run=None if dry_run is None else str(dry_run).lower())
        request = Request(method="PUT", path=where, headers=headers, query=asked, content=document(made))
        is_repeatable = bool(dry_run) or (if_match is None and if_none_match is None)
        return Call(request=request, read=_SCHEDULE, is_repeatable=is_repeatable)

    @call
    def get_by_key(self, schedule_key: str) -> Call[models.Schedule]:
        """Get the schedule of a key."""
        return Call(request=Request(method="GET", path=path("schedules", "by-key", schedule_key)), read=_SCHEDULE)

    @call
    def run(
        self, schedule_id: str, *, json: object = UNSET, key: str | None = None, **fields: Unpack[RunFields]
    ) -> Call[models.ManualRun]:
        """Run a schedule now, whatever its rule says; its next run stays. *json*, *key* as of a job."""
        headers, where = key_header(self._new_key() if key is None else key), path("schedules", schedule_id, "run")
        request = Request(method="POST", path=where, headers=headers, content=document(with_json(dict(fields), json)))
        return Call(request=request, read=answers.one(models.ManualRun))

    @call
    def backfill(
        self, schedule_id: str, *, key: str | None = None, **fields: Unpack[BackfillFields]
    ) -> Call[models.Backfill]:
        """Make up for ticks that have gone by, one call after the other; a tick that has run is left out. *key* as of a job."""
        request = Request(
            method="POST",
            path=path("schedules", schedule_id, "backfill"),
            headers=key_header(self._new_key() if key is None else key),
            content=document(fields),
        )
        return Call(request=request, read=_BACKFILL)

    @call
    def stop_backfill(self, schedule_id: str) -> Call[models.BackfillStop]:
        """Cancel the jobs of back-fills that have not begun; may be repeated."""
        request = Request(method="POST", path=path("schedules", schedule_id, "backfill", "stop"))
        return Call(request=request, read=_BACKFILL_STOP)

    @call
    def pause(self, schedule_id: str, **fields: Unpack[PauseFields]) -> Call[models.Schedule]:
        """Stop making jobs until `resume`, or until the instant `until`, with a `note` why; may be repeated."""
        content = document(fields) if fields else None
        request = Request(method="POST", path=path("schedules", schedule_id, "pause"), content=content)
        return Call(request=request, read=_SCHEDULE)

    @call
    def resume(self, schedule_id: str, **fields: Unpack[ResumeFields]) -> Call[models.Schedule]:
        """Go on from now, or with `catch_up` from the last tick on; may be repeated."""
        content = document(fields) if fields else None
        request = Request(method="POST", path=path("schedules", schedule_id, "resume"), content=content)
        return Call(request=request, read=_SCHEDULE)

    @call
    def events(self, schedule_id: str, *, limit: int | None = None) -> Call[Timeline]:
        """Get the newest *limit* records about a schedule, oldest first: its ticks, skips and changes."""
        where, asked = path("schedules", schedule_id, "events"), query(limit=limit)
        return Call(request=Request(method="GET", path=where, query=asked), read=answers.timeline)

    @listing
    def jobs(
        self, schedule_id: str, *, status: str | None = None, **filters: Unpack[JobFilters]
    ) -> Listing[models.JobItem]:
        """Walk over the jobs that a schedule has made, newest first."""
        where = path("schedules", schedule_id, "jobs")
        return Listing(call_of=lambda cursor: _page_of_jobs(where, status, filters, PAGE_SIZE, cursor))

    @call
    def jobs_page(
        self,
        schedule_id: str,
        *,
        status: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        **filters: Unpack[JobFilters],
    ) -> Call[Page[models.JobItem]]:
        """Get one page of these jobs, as in `jobs.page`."""
        return _page_of_jobs(path("schedules", schedule_id, "jobs"), status, filters, limit, cursor)


def _if_match(tag: str | None, header: str = "If-Match") -> tuple[tuple[str, bytes], ...]:
    return () if tag is None else ((header, tag.encode()),)


def _page_of_jobs(
    where: str, status: str | None, filters: JobFilters, limit: int | None, cursor: str | None
) -> Call[Page[models.JobItem]]:
    asked = filtered(filters, status=status, limit=limit, cursor=cursor)
    return Call(request=Request(method="GET", path=where, query=asked), read=_JOBS)


def _page_of_schedules(
    status: str | None, key: str | None, filters: ScheduleFilters, limit: int | None, cursor: str | None
) -> Call[Page[models.ScheduleItem]]:
    asked = filtered(filters, status=status, key=key, limit=limit, cursor=cursor)
    return Call(request=Request(method="GET", path=path("schedules"), query=asked), read=_SCHEDULES)
