"""Jobs: the list, with filters in the address."""

from __future__ import annotations

from typing import Final

from services.console.http_messages import Answer, see_other
from services.console.pages.jobs.job_filters import SCANNED_MAX, STATUSES, filters_of, find_jobs
from services.console.visit import Visit

_JOB_ID: Final = 30  # characters


async def page(visit: Visit) -> Answer:
    """GET /jobs."""
    filters = filters_of(visit.request)
    if filters.q.startswith("job_") and len(filters.q) == _JOB_ID:
        return see_other(f"{visit.base}/jobs/{filters.q}")
    cursor = visit.request.asked("cursor")
    found = await find_jobs(visit, filters, cursor=cursor)
    return visit.show(
        "jobs.html",
        page="jobs",
        filters=filters,
        statuses=STATUSES,
        found=found,
        cursor=cursor,
        scanned_max=SCANNED_MAX,
    )
