"""Failures: the newest failed jobs, in groups of those that failed alike."""

from __future__ import annotations

from typing import Any, Final

from services.console.http_messages import Answer
from services.console.pages.form_fields import wrong
from services.console.pages.jobs import job_actions
from services.console.pages.jobs.failure_groups import Group, groups_of
from services.console.visit import Visit

LOOKED_AT_MAX: Final = 200
_API_PAGE: Final = 100


async def page(visit: Visit) -> Answer:
    """GET /failures."""
    jobs, has_more = await _failed(visit)
    return visit.show(
        "failures.html",
        page="failures",
        groups=groups_of(jobs),
        count=len(jobs),
        has_more=has_more,
        selected_max=job_actions.SELECTED_MAX,
    )


async def ask_to_replay(visit: Visit) -> Answer:
    """POST /failures/replay: ask about the jobs of a group."""
    jobs, _ = await _failed(visit)
    asked = tuple(visit.request.given(name) for name in ("host", "code", "error"))
    group = next((each for each in groups_of(jobs) if _name(each) == asked), None)
    if group is None:
        raise wrong("no failed job is like this any more")
    return await job_actions.ask(visit, [str(job["id"]) for job in group.jobs[: job_actions.SELECTED_MAX]])


async def _failed(visit: Visit) -> tuple[list[dict[str, Any]], bool]:
    """Return the newest failed jobs, and whether there are more."""
    jobs: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None and len(jobs) < LOOKED_AT_MAX:
        found = await visit.get("/v1/jobs", status="failed", limit=_API_PAGE, cursor=cursor)
        jobs += found["jobs"]
        cursor = found["next_cursor"]
    return jobs, cursor is not None


def _name(group: Group) -> tuple[str, str, str]:
    return group.host, "" if group.code is None else str(group.code), group.error
