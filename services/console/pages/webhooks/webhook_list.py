"""Webhooks: the endpoints, and the newest deliveries, with filters in the address."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from services.console.http_messages import Answer, query_of
from services.console.visit import Visit

PAGE: Final = 25
STATUSES: Final = ("pending", "delivered", "exhausted", "dropped")
EVENTS: Final = (
    *("job.completed", "job.failed", "job.cancelled", "attempt.failed", "attempt.finished"),
    *("schedule.missed", "schedule.skipped", "schedule.autopaused", "endpoint.disabled"),
)


async def page(visit: Visit) -> Answer:
    """GET /webhooks."""
    asked = {name: visit.request.asked(name) for name in ("status", "event", "endpoint", "job")}
    cursor = visit.request.asked("cursor")
    endpoints, found = await asyncio.gather(
        visit.get("/v1/webhooks/endpoints"),
        visit.get("/v1/webhooks/deliveries", **asked, limit=PAGE, cursor=cursor),
    )
    return visit.show(
        "webhooks.html",
        page="webhooks",
        endpoints=endpoints["endpoints"],
        deliveries=found["deliveries"],
        next_cursor=found["next_cursor"],
        cursor=cursor,
        asked=asked,
        query=partial(query_of, **asked),
        statuses=STATUSES,
        names=EVENTS,
    )


async def new(visit: Visit) -> Answer:
    """GET /webhooks/new."""
    return visit.show("endpoint_new.html", page="webhooks", names=EVENTS)
