"""Schedules: the list, and the form for a new one."""

from __future__ import annotations

from typing import Final

from services.console.exchange import Answer
from services.console.pages.form_fields import METHODS
from services.console.visit import Visit

PAGE: Final = 50


async def page(visit: Visit) -> Answer:
    """GET /schedules."""
    cursor = visit.request.asked("cursor")
    found = await visit.get("/v1/schedules", limit=PAGE, cursor=cursor)
    return visit.show(
        "schedules.html",
        page="schedules",
        schedules=found["schedules"],
        cursor=cursor,
        next_cursor=found["next_cursor"],
    )


async def new(visit: Visit) -> Answer:
    """GET /schedules/new."""
    return visit.show("schedule_new.html", page="schedules", methods=METHODS)
