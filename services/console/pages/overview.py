"""Overview: what happens now, what fails, and what comes next."""

from __future__ import annotations

import asyncio
from typing import Final

from services.console.http_messages import Answer
from services.console.pages.activity_picture import bars_of
from services.console.pages.alerts import alerts_of
from services.console.pages.jobs.failure_groups import failed_by_host
from services.console.pages.jobs.job_filters import counts_of
from services.console.visit import Visit

RECENT: Final = 100
TICKS_SHOWN: Final = 20


async def page(visit: Visit) -> Answer:
    """GET /."""
    account, activity, system, endpoints, failed, schedules = await asyncio.gather(
        visit.get("/v1/account"),
        visit.get_or(None, "/v1/account/activity"),  # an API of before does not have it
        visit.get_or(None, "/v1/system") if visit.session.may("operator") else _nothing(),
        visit.get_or({"endpoints": []}, "/v1/webhooks/endpoints"),
        visit.get("/v1/jobs", status="failed", limit=RECENT),
        visit.get("/v1/schedules", limit=RECENT),
    )
    coming = [each for each in schedules["schedules"] if each["next_run_at"]]
    coming.sort(key=lambda each: str(each["next_run_at"]))
    return visit.show(
        "overview.html",
        page="overview",
        account=account,
        activity=activity,
        alerts=alerts_of(
            visit.now(), account=account, activity=activity, endpoints=endpoints["endpoints"], system=system
        ),
        bars=bars_of(activity["hours"] if activity else []),
        counts=counts_of(activity),
        looked_at=len(failed["jobs"]),
        hosts=failed_by_host(failed["jobs"]),
        recent_failures=failed["jobs"][:6],
        coming=coming[:TICKS_SHOWN],
    )


async def _nothing() -> None:
    return None
