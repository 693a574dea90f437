"""
Job filters: which jobs a list shows, as the address says it. Pure but for the pages of the API that it reads.

The API filters by status and by schedule. Host, answer, error and text are looked for in the newest `SCANNED_MAX` jobs, and the
page says so: a list never reads more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from services.console.api_calls import path_of
from services.console.exchange import Request, query_of
from services.console.showing import host
from services.console.visit import Visit

STATUSES: Final = ("scheduled", "running", "success", "failed", "cancelled")
PAGE: Final = 50
SCANNED_MAX: Final = 200
_API_PAGE: Final = 100


class Filters(NamedTuple):
    """What is asked for; empty fields ask for everything."""

    status: str = ""
    schedule: str = ""
    host: str = ""
    code: str = ""
    error: str = ""
    q: str = ""

    @property
    def must_look(self) -> bool:
        """Whether jobs have to be looked at one by one."""
        return bool(self.host or self.code or self.error or self.q)

    def takes(self, job: Mapping[str, Any]) -> bool:
        """Return whether *job*, of the right status and schedule, is one of those asked for."""
        text = self.q.lower()
        return (
            (not self.host or host(job["url"]) == self.host)
            and (not self.code or str(job["last_status_code"]) == self.code)
            and (not self.error or job["last_error"] == self.error or job.get("ended_by") == self.error)
            and (
                not text
                or text in job["url"].lower()
                or text in job["id"]
                or text == (job["idempotency_key"] or "").lower()
            )
        )

    def query(self, **changes: str) -> str:
        """Return the query of an address that asks for this with *changes*."""
        return query_of(**{**self._asdict(), **changes})


class Found(NamedTuple):
    """The *jobs* found among *looked_at*; *next_cursor* leads on."""

    jobs: list[dict[str, Any]]
    next_cursor: str | None
    looked_at: int


def filters_of(request: Request) -> Filters:
    """Return the filters in the address of *request*; an unknown status counts as none."""
    asked = Filters(*(request.asked(name) for name in Filters._fields))
    return asked if asked.status in STATUSES else asked._replace(status="")


async def find_jobs(visit: Visit, filters: Filters, *, cursor: str = "", wanted: int = PAGE) -> Found:
    """Return a page of the jobs that *filters* ask for."""
    path = path_of("schedules", filters.schedule, "jobs") if filters.schedule else "/v1/jobs"
    if not filters.must_look:
        found = await visit.get(path, status=filters.status, limit=wanted, cursor=cursor)
        return Found(found["jobs"], found["next_cursor"], len(found["jobs"]))
    kept: list[dict[str, Any]] = []
    next_cursor: str | None = cursor
    looked_at = 0
    while next_cursor is not None and looked_at < SCANNED_MAX and len(kept) < wanted:
        found = await visit.get(path, status=filters.status, limit=_API_PAGE, cursor=next_cursor)
        looked_at += len(found["jobs"])
        next_cursor = found["next_cursor"]
        kept += [job for job in found["jobs"] if filters.takes(job)]
    return Found(kept, next_cursor, looked_at)
