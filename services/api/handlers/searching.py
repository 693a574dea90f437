"""Searching: what the query parameters of a list ask for, with what a text in `q` stands for."""

from __future__ import annotations

from typing import Any

from libs.events.ids import is_id
from libs.store.reads.filters import JobFilter, ScheduleFilter
from services.api.contract.api_error import bad
from services.api.contract.fields.list_filters import instant_of, labels_of, searched_text
from services.api.contract.job_answers import STATUSES_OF
from services.api.contract.schedules.requests import schedules_query
from services.api.handlers.context import Context
from services.api.handlers.idempotency import schedule_id_of


async def jobs_asked_for(context: Context, account: str, query: Any, schedule_id: str | None) -> JobFilter:
    """
    Return which jobs *query* asks for.

    Args:
        schedule_id: only jobs of this one; None: of any, or of none.

    Raises:
        ApiError: 400 for a parameter that is wrong.
    """
    status = query.get("status")
    if status is not None and status not in STATUSES_OF:
        raise bad("invalid_status", f"status must be one of {', '.join(STATUSES_OF)}")
    wanted = JobFilter(
        statuses=STATUSES_OF[status] if status else None,
        schedule_id=schedule_id,
        labels=labels_of(query),
        created_after=instant_of(query, "created_after"),
        created_before=instant_of(query, "created_before"),
        scheduled_after=instant_of(query, "scheduled_after"),
        scheduled_before=instant_of(query, "scheduled_before"),
    )
    text = searched_text(query)
    return wanted if text is None else await _with_text(context, account, text, wanted)


async def _with_text(context: Context, account: str, text: str, wanted: JobFilter) -> JobFilter:
    """Return *wanted*, of the jobs that *text* stands for."""
    if is_id(text, "job"):
        return wanted._replace(job_ids=(text,))
    if is_id(text, "exec"):
        job_id = await context.search.job_of_execution(account, text)
        return wanted._replace(job_ids=() if job_id is None else (job_id,))
    found: str | None = text
    if not is_id(text, "sched"):
        held = await context.keys.reservation(account, text)
        if held is not None and await context.queries.existing_jobs(account, [held.job_id]):
            return wanted._replace(job_ids=(held.job_id,))
        found = await context.names.name_holder(account, "schedule", text, "sched")
    if found is None or wanted.schedule_id not in (None, found):
        return wanted._replace(job_ids=())
    return wanted._replace(schedule_id=found)


async def schedules_asked_for(context: Context, account: str, query: Any) -> tuple[ScheduleFilter, str | None]:
    """
    Return which schedules *query* asks for, and the key of the one that it asks for by key.

    Raises:
        ApiError: 400 for a parameter that is wrong.
    """
    status, key = schedules_query(query)
    wanted = ScheduleFilter(
        status=status,
        labels=labels_of(query),
        created_after=instant_of(query, "created_after"),
        created_before=instant_of(query, "created_before"),
    )
    text = searched_text(query)
    if text is None:
        return wanted, key
    if is_id(text, "sched"):
        return wanted._replace(schedule_ids=(text,)), key
    held = await context.keys.reservation(account, text)
    of_key = await context.names.name_holder(account, "schedule", text, "sched")
    found = (None if held is None else schedule_id_of(held), of_key)
    return wanted._replace(schedule_ids=tuple(each for each in found if each is not None)), key
