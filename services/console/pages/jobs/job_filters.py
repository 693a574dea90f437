"""
Job filters: which jobs a list shows, as the address says it. Pure but for the pages of the API that it reads.

The API filters by status, schedule and label, and finds what a text names exactly: an id or a key. Host, answer, error and any
other text are looked for in the newest `SCANNED_MAX` jobs, and the page says so: a list never reads more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from services.console.api_calls import path_of
from services.console.http_messages import Request, query_of
from services.console.showing import host
from services.console.visit import Visit

STATUSES: Final = ("scheduled", "running", "success", "failed", "cancelled")
PAGE: Final = 50
SCANNED_MAX: Final = 200
_API_PAGE: Final = 100
COUNTED_MAX: Final = 1_000  # of a status: the API counts no further
_NAME_MAX: Final = 255  # characters of an id or a key


class Filters(NamedTuple):
    """What is asked for; empty fields ask for everything."""

    status: str = ""
    schedule: str = ""
    host: str = ""
    code: str = ""
    error: str = ""
    label: str = ""
    q: str = ""

    @property
    def must_look(self) -> bool:
        """Whether jobs have to be looked at one by one."""
        return bool(self.host or self.code or self.error or self.q)

    @property
    def is_status_alone(self) -> bool:
        """Whether nothing is asked for but a status."""
        return self == Filters(status=self.status)

    @property
    def is_name(self) -> bool:
        """Whether the text may be an id or a key, and nothing else is looked for."""
        alone = not (self.host or self.code or self.error)
        return alone and 0 < len(self.q) <= _NAME_MAX and self.q.isprintable()

    def takes(self, job: Mapping[str, Any]) -> bool:
        """Return whether *job*, of the right status, schedule and label, is one of those asked for."""
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
    is_exact: bool = True  # the API has found them; no other job is asked for
    counts: Mapping[str, str] = {}  # of each status, unless something else is asked for, of which they say nothing


def filters_of(request: Request) -> Filters:
    """Return the filters in the address of *request*; an unknown status counts as none."""
    asked = Filters(*(request.asked(name) for name in Filters._fields))
    return asked if asked.status in STATUSES else asked._replace(status="")


async def find_jobs(visit: Visit, filters: Filters, *, cursor: str = "", wanted: int = PAGE) -> Found:
    """Return a page of the jobs that *filters* ask for."""
    path = path_of("schedules", filters.schedule, "jobs") if filters.schedule else "/v1/jobs"
    asked = {"status": filters.status, "label": filters.label}
    if not filters.must_look:
        found, counts = await asyncio.gather(
            visit.get(path, **asked, limit=wanted, cursor=cursor), _counts(visit, filters)
        )
        return Found(found["jobs"], found["next_cursor"], len(found["jobs"]), counts=counts)
    if filters.is_name and not cursor:
        found = await visit.get(path, **asked, q=filters.q, limit=wanted)
        if found["jobs"]:
            return Found(found["jobs"], found["next_cursor"], len(found["jobs"]))
    kept: list[dict[str, Any]] = []
    next_cursor: str | None = cursor
    looked_at = 0
    while next_cursor is not None and looked_at < SCANNED_MAX and len(kept) < wanted:
        found = await visit.get(path, **asked, limit=_API_PAGE, cursor=next_cursor)
        looked_at += len(found["jobs"])
        next_cursor = found["next_cursor"]
        kept += [job for job in found["jobs"] if filters.takes(job)]
    return Found(kept, next_cursor, looked_at, is_exact=False)


def counts_of(activity: Mapping[str, Any] | None) -> dict[str, str]:
    """Return how many jobs there are of each status, as pages show it; nothing if the API does not count, as one of before."""
    counted = (activity or {}).get("jobs") or {}
    return {
        word: f"{counted[word]:,}{'+' if counted[word] >= COUNTED_MAX else ''}" for word in STATUSES if word in counted
    }


async def _counts(visit: Visit, filters: Filters) -> dict[str, str]:
    if not filters.is_status_alone:
        return {}
    return counts_of(await visit.get_or(None, "/v1/account/activity"))
