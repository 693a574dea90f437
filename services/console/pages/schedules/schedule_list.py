"""Schedules: the list, and the form for a new one."""

from __future__ import annotations

from functools import partial
from typing import Final

from services.console.http_messages import Answer, query_of
from services.console.pages.form_fields import METHODS
from services.console.visit import Visit

PAGE: Final = 50


async def page(visit: Visit) -> Answer:
    """GET /schedules."""
    cursor = visit.request.asked("cursor")
    asked = {name: visit.request.asked(name) for name in ("label", "q")}
    found = await visit.get("/v1/schedules", **asked, limit=PAGE, cursor=cursor)
    return visit.show(
        "schedules.html",
        page="schedules",
        schedules=found["schedules"],
        cursor=cursor,
        next_cursor=found["next_cursor"],
        query=partial(query_of, **asked),
        label=asked["label"],
        q=asked["q"],
    )


async def new(visit: Visit) -> Answer:
    """GET /schedules/new."""
    return visit.show("schedule_new.html", page="schedules", methods=METHODS)
